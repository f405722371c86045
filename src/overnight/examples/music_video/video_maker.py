"""Makes the video of a production: takes what a service has made, or renders slides with a voice and music."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from brief import SERVICES, Item, brief_of
from melody import Melody, melody
from treatment import film, narration

from overnight import ActContext
from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, UserMistake
from overnight.base.files import replace_file
from overnight.studio.captions import cut, late_by, srt, vtt
from overnight.studio.markup import Cue
from overnight.studio.measure import measured
from overnight.studio.music import play
from overnight.studio.scenes import Scene
from overnight.studio.slides.cues import slide_of
from overnight.studio.slides.slide import Kind, Slide, parts
from overnight.studio.slides.theme import named
from overnight.studio.speech.choosing import VoiceSettings, chosen
from overnight.studio.speech.narrate import Spoken
from overnight.studio.speech.ports import Engine
from overnight.studio.speech.recording import record
from overnight.studio.subtitles import subtitles
from overnight.studio.sync import shift
from overnight.studio.thumbnails import thumbnails
from overnight.studio.video import Captions, Look, Rendered, Sound, check_look, render

Json = dict[str, Any]
VIDEO, VOICE, MUSIC, SRT, VTT = "video.mp4", "voice.wav", "music.wav", "captions.srt", "captions.vtt"
DEFAULTS: Mapping[str, Any] = {"width": 1920, "height": 1080, "fps": 25, "theme": "midnight", "voice": {}}
HEADINGS = {
    Kind.BARS: "What is expected of it",
    Kind.TABLE: "Films that it stands beside",
    Kind.CODE: "Its music",
    Kind.DIAGRAM: "Its music",
}
REVEALED = 0.6
"""The parts of a slide appear within this share of its time."""


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What a video was rendered from, and how long that took."""

    spoken: Spoken
    scenes: tuple[Scene, ...]
    rendered: Rendered
    render_s: float


class VideoMaker:
    """Acts, and does not learn. Settings: `width`, `height`, `fps`, `theme`, and `voice`, fields of `VoiceSettings`."""

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Return where the video is, who made it, and what was measured of it.

        Raises:
            UserMistake: the brief has no title, its opening cannot be read, or no video has such a size.
            ConfigError: a setting is wrong.
            MissingExtra: the extra `studio` or `demo` is not installed.
        """
        brief = brief_of(item)
        made_by = next((name for name in SERVICES if brief[name].get("path")), None)
        if made_by is not None:
            path = Path(brief[made_by]["path"])
            return {"path": str(path), "made_by": made_by, "measured": _measured(path, ctx)}
        look, engine = _settings(ctx.settings)
        music = melody(brief)
        if music is not None:
            play(music.notes, ctx.folder / MUSIC)
        spoken = record(engine, narration(brief, music), ctx.folder / VOICE, cancelled=lambda: ctx.cancelled).spoken
        shown = cut(spoken.words)
        replace_file(ctx.folder / SRT, srt(shown))
        replace_file(ctx.folder / VTT, vtt(shown))
        scenes, problems = scenes_of(spoken)
        heard = None if music is None else ctx.folder / MUSIC
        clock = SystemClock()
        begun_s = clock.monotonic()
        rendered = _render(scenes, Sound(voice=ctx.folder / VOICE, music=heard, swells=True), look, brief["title"], ctx)
        render_s = clock.monotonic() - begun_s
        made = _Made(spoken=spoken, scenes=tuple(scenes), rendered=rendered, render_s=render_s)
        return _told(brief, made, music, problems, ctx)


def _render(scenes: list[Scene], sound: Sound, look: Look, title: str, ctx: ActContext) -> Rendered:
    return render(
        scenes,
        sound,
        ctx.folder / VIDEO,
        look=look,
        title=title,
        captions=Captions(srt=ctx.folder / SRT),
        progress=lambda done_s, total_s: ctx.progress(round(done_s), round(total_s), unit="s of video"),
        cancelled=lambda: ctx.cancelled,
    )


def _told(brief: Item, made: _Made, music: Melody | None, problems: list[str], ctx: ActContext) -> Json:
    folder, slides = ctx.folder, [one.slide for one in made.scenes]
    picture = next((one for kind in (Kind.BARS, Kind.TABLE, Kind.DIAGRAM) for one in slides if one.kind is kind), None)
    no_room = thumbnails(brief["title"], film(brief), picture, folder)
    left_out = [text for one in made.rendered.shown for text in one.overflow]
    left_out += [text for texts in no_room.values() for text in texts]
    return {
        "path": str(made.rendered.path),
        "made_by": "slides",
        "render_s": made.render_s,
        "captions": [str(folder / SRT), str(folder / VTT)],
        "thumbnails": [str(folder / f"thumbnail_{name}.png") for name in no_room],
        "voice": {"engine": made.spoken.engine, "words_timed": made.spoken.timed},
        "music": None if music is None else _credit(music, folder),
        "problems": [*problems, *made.rendered.notes, *left_out],
        "measured": {**_measured(made.rendered.path, ctx), **_in_time(made, ctx)},
    }


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


def _settings(given: Mapping[str, Any]) -> tuple[Look, Engine]:
    """Return what the video looks like and who speaks, looked at before anything is made."""
    wrong = sorted({*given} - {*DEFAULTS})
    if wrong:
        raise ConfigError(f"settings: there is no {wrong[0]!r}; known are {', '.join(DEFAULTS)}")
    settings = {**DEFAULTS, **given}
    for name, kind in (("width", int), ("height", int), ("fps", int), ("theme", str), ("voice", Mapping)):
        if not isinstance(settings[name], kind) or isinstance(settings[name], bool):
            what = {int: "a whole number", str: "a text"}.get(kind, "a table")
            raise ConfigError(f"settings.{name}: {settings[name]!r} is not {what}")
    look = Look(size=(settings["width"], settings["height"]), fps=settings["fps"], theme=named(settings["theme"]))
    check_look(look)
    try:
        return look, chosen(VoiceSettings(**settings["voice"]))
    except TypeError as error:
        raise ConfigError(f"settings.voice: {error}") from None


def _credit(music: Melody, folder: Path) -> Json:
    tune = music.tune
    return {
        "path": str(folder / MUSIC),
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


def _in_time(made: _Made, ctx: ActContext) -> Json:
    """Return how far what is heard is off the narration, and the captions in the file off what is heard."""
    path = made.rendered.path
    heard = shift(path, ctx.folder / VOICE, cancelled=lambda: ctx.cancelled)
    off = late_by(subtitles(path, cancelled=lambda: ctx.cancelled), made.spoken.words)
    late_s = None if off.median_s is None else off.median_s - heard.late_s
    return {
        "voice_late_s": heard.late_s,
        "voice_alike": heard.alike,
        "captions_late_s": late_s,
        "captions_missing_share": off.missing,
    }
