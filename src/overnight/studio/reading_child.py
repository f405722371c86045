"""Reads media files with PyAV, whose wheels carry x264 and x265 (GPL): a program of its own, and no part of another.

It reads one JSON object from its standard input (`paths`: where modules are; `do`: "probe", "frames" or "clipped";
`path`, and the instants `at_s` of frames), and writes the length of a line in four bytes, that line (JSON), and for
frames their pixels (8-bit RGB, row by row), one after the other. What cannot be read is one line on standard error, and
exit code 1.
"""

import json
import struct
import sys
from collections.abc import Callable
from typing import Any

FULL_SCALE = 0.98
"""From this share of full scale on, a sample counts as clipped: lossy codecs make clipped tops a little uneven."""
_US = 1_000_000

Told = tuple[dict[str, Any], bytes]  # Any: JSON


def main() -> None:
    """Do what standard input asks for."""
    asked = json.load(sys.stdin)
    sys.path[:] = asked["paths"]
    import av

    work: Callable[[Any, list[float]], Told] = {"probe": _probed, "frames": _frames, "clipped": _clipped}[asked["do"]]
    try:
        with av.open(asked["path"]) as container:
            told, raw = work(container, asked["at_s"])
    except (OSError, ValueError, EOFError, LookupError) as error:
        sys.exit(getattr(error, "strerror", None) or str(error))
    line = json.dumps(told).encode()
    sys.stdout.buffer.write(struct.pack("<I", len(line)) + line + raw)


# Any in what follows: PyAV is not there for types where it is not installed.


def _probed(container: Any, _: list[float]) -> Told:
    kinds = {kind: [one for one in container.streams if one.type == kind] for kind in ("video", "audio", "subtitle")}
    if not any(kinds.values()):
        raise ValueError("holds no picture, no sound and no subtitles")
    return {
        "duration_s": None if container.duration is None else container.duration / _US,
        "video": [
            {"codec": one.codec_context.name, "width": one.width, "height": one.height, "fps": _float(one.average_rate)}
            | {"duration_s": _long_s(one)}
            for one in kinds["video"]
        ],
        "audio": [
            {"codec": one.codec_context.name, "rate_hz": one.rate, "channels": one.channels, "duration_s": _long_s(one)}
            for one in kinds["audio"]
        ],
        "subtitles": [
            {"codec": one.codec_context.name, "language": one.metadata.get("language")} for one in kinds["subtitle"]
        ],
        "chapters": [
            {
                "title": one["metadata"].get("title", ""),
                "begin_s": float(one["start"] * one["time_base"]),
                "end_s": float(one["end"] * one["time_base"]),
            }
            for one in container.chapters()
        ],
    }, b""


def _frames(container: Any, at_s: list[float]) -> Told:
    if not container.streams.video:
        raise ValueError("holds no picture")
    found = [_frame(container, one) for one in at_s]
    return {"pictures": [told for told, _ in found]}, b"".join(raw for _, raw in found)


def _frame(container: Any, at_s: float) -> Told:
    container.seek(int(at_s * _US))
    last = None
    for frame in container.decode(video=0):
        if last is not None and frame.time is not None and frame.time > at_s:
            break
        last = frame
    if last is None:
        raise ValueError(f"holds no picture at {at_s:g} s")
    picture = last.reformat(format="rgb24")
    plane = picture.planes[0]
    rows, width = memoryview(plane), picture.width * 3
    raw = b"".join(rows[at : at + width] for at in range(0, plane.line_size * picture.height, plane.line_size))
    return {"width": picture.width, "height": picture.height, "at_s": last.time}, raw


def _clipped(container: Any, _: list[float]) -> Told:
    import av
    import numpy as np

    if not container.streams.audio:
        raise ValueError("holds no sound")
    into = av.AudioResampler(format="flt")
    samples = clipped = 0
    for frame in container.decode(audio=0):
        for part in into.resample(frame):
            found = part.to_ndarray()
            samples += found.size
            clipped += int(np.count_nonzero(np.abs(found) >= FULL_SCALE))
    return {"samples": samples, "clipped": clipped}, b""


def _long_s(stream: Any) -> float | None:
    return None if stream.duration is None else float(stream.duration * stream.time_base)


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


if __name__ == "__main__":
    main()
