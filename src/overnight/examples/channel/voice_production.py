"""The voice: speaks a lesson, makes it as loud as players expect, and keeps when each word is heard."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import channel_files as files
from catching_up import work_off

from overnight.base.ports import RunContext
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.ports import Engine
from overnight.studio.speech.recording import Recorded, record

Json = dict[str, Any]  # Any: what an agent has written
WAV = "voice.wav"


def voice_production(ctx: RunContext, video_id: str | None = None, **voice: Any) -> Json:
    """Speak a lesson, by default of the videos that wait for it. `voice` are fields of `VoiceSettings`.

    Raises:
        UserMistake, ConfigError: there is no such video, or a setting is wrong.
        MissingExtra: nothing that speaks, or no ffmpeg, is installed.
    """
    waiting = [video_id] if video_id else files.waiting_for(files.VOICE, needs=files.LESSON)
    if not waiting:
        return {"video_id": None}
    engine = chosen(VoiceSettings(**voice))
    return work_off(ctx, waiting, lambda one: _spoken(ctx, one, engine))


def _spoken(ctx: RunContext, one: str, engine: Engine) -> Json:
    made = record(
        engine,
        files.read(one, files.LESSON)["narration"],
        wav_of(one),
        progress=lambda share: ctx.progress(round(100 * share), 100, video=one, engine=engine.name),
        cancelled=lambda: ctx.cancelled,
    )
    told = _told(made)
    files.write(one, files.VOICE, told)
    ctx.count("narrations_spoken")
    return {"video_id": one, **{name: told[name] for name in ("engine", "duration_s", "loudness")}}


def _told(made: Recorded) -> Json:
    spoken = made.spoken
    return {
        "wav": WAV,
        "engine": spoken.engine,
        "duration_s": spoken.duration_s,
        "words": [asdict(word) for word in spoken.words],
        "cues": [{"show": str(one.cue.show), "content": one.cue.content, "at_s": one.at_s} for one in spoken.cues],
        "loudness": asdict(made.loudness),
        "timed": spoken.timed,
    }


def wav_of(video_id: str) -> Path:
    """Return where the narration of a video is."""
    return files.folder_of(video_id) / WAV
