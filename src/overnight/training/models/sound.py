"""Recorded speech as numbers: waves read and brought to one rate, and what they sound like every 10 ms.

The features are mel-frequency cepstral coefficients (Davis and Mermelstein 1980, IEEE Trans. ASSP 28:357) and the
autocorrelation, where the pitch of a voice shows; how both change over time, a model sees in neighbouring frames. The
first coefficient, which is the loudness, is left out, and frames much softer than the loudest are taken for silence.
"""

import binascii
import io
import wave
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import PermanentError, one_line

if TYPE_CHECKING:
    from numpy import float32, float64, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]

HIGHEST_RATE = 768_000
RATE = 8000
"""Samples a second; higher rates are brought down to it."""
FRAME, HOP, POINTS = 200, 80, 256
"""Samples of a frame and from one frame to the next, and points of its Fourier transform."""
BANDS, COEFFICIENTS = 32, 20
LOWEST_HZ, HIGHEST_HZ = 60.0, 3900.0
SILENCE_DB = 35.0
"""How far below the loudest frame speech may be."""
FLOOR = 1e-4
"""What a band's energy is raised by, as a share of the sound's mean."""
LONG = 400
"""Samples of the longer frame in which the pitch is looked for."""
LAGS, SHORTEST_LAG, LONGEST_LAG = 24, 22, 110
"""How many lags the autocorrelation is taken at, and the range of them in samples: a pitch of 364 to 73 Hz."""
WIDTH = COEFFICIENTS + LAGS


def wrong_sound(value: Any, where: str) -> str | None:
    """Return what keeps a value from being a sound, `{"path": file}` or `{"wav": base64 text}`; reads no file."""
    if not isinstance(value, Mapping):
        return f"{where}: not an object with path or wav"
    if ("path" in value) == ("wav" in value):
        return f"{where}: needs either path or wav"
    name = "path" if "path" in value else "wav"
    if not isinstance(value[name], str) or not value[name]:
        return f"{where}.{name}: not a text"
    if name == "wav":
        try:
            b64decode(value["wav"], validate=True)
        except (binascii.Error, ValueError):
            return f"{where}.wav: not base64 text"
    return None


def read_sound(value: Mapping[str, Any], what: str) -> "Floats":
    """Return the samples of a sound at RATE, with a mean of 0 and a mean square of 1.

    Raises:
        PermanentError: it is not a wave of one channel that can be read, or it is silent; the message begins with
            `what` and names the file.
    """
    name = value.get("path", "input.wav")
    try:
        data = Path(value["path"]).read_bytes() if "path" in value else b64decode(value["wav"], validate=True)
        samples, rate = _decoded(data)
    except (OSError, ValueError, EOFError, RuntimeError, wave.Error) as error:
        raise PermanentError(f"{what}: {name} cannot be read: {one_line(error) or 'it is no whole wave'}") from error
    return _levelled(_resampled(samples, rate), f"{what}: {name}")


