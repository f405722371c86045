"""Renders slides and a narration into a video: H.264 and AAC in an MP4, with captions and chapters.

Each scene is rendered by an ffmpeg of its own, several at a time, and what they made is joined without being encoded
again. A scene is made of few stills, so that an encoder has little to do where nothing moves.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from overnight.base.errors import MissingExtra, UserMistake, said_by
from overnight.studio import ffmpeg
from overnight.studio.captions import read
from overnight.studio.errors import NoRoom, Stopped, Unreadable
from overnight.studio.filters import Chapter, Motion, changes, in_order, metadata, motion_graph, sound_graph
from overnight.studio.probe import probe
from overnight.studio.scenes import Scene, Segment, segments
from overnight.studio.slides.canvas import Box
from overnight.studio.slides.draw import Drawn, draw
from overnight.studio.slides.fonts import Fonts
from overnight.studio.slides.theme import MIDNIGHT, Theme, check

SIZE, FPS, WORKERS = (1920, 1080), 25, 2
_BAR = 10 / 1080
"""How high the bar is that shows how much is over, as a share of the picture."""
_KEY_S = 10
"""Seconds between two pictures that a player can jump to."""
_COLOURS = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"]
_ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "stillimage", "-crf", "20", "-bf", "0", "-threads", "1"]
_AUDIO = ["-c:a", "aac", "-aac_coder", "fast", "-ar", "48000"]
"""The other coder takes twice as long, which was a tenth of the time for all of a video; speech is none the better."""
_BURNT = (
    "subtitles=captions.srt:fontsdir=fonts:force_style='FontName=Inter,FontSize=12.5,BorderStyle=3,Outline=2,Shadow=0,"
    "OutlineColour=&H00281A12,MarginV=21'"
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a video looks like: `size` in pixels (both even), frames a second, and the theme of its slides."""

    size: tuple[int, int] = SIZE
    fps: int = FPS
    theme: Theme = MIDNIGHT


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What is heard: a narration, and music that is put under it, from its begin, as quiet as is fit.

    With `swells` the music comes up where nobody speaks.
    """

    voice: Path
    music: Path | None = None
    swells: bool = False


@dataclass(frozen=True, kw_only=True)
class Captions:
    """An SRT file, which players show or, `burnt`, everybody sees."""

    srt: Path
    burnt: bool = False
    language: str = "eng"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A scene as it is seen: where its text stands when all of it is there, and what had no room."""

    scene: Scene
    boxes: tuple[Box, ...]
    overflow: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A video that was made; `notes` say in a line each what is wrong with its fonts."""

    path: Path
    duration_s: float
    frames: int
    shown: tuple[Shown, ...]
    notes: tuple[str, ...]


def render(
    scenes: Sequence[Scene],
    sound: Sound,
    out: Path,
    *,
    look: Look | None = None,
    title: str = "",
    captions: Captions | None = None,
    chapters: Sequence[Chapter] = (),
    workers: int = WORKERS,
    progress: Callable[[float, float], None] = lambda done_s, total_s: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Rendered:
    """Render the scenes with the sound into `out`, which is the old file or the whole new one.

    `progress` is told the seconds that are rendered, and those that there are. `workers` scenes are rendered at a time,
    each by a process of its own that takes one core.

    Raises:
        UserMistake: scenes, chapters or size cannot be: see `segments`; ConfigError: nor can the theme.
        Unreadable: the sound, the music or the captions are none.
        Stopped: `cancelled` said so.
        NoRoom: the disk is full.
        MissingExtra, FfmpegFailed, TooSlow: see `ffmpeg.run`.
    """
    look = look or Look()
    check_look(look, workers)
    duration_s = _length(sound.voice)
    if sound.music is not None:
        _length(sound.music)
    if captions is not None:
        _check_captions(captions.srt)
    if not in_order(chapters, duration_s):
        raise UserMistake("chapters begin one after the other, the first at 0 s, all before the end")
    _sweep(out)
    made = segments(scenes, duration_s, look.fps)
    total = made[-1].start + made[-1].frames
    with _named(out), ffmpeg.made_whole(out) as file, _folder_beside(out) as work:
        film = _Film(look=look, work=work, segments=made, total=total, burnt=_burnt(captions, work))
        shown = film.render(workers, progress, cancelled)
        (work / "about.txt").write_text(metadata(title, chapters, duration_s), encoding="utf-8")
        args = [*_joined(film, sound, captions), file.resolve()]
        ffmpeg.run(args, cwd=work, timeout_s=_patience_s(total / look.fps), cancelled=cancelled)
    notes = tuple(Fonts(look.theme).notes)
    return Rendered(path=out, duration_s=duration_s, frames=total, shown=shown, notes=notes)


def _sweep(out: Path) -> None:
    """Remove what a render of this file that was killed has left behind: nobody renders one file twice at a time."""
    stem = escape(out.stem)
    for folder in out.parent.glob(f".{stem}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for file in out.parent.glob(f".{stem}.*{escape(out.suffix)}"):
        file.unlink(missing_ok=True)


def check_look(look: Look, workers: int = WORKERS) -> None:
    """Refuse a size, a rate or a theme that no video can have.

    Raises:
        UserMistake: the size or the rate cannot be; ConfigError: nor can the theme.
    """
    width, height = look.size
    if min(width, height) < 64 or width % 2 or height % 2:
        raise UserMistake(f"size: {width}x{height}: both are even, and 64 at least")
    if look.fps < 1 or workers < 1:
        raise UserMistake(f"fps: {look.fps}, workers: {workers}: both are 1 at least")
    check(look.theme)


def _patience_s(seconds: float) -> float:
    """Return how long ffmpeg may take for so much of a video: a busy core makes 1080p about as fast as it is seen."""
    return 600 + 10 * seconds


def _length(voice: Path) -> float:
    audio = probe(voice).audio
    if audio is None or not audio.duration_s:
        raise Unreadable(f"{voice}: holds no sound")
    return audio.duration_s


def _check_captions(srt: Path) -> None:
    """See to it that there are captions in the file, before anything is rendered."""
    try:
        text = srt.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{srt}: cannot be read: {said_by(error)}") from error
    if not read(text):
        raise Unreadable(f"{srt}: holds no captions")


@contextmanager
def _named(out: Path) -> Iterator[None]:
    """Name the video where the disk was full, and not the part of it that was just being written."""
    try:
        yield
    except NoRoom as error:
        raise ffmpeg.full(out) from error


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """Give a folder for what is needed meanwhile; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.stem}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _burnt(captions: Captions | None, work: Path) -> str:
    """Lay out what burnt captions need, and return their filter; nothing where they are not burnt."""
    if captions is None or not captions.burnt:
        return ""
    # The filter has rules of its own for paths, so that they are read from here under plain names.
    shutil.copyfile(captions.srt, work / "captions.srt")
    (work / "fonts").mkdir()
    font = Fonts(MIDNIGHT).file("text")
    if font is None:
        raise MissingExtra("burnt captions need the fonts of the extra 'studio': pip install 'overnight[studio]'")
    shutil.copyfile(font, work / "fonts" / font.name)
    return _BURNT


