"""Makes the video of a production: takes what a service has made, or renders slides with a voice and music."""

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from melody import Melody, melody
from treatment import narration

from overnight import ActContext
from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, UserMistake
from overnight.base.files import replace_file
from overnight.studio.captions import cut, late_by, srt, vtt
from overnight.studio.loudness import normalise
from overnight.studio.markup import Cue, parse
from overnight.studio.measure import measured
from overnight.studio.music import play
from overnight.studio.scenes import Scene
from overnight.studio.slides.cues import slide_of
from overnight.studio.slides.slide import Kind, Slide, parts
from overnight.studio.slides.theme import named
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.narrate import Spoken, narrate
from overnight.studio.thumbnails import thumbnails
from overnight.studio.video import Captions, Look, Sound, render

Json = dict[str, Any]
SERVICES = ("video_service_a", "video_service_b")
VIDEO, VOICE, MUSIC, SRT, VTT = "video.mp4", "voice.wav", "music.wav", "captions.srt", "captions.vtt"
KNOWN = ("width", "height", "fps", "theme", "voice")
HEADINGS = {
    Kind.BARS: "What is expected of it",
    Kind.TABLE: "Films that it stands beside",
    Kind.CODE: "Its music",
    Kind.DIAGRAM: "Its music",
}
REVEALED = 0.6
"""The parts of a slide appear within this share of its time."""


class VideoMaker:
    """Acts, and does not learn. Settings: `width`, `height`, `fps`, `theme`, and `voice`, fields of `VoiceSettings`."""

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Return where the video is, who made it, and what was measured of it.

        Raises:
            UserMistake: the brief's opening cannot be read, or nothing can be said.
            ConfigError: a setting is wrong.
            MissingExtra: the extra `studio` or `demo` is not installed.
        """
        made_by = next((name for name in SERVICES if item.get(name, {}).get("path")), None)
        if made_by is not None:
            path = Path(item[made_by]["path"])
            return {"path": str(path), "made_by": made_by, "measured": _measured(path, ctx)}
        return _Rendering(ctx, item).make()


class _Rendering:
    """One video of slides."""

    def __init__(self, ctx: ActContext, item: Json) -> None:
        self._ctx, self._item, self._look = ctx, item, _look(ctx.settings)

    def make(self) -> Json:
        folder, clock = self._ctx.folder, SystemClock()
        music = melody(self._item)
        spoken = self._speak(music)
        if music is not None:
            play(music.notes, folder / MUSIC)
        scenes, problems = scenes_of(spoken)
        captions = cut(spoken.words)
        replace_file(folder / SRT, srt(captions))
        replace_file(folder / VTT, vtt(captions))
        begun_s = clock.monotonic()
        rendered = render(
            scenes,
            Sound(voice=folder / VOICE, music=None if music is None else folder / MUSIC, swells=True),
            folder / VIDEO,
            look=self._look,
            title=self._item["title"],
            captions=Captions(srt=folder / SRT),
            workers=os.cpu_count() or 1,
            progress=lambda done_s, total_s: self._ctx.progress(round(done_s), round(total_s), unit="s of video"),
            cancelled=lambda: self._ctx.cancelled,
        )
        render_s = clock.monotonic() - begun_s
        picture = next((one.slide for one in scenes if one.slide.kind is Kind.BARS), None)
        lost = thumbnails(self._item["title"], str(self._item.get("genre", "")), picture, folder)
        late = late_by(captions, spoken.words)
        return {
            "path": str(rendered.path),
            "made_by": "slides",
            "render_s": render_s,
            "captions": [str(folder / SRT), str(folder / VTT)],
            "thumbnails": [str(folder / f"thumbnail_{name}.png") for name in lost],
            "voice": spoken.engine,
            "music": None if music is None else _credit(music),
            "problems": [*problems, *rendered.notes, *(text for one in rendered.shown for text in one.overflow)],
            "measured": {**_measured(rendered.path, self._ctx), "captions_late_s": late.worst_s},
        }

    def _speak(self, music: Melody | None) -> Spoken:
        engine = chosen(_fields("voice", VoiceSettings, self._ctx.settings.get("voice", {})))
        raw = self._ctx.folder / f".{VOICE}"
        told = parse(narration(self._item, music))
        try:
            spoken = narrate(engine, told.pieces, raw, cancelled=lambda: self._ctx.cancelled)
            normalise(raw, self._ctx.folder / VOICE, cancelled=lambda: self._ctx.cancelled)
        finally:
            raw.unlink(missing_ok=True)
        return spoken


def scenes_of(spoken: Spoken) -> tuple[list[Scene], list[str]]:
    """Return a scene for each cue, from when it is due until the next one; and the cues that cannot be shown. Pure."""
    shots: list[tuple[float, Slide]] = []
    problems = []
    for one in spoken.cues:
        try:
            shots.append((one.at_s, _slide(one.cue)))
        except UserMistake as error:
            problems.append(str(error))
    ends = [*(at_s for at_s, _ in shots[1:]), spoken.duration_s]
    scenes = []
    for number, ((at_s, slide), end_s) in enumerate(zip(shots, ends, strict=True)):
        begin_s, count = at_s if number else 0.0, parts(slide)
        step = (end_s - begin_s) * REVEALED / max(1, count)
        reveals = tuple(begin_s + place * step for place in range(count))
        scenes.append(Scene(slide=slide, begin_s=begin_s, end_s=end_s, reveals=reveals))
    return scenes, problems


def _slide(cue: Cue) -> Slide:
    slide = slide_of(str(cue.show), cue.content, quotes={})
    return replace(slide, title=slide.title or HEADINGS.get(slide.kind, ""))


def _look(settings: Mapping[str, Any]) -> Look:
    wrong = sorted({*settings} - {*KNOWN})
    if wrong:
        raise ConfigError(f"settings: there is no {wrong[0]!r}; known are {', '.join(KNOWN)}")
    size = (int(settings.get("width", 1920)), int(settings.get("height", 1080)))
    return Look(size=size, fps=int(settings.get("fps", 25)), theme=named(str(settings.get("theme", "midnight"))))


def _fields(where: str, made: Any, values: Mapping[str, Any]) -> Any:
    try:
        return made(**values)
    except TypeError as error:
        raise ConfigError(f"settings.{where}: {error}") from None


def _credit(music: Melody) -> Json:
    tune = music.tune
    return {
        "file": MUSIC,
        "tempo": music.tempo,
        "notes": len(music.notes),
        "tune": None if tune is None else tune.title,
        "encoder": None if tune is None else tune.encoder,
    }


def _measured(path: Path, ctx: ActContext) -> Json:
    """Return what was measured of a video file: seconds, size, streams, loudness, and runs that nobody wants to see."""
    found = measured(path, cancelled=lambda: ctx.cancelled)
    video, audio = found.media.video, found.media.audio
    return {
        "duration_s": found.media.duration_s,
        "size": None if video is None else [video.width, video.height],
        "codecs": [one.codec for one in (video, audio) if one is not None],
        "loudness": None if found.loudness is None else asdict(found.loudness),
        "black_s": sum(run.long_s for run in found.black_runs),
        "silent_s": sum(run.long_s for run in found.silences),
        "clipped_share": found.clipped_share,
    }
