"""Which engine speaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never, get_args

from overnight.base.errors import ConfigError
from overnight.base.settings import environment
from overnight.studio.speech import elevenlabs, openai, piper
from overnight.studio.speech.edge import Edge
from overnight.studio.speech.elevenlabs import ElevenLabs
from overnight.studio.speech.espeak import Espeak
from overnight.studio.speech.openai import OpenAi
from overnight.studio.speech.piper import Piper
from overnight.studio.speech.ports import Engine

EngineName = Literal["espeak", "piper", "edge", "openai", "elevenlabs"]
_SLOWEST, _FASTEST = 0.5, 2.0


@dataclass(frozen=True, kw_only=True)
class VoiceSettings:
    """Who speaks. What is None is the engine's own default.

    `engine` "auto" is Piper where `voice` is a voice file; else a service whose key is set in the environment
    (ElevenLabs before OpenAI); else Piper where the environment names a voice file, else espeak-ng. `voice` is a name
    or an id that the engine knows; `language` is for espeak-ng alone, the voices of others have theirs. `speed` is a
    factor from 0.5 to 2.
    """

    engine: EngineName | Literal["auto"] = "auto"
    language: str = "en-us"
    voice: str | None = None
    model: str | None = None
    base_url: str | None = None
    speed: float = 1.0


def chosen(settings: VoiceSettings | None = None, variables: Mapping[str, str] | None = None) -> Engine:
    """Return the engine that is to speak; `variables` stand for the environment, which alone holds keys.

    Raises:
        ConfigError: a setting is wrong, or a key is missing.
        MissingExtra: it is not installed; the message says what to install.
    """
    settings = settings or VoiceSettings()
    known = environment() if variables is None else variables
    allowed = ("auto", *get_args(EngineName))
    if settings.engine not in allowed:
        raise ConfigError(f"engine: {settings.engine!r} does not speak; known are {', '.join(allowed)}")
    if not _SLOWEST <= settings.speed <= _FASTEST:
        raise ConfigError(f"speed: {settings.speed:g} is not between {_SLOWEST:g} and {_FASTEST:g}")
    name = _best(settings, known) if settings.engine == "auto" else settings.engine
    model, voice, base_url, speed = settings.model, settings.voice, settings.base_url, settings.speed
    match name:
        case "espeak":
            return Espeak(language=voice or settings.language, speed=speed)
        case "piper":
            return Piper(known, voice=_voice_file(settings, known), speed=speed)
        case "edge":
            return Edge(voice=voice, speed=speed)
        case "openai":
            return OpenAi(known, model=model, voice=voice, base_url=base_url, speed=speed)
        case "elevenlabs":
            return ElevenLabs(known, model=model, voice=voice, base_url=base_url, speed=speed)
        case _:
            assert_never(name)


def _best(settings: VoiceSettings, known: Mapping[str, str]) -> EngineName:
    if (settings.voice or "").endswith(".onnx"):
        return "piper"
    if known.get(elevenlabs.KEY):
        return "elevenlabs"
    if known.get(openai.KEY):
        return "openai"
    return "piper" if known.get(piper.VARIABLE) else "espeak"


def _voice_file(settings: VoiceSettings, known: Mapping[str, str]) -> Path:
    named = settings.voice or known.get(piper.VARIABLE)
    if not named:
        raise ConfigError(f"piper: no voice file is named; set voice or {piper.VARIABLE} to one that ends in .onnx")
    return Path(named)