@dataclass(frozen=True, kw_only=True)
class _Film:
    """What is rendered, in a folder where the parts are put."""

    look: Look
    work: Path
    segments: tuple[Segment, ...]
    total: int
    burnt: str

    def part(self, number: int) -> str:
        return f"part{number:04}.mp4"

    def render(
        self, workers: int, progress: Callable[[float, float], None], cancelled: Callable[[], bool]
    ) -> tuple[Shown, ...]:
        """Render all segments; the first that fails ends the others."""
        over, meter = threading.Event(), _Meter(progress, self.total / self.look.fps)
        self._plain("bar.png", (self.look.size[0], max(2, round(self.look.size[1] * _BAR))), self.look.theme.accent)
        self._plain("plain.png", self.look.size, self.look.theme.background)
        local = threading.local()

        def work(segment: Segment) -> Shown:
            try:
                if not hasattr(local, "fonts"):
                    local.fonts = Fonts(self.look.theme)
                return self._segment(segment, local.fonts, meter, lambda: over.is_set() or cancelled())
            except BaseException:
                over.set()
                raise

        # Long ones first: at the end no core waits for one that was begun late.
        order = sorted(self.segments, key=lambda one: -one.frames)
        with ThreadPoolExecutor(workers, "overnight-render") as pool:
            futures = {segment.number: pool.submit(work, segment) for segment in order}
            errors = [error for one in futures.values() if (error := one.exception()) is not None]
        if errors:
            raise next((one for one in errors if not isinstance(one, Stopped)), errors[0])
        return tuple(futures[segment.number].result() for segment in self.segments)

    def _segment(self, one: Segment, fonts: Fonts, meter: "_Meter", stop: Callable[[], bool]) -> Shown:
        if stop():
            raise Stopped("rendering was asked to stop")
        pictures, whole = self._stills(one, fonts)
        first, last = one.number == 0, one.number == len(self.segments) - 1
        # The first slide is there at once: file managers and players show the first frame before anything is played.
        before = pictures[0] if first else self._last_of(self.segments[one.number - 1], fonts)
        inputs = [before, *pictures, *(["plain.png"] if last else []), "bar.png"]
        motion = Motion(
            changes=changes([still.frame for still in one.stills], one.frames, self.look.fps, closes=last),
            frames=one.frames,
            start=one.start,
            total=self.total,
            fps=self.look.fps,
            captions=self.burnt,
        )
        rate = str(self.look.fps)
        args = [word for name in inputs for word in ("-framerate", rate, "-i", name)]
        args += ["-filter_complex_threads", "1", "-filter_complex", motion_graph(motion), "-map", "[out]", *_ENCODER]
        args += ["-g", str(self.look.fps * _KEY_S), *_COLOURS, "-video_track_timescale", "90000", self.part(one.number)]
        seconds = one.frames / self.look.fps
        ffmpeg.run(
            args,
            cwd=self.work,
            timeout_s=_patience_s(seconds),
            cancelled=stop,
            progress=lambda done_s: meter.tell(one.number, done_s),
        )
        meter.tell(one.number, seconds)
        return Shown(scene=self._scene(one), boxes=whole.boxes, overflow=whole.overflow)

    def _stills(self, one: Segment, fonts: Fonts) -> tuple[list[str], Drawn]:
        names = []
        for still in one.stills:
            drawn = draw(one.slide, self.look.theme, self.look.size, fonts=fonts, shown=still.shown)
            names.append(f"still{one.number:04}-{still.shown}.png")
            drawn.image.save(self.work / names[-1], compress_level=1)
        return names, drawn

    def _last_of(self, one: Segment, fonts: Fonts) -> str:
        """Draw what is seen last of a segment; another worker may draw the same for itself."""
        name = f"before{one.number + 1:04}.png"
        drawn = draw(one.slide, self.look.theme, self.look.size, fonts=fonts, shown=one.stills[-1].shown)
        drawn.image.save(self.work / name, compress_level=1)
        return name

    def _scene(self, one: Segment) -> Scene:
        fps = self.look.fps
        reveals = tuple((one.start + still.frame) / fps for still in one.stills[1:])
        end_s = (one.start + one.frames) / fps
        return Scene(slide=one.slide, begin_s=one.start / fps, end_s=end_s, reveals=reveals)

    def _plain(self, name: str, size: tuple[int, int], colour: str) -> None:
        from PIL import Image

        Image.new("RGB", size, colour).save(self.work / name)


