"""The voice: speaks a lesson, makes it as loud as players expect, and keeps when each word is heard."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import channel_files as files
from catching_up import work_off

from overnight.base.ports import RunContext
from overnight.studio.loudness import normalise
from overnight.studio.markup import parse
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.narrate import Spoken, narrate
from overnight.studio.speech.ports import Engine

Json = dict[str, Any]  # Any: what an agent has written
WAV = "voice.wav"


def voice_production(ctx: RunContext, video_id: str | None = None, **voice: Any) -> Json:
    """Speak a lesson, by default of the videos that wait for it. `voice` are fields of `VoiceSettings`.

    Raises:
        UserMistake, ConfigError: there is no such video, or a setting is wrong.
        MissingExtra: nothing that speaks, or no ffmpeg, is installed.
    """
    waiting = [video_id] if video_id else files.waiting_for(files.VOICE, needs=files.LESSON)
    return work_off(ctx, waiting, lambda one: _spoken(ctx, one, chosen(VoiceSettings(**voice))))


def _spoken(ctx: RunContext, one: str, engine: Engine) -> Json:
    lesson, folder = files.read(one, files.LESSON), files.folder_of(one)
    raw = folder / f".{WAV}"
    try:
        spoken = narrate(
            engine,
            parse(lesson["narration"]).pieces,
            raw,
            progress=lambda share: ctx.progress(round(100 * share), 100, video=one, engine=engine.name),
            cancelled=lambda: ctx.cancelled,
        )
        loudness = normalise(raw, folder / WAV, cancelled=lambda: ctx.cancelled)
    finally:
        raw.unlink(missing_ok=True)
    files.write(one, files.VOICE, _told(spoken, asdict(loudness)))
    ctx.count("narrations_spoken")
    return {"video_id": one, "engine": spoken.engine, "duration_s": spoken.duration_s, "loudness": asdict(loudness)}


def _told(spoken: Spoken, loudness: Json) -> Json:
    return {
        "wav": WAV,
        "engine": spoken.engine,
        "duration_s": spoken.duration_s,
        "words": [asdict(word) for word in spoken.words],
        "cues": [{"show": str(one.cue.show), "content": one.cue.content, "at_s": one.at_s} for one in spoken.cues],
        "loudness": loudness,
        "timed": spoken.timed,
    }


def wav_of(video_id: str) -> Path:
    """Return where the narration of a video is."""
    return files.folder_of(video_id) / WAV
