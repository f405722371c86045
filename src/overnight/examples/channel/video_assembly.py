"""Video assembly: draws what the narration shows, renders it with captions and chapters, and draws three thumbnails."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import channel_files as files
from catching_up import work_off
from prose import sentences
from storyboard import Storyboard, storyboard
from voice_production import wav_of

from overnight.base.clock import SystemClock
from overnight.base.files import replace_file
from overnight.base.ports import RunContext
from overnight.studio.captions import cut, srt, vtt
from overnight.studio.slides.slide import Kind, Slide
from overnight.studio.slides.theme import named
from overnight.studio.speech.ports import Word
from overnight.studio.thumbnails import thumbnails
from overnight.studio.video import Captions, Look, Rendered, Sound, render

Json = dict[str, Any]  # Any: what an agent has written
NEEDED = (files.SCRIPT, files.LESSON, files.VOICE)
PICTURES = (Kind.DIAGRAM, Kind.BARS, Kind.TABLE, Kind.CODE)


def video_assembly(
    ctx: RunContext,
    video_id: str | None = None,
    *,
    width: int = 1920,
    height: int = 1080,
    fps: int = 25,
    theme: str = "midnight",
    burn: bool = False,
    music: str | None = None,
    channel: str = "",
    workers: int | None = None,
) -> Json:
    """Render a video, by default those that wait for it.

    `burn` puts the captions into the picture; otherwise players show them. `music` is a file that is put under the
    voice; `channel` stands at the foot of each slide; without `workers` as many scenes are rendered at once as there
    are cores.

    Raises:
        UserMistake: there is no such video, or it cannot be rendered so.
        MissingExtra: ffmpeg, or what draws, is not installed.
    """
    waiting = [video_id] if video_id else files.waiting_for(files.ASSEMBLY, needs=NEEDED)
    look = Look(size=(width, height), fps=fps, theme=named(theme))
    wish = _Wish(look=look, burn=burn, music=music, channel=channel, workers=workers or os.cpu_count() or 1)
    return work_off(ctx, waiting, lambda one: _assembled(ctx, one, wish))


@dataclass(frozen=True, kw_only=True)
class _Wish:
    """How videos are made; see `video_assembly`."""

    look: Look
    burn: bool
    music: str | None
    channel: str
    workers: int


def _assembled(ctx: RunContext, one: str, wish: _Wish) -> Json:
    clock, folder = SystemClock(), files.folder_of(one)
    script, lesson, voice = (files.read(one, name) for name in NEEDED)
    board = storyboard(script, lesson, voice, channel=wish.channel)
    _write_captions(voice, folder)
    begun_s = clock.monotonic()
    rendered = render(
        board.scenes,
        Sound(voice=wav_of(one), music=None if wish.music is None else Path(wish.music)),
        folder / files.VIDEO,
        look=wish.look,
        title=script["title"],
        captions=Captions(srt=folder / files.SRT, burnt=wish.burn),
        chapters=board.chapters,
        workers=wish.workers,
        progress=lambda done_s, total_s: ctx.progress(round(done_s), round(total_s), video=one, unit="s of video"),
        cancelled=lambda: ctx.cancelled,
    )
    render_s = clock.monotonic() - begun_s
    promise = (sentences(script["hook"]) or [""])[0]
    lost = thumbnails(script["title"], promise, _picture(board), folder)
    files.write(one, files.ASSEMBLY, _told(board, rendered, wish, render_s, lost))
    ctx.count("videos_produced")
    problems = [{"video_id": one, "why": why} for why in board.problems]
    return {"video_id": one, "path": str(rendered.path), "duration_s": rendered.duration_s, "render_s": render_s,
            "problems": problems}  # fmt: skip


def _write_captions(voice: Json, folder: Path) -> None:
    captions = cut([Word(**word) for word in voice["words"]])
    replace_file(folder / files.SRT, srt(captions))
    replace_file(folder / files.VTT, vtt(captions))


def _picture(board: Storyboard) -> Slide | None:
    """Return the slide that explains most: the first diagram, else bars, else a table, else code."""
    slides = [scene.slide for scene in board.scenes]
    return next((slide for kind in PICTURES for slide in slides if slide.kind is kind), None)


def _told(board: Storyboard, rendered: Rendered, wish: _Wish, render_s: float, lost: Json) -> Json:
    return {
        "path": files.VIDEO,
        "captions": [files.SRT, files.VTT],
        "burnt": wish.burn,
        "duration_s": rendered.duration_s,
        "frames": rendered.frames,
        "size": list(wish.look.size),
        "fps": wish.look.fps,
        "theme": wish.look.theme.name,
        "render_s": render_s,
        "scenes": [
            {
                "kind": str(shown.scene.slide.kind),
                "title": shown.scene.slide.title,
                "begin_s": shown.scene.begin_s,
                "end_s": shown.scene.end_s,
                "reveals": list(shown.scene.reveals),
                "boxes": [asdict(box) for box in shown.boxes],
                "overflow": list(shown.overflow),
            }
            for shown in rendered.shown
        ],
        "chapters": [asdict(chapter) for chapter in board.chapters],
        "thumbnails_overflow": lost,
        "problems": list(board.problems),
    }
