"""Speaks with Piper, without a network: more natural than espeak-ng, where somebody has put a voice file.

The program `piper` (the package piper-tts, under the GPL; earlier ones under the MIT licence) runs as a process of its
own. It tells nothing about words: their times are estimated. It has no pitch to be set, so that a manner is heard in
rate, loudness and pauses.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from overnight.base.errors import ConfigError, MissingExtra
from overnight.processes.feed import feed
from overnight.processes.spawn import scrubbed
from overnight.studio.errors import Died, SpeechFailed
from overnight.studio.markup import Manner
from overnight.studio.speech.delivery import delivery_of
from overnight.studio.speech.ports import Clip, no_clip, pcm_of, says_something

VARIABLE = "OVERNIGHT_PIPER_VOICE"
"""The variable that names a voice file, such as en_US-lessac-medium.onnx, with its .onnx.json beside it."""
_TIMEOUT_S = 300.0
_SENTENCE_SILENCE_S = 0.25


class Piper:
    """Implements `ports.Engine`. `voice` is the voice file; the one that describes it lies beside it."""

    def __init__(self, variables: Mapping[str, str], *, voice: Path, speed: float = 1.0) -> None:
        """Find the program and read what the voice is.

        Raises:
            MissingExtra: there is no program `piper` on PATH.
            ConfigError: the voice cannot be read.
        """
        program = shutil.which("piper", path=variables.get("PATH", ""))
        if program is None:
            raise MissingExtra("a Piper voice needs the program piper: pip install piper-tts")
        about = voice.with_name(f"{voice.name}.json")
        try:
            told = json.loads(about.read_text(encoding="utf-8"))
            self._rate_hz = int(told["audio"]["sample_rate"])
            self._scale = float(told.get("inference", {}).get("length_scale", 1.0))
            if not voice.is_file() or self._rate_hz <= 0:
                raise ValueError("no voice")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{voice}: is no Piper voice, or {about.name} beside it does not say its rate") from None
        self._argv = [program, "--model", str(voice), "--output_raw", "--sentence_silence", str(_SENTENCE_SILENCE_S)]
        self._env, self._speed = scrubbed(variables), speed
        self.name = f"piper {voice.stem}"

    def say(self, text: str, manner: Manner) -> Clip:
        """Return the text, spoken; see `ports.Engine`."""
        line = " ".join(text.split())
        if not says_something(line):
            return no_clip(self._rate_hz)
        scale = self._scale / (self._speed * delivery_of(manner).rate)
        argv = [*self._argv, "--length_scale", f"{scale:.3f}"]
        ended = feed(argv, [f"{line}\n".encode()], env=self._env, timeout_s=_TIMEOUT_S)
        if ended.killed:
            raise Died(f"{self.name}: {ended.how}")
        if ended.code != 0:
            raise SpeechFailed(f"{self.name}: {ended.said or ended.how}")
        return Clip(pcm=pcm_of(ended.output), rate_hz=self._rate_hz, words=None)