def _decoded(data: bytes) -> "tuple[NDArray[float64], int]":
    """Return the samples as they are and how many there are in a second."""
    import numpy as np

    with wave.open(io.BytesIO(data)) as file:
        channels, size, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if channels != 1:
            raise ValueError(f"it has {channels} channels, 1 is needed")
        if not RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"it has {rate} samples a second, {RATE} to {HIGHEST_RATE} can be read")
        raw = file.readframes(file.getnframes())
    raw = raw[: len(raw) // size * size]
    if size == 1:
        return np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128, rate
    # Little-endian integers of 2 to 4 bytes, put into the upper bytes of 4.
    wide = np.zeros((len(raw) // size, 4), dtype=np.uint8)
    wide[:, 4 - size :] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, size)
    return wide.view("<i4").ravel().astype(np.float64), rate


def _resampled(samples: "NDArray[float64]", rate: int) -> "NDArray[float64]":
    from scipy.signal import resample_poly

    if rate == RATE or not len(samples):
        return samples
    shared = gcd(rate, RATE)
    found: NDArray[float64] = resample_poly(samples, RATE // shared, rate // shared)
    return found


def _levelled(samples: "NDArray[float64]", what: str) -> "Floats":
    import numpy as np

    if len(samples):
        samples = samples - samples.mean()
    power = float(np.square(samples).mean()) if len(samples) else 0.0
    if not power > 0:
        raise PermanentError(f"{what} holds no sound")
    found: Floats = (samples / np.sqrt(power)).astype(np.float32)
    return found


def faster(samples: "Floats", speed: float) -> "Floats":
    """Return the sound played at another speed, so with another pitch (Ko et al. 2015, Interspeech, p. 3586)."""
    import numpy as np

    if speed == 1:
        return samples
    places = np.arange(0, len(samples) - 1, speed)
    found: Floats = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    return found


def noisy(samples: "Floats", ratio_db: float, colour: float, random: "Generator") -> "Floats":
    """Return the sound with noise so many decibels below it; a colour from 0 (white) towards 1 favours low tones."""
    import numpy as np
    from scipy.signal import lfilter

    noise = lfilter([1.0], [1.0, -colour], random.standard_normal(len(samples)))
    strength = np.sqrt(np.square(samples).mean() / np.square(noise).mean() / 10 ** (ratio_db / 10))
    found: Floats = (samples + strength * noise).astype(np.float32)
    return found


def sounds_like(samples: "Floats") -> "Floats":
    """Return a row of WIDTH numbers for each frame that is not silent: coefficients, then their slopes."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    window, bands, cosine = _constants()
    padded = np.pad(samples, (0, max(0, FRAME - len(samples))))
    frames = sliding_window_view(padded, FRAME)[::HOP] * window
    spectrum = np.abs(np.fft.rfft(frames, POINTS)) ** 2
    energies = spectrum @ bands
    loudness = energies.sum(axis=1)
    logs = np.log(energies + FLOOR * energies.mean() + 1e-12)
    coefficients = logs @ cosine
    heard = loudness > loudness.max() * 10 ** (-SILENCE_DB / 10)
    both = np.hstack([coefficients, _pitch(padded, len(frames))])
    found: Floats = both[heard].astype(np.float32)
    return found


def _pitch(samples: "Floats", count: int) -> "NDArray[float64]":
    """Return the autocorrelation around each frame at LAGS lags, divided by that at lag 0 (Rabiner 1977, IEEE Trans.
    ASSP 25:24, without his clipping): high where the lag is the period of the voice.
    """
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    margin = (LONG - FRAME) // 2
    frames = sliding_window_view(np.pad(samples, (margin, margin)), LONG)[::HOP][:count]
    window, level, places, shares = _lags()
    found = np.fft.irfft(np.abs(np.fft.rfft(frames * window, 2 * POINTS)) ** 2)
    found /= found[:, :1] + 1e-9
    return np.asarray((found[:, places] * (1 - shares) + found[:, places + 1] * shares) / level)


@cache
def _lags() -> "tuple[NDArray[float64], NDArray[float64], NDArray[int64], NDArray[float64]]":
    """Return the long window, its own autocorrelation at the lags, and where the lags lie between whole samples.

    What a window makes of an autocorrelation is undone by a division (Boersma 1993, Proc. Inst. Phonetic Sci. 17:97).
    """
    import numpy as np

    window = np.hanning(LONG)
    lags = np.geomspace(SHORTEST_LAG, LONGEST_LAG, LAGS)
    places, shares = lags.astype(np.int64), lags % 1
    own = np.fft.irfft(np.abs(np.fft.rfft(window, 2 * POINTS)) ** 2)
    return window, np.interp(lags, np.arange(len(own)), own / own[0]), places, shares


@cache
def _constants() -> "tuple[NDArray[float64], NDArray[float64], NDArray[float64]]":
    """Return the window, the triangular bands that are equally wide in mel, and the cosine transform."""
    import numpy as np

    def mel(hertz: float) -> float:
        # O'Shaughnessy 1987, Speech Communication, p. 150
        return float(2595 * np.log10(1 + hertz / 700))

    window = np.hamming(FRAME)
    edges = 700 * (10 ** (np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), BANDS + 2) / 2595) - 1)
    hertz = np.arange(POINTS // 2 + 1) * RATE / POINTS
    rising = (hertz[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.clip(np.minimum(rising, falling), 0, None)
    at, number = np.arange(BANDS)[:, None], np.arange(1, COEFFICIENTS + 1)[None]
    cosine = np.sqrt(2 / BANDS) * np.cos(np.pi * number * (at + 0.5) / BANDS)
    return window, bands, cosine