class _Meter:
    """Adds up what several workers have done."""

    def __init__(self, progress: Callable[[float, float], None], total_s: float) -> None:
        self._progress, self._total_s = progress, total_s
        self._lock, self._done = threading.Lock(), dict[int, float]()

    def tell(self, number: int, done_s: float) -> None:
        with self._lock:
            self._done[number] = max(done_s, self._done.get(number, 0.0))
            self._progress(min(sum(self._done.values()), self._total_s), self._total_s)


def _joined(film: _Film, sound: Sound, captions: Captions | None) -> list[str | Path]:
    """Return what ffmpeg is told to join the parts with the sound, the captions and `about.txt`."""
    parts = "".join(f"file '{film.part(one.number)}'\n" for one in film.segments)
    (film.work / "parts.txt").write_text(f"ffconcat version 1.0\n{parts}")
    seconds = film.total / film.look.fps
    args: list[str | Path] = ["-f", "concat", "-i", "parts.txt", "-i", "about.txt", "-i", sound.voice.resolve()]
    if sound.music is not None:
        args += ["-stream_loop", "-1", "-i", sound.music.resolve()]
    maps = ["-map", "0:v", "-map", "[sound]"]
    if captions is not None and not captions.burnt:
        number = 3 + (sound.music is not None)
        args += ["-i", captions.srt.resolve()]
        maps += ["-map", f"{number}:s", "-c:s", "mov_text", "-metadata:s:s:0", f"language={captions.language}"]
    graph = sound_graph(2, None if sound.music is None else 3, seconds, swells=sound.swells)
    args += ["-filter_complex", graph, *maps, "-map_metadata", "1", "-map_chapters", "1", "-c:v", "copy", *_AUDIO]
    return [*args, "-t", f"{seconds:.6f}", "-movflags", "+faststart"]
