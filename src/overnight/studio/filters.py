"""What ffmpeg is told: how the stills of a segment become moving pictures, and the sound and the chapters. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

CHANGE_S, REVEAL_S, CLOSE_S = 0.5, 0.3, 0.8
"""How long a slide takes to become the next one, a part to appear, and the last slide to vanish."""
MUSIC_LUFS, SWELL_LUFS = -36.0, -17.0
"""How loud music is under a voice of -16 LUFS: 20 dB lower (WCAG 2.2, success criterion 1.4.7); and between its words
where it swells."""
_DUCKED = "sidechaincompress=threshold=0.005:ratio=20:attack=30:release=600:makeup=1:knee=1"
"""A voice of -16 LUFS is about 28 dB above that threshold, and takes 26 dB of the music away."""
_BARE = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "=;#\\\n"})


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a video that players list: from `begin_s` to the next chapter, or to the end."""

    begin_s: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A segment as ffmpeg shall make it.

    `changes` are the frames at which the next input takes over, and how many frames that takes. `start` and `total` are
    where the segment begins and how long the video is, for the bar that shows how much of it is over.
    """

    changes: tuple[tuple[int, int], ...]
    frames: int
    start: int
    total: int
    fps: int
    captions: str = ""


def motion_graph(motion: Motion) -> str:
    """Return the filter graph: inputs are the pictures, one more than `changes`, then that of the bar; output [out]."""
    fps, count = motion.fps, len(motion.changes) + 1
    held = f"loop=loop=-1:size=1,settb=1/{fps},setpts=N,fps={fps}"
    parts = [f"[{number}:v]{_BARE},{held}[i{number}]" for number in range(count)]
    last = "i0"
    for number, (frame, length) in enumerate(motion.changes, start=1):
        parts.append(
            f"[{last}][i{number}]xfade=transition=fade:duration={length / fps:.6f}:offset={frame / fps:.6f}[x{number}]"
        )
        last = f"x{number}"
    moved = f"-w+W*(n+{motion.start + 1})/{motion.total}"
    parts += [f"[{count}:v]{_BARE}[bar]", f"[{last}][bar]overlay=x='{moved}':y=H-h:eval=frame[over]"]
    last = "over"
    if motion.captions:
        at = motion.start / fps
        parts.append(f"[over]setpts=PTS+{at:.6f}/TB,{motion.captions},setpts=PTS-{at:.6f}/TB[said]")
        last = "said"
    parts.append(f"[{last}]trim=end_frame={motion.frames},format=yuv420p[out]")
    return ";".join(parts)


def changes(frames: Sequence[int], total: int, fps: int, *, closes: bool) -> tuple[tuple[int, int], ...]:
    """Return when each still takes over from the one before it, and in how many frames.

    `frames` are those at which the stills are to be seen first, of a segment of `total` frames; the first one comes
    in from the picture before it, and with `closes` the last one goes over into a picture that ends it.
    """
    starts = [*frames, *([max(0, total - round(CLOSE_S * fps))] if closes else [])]
    ends = [*starts[1:], total]
    lengths = [CHANGE_S, *[REVEAL_S] * (len(frames) - 1), *([CLOSE_S] if closes else [])]
    return tuple(
        (start, max(1, min(round(length * fps), end - start)))
        for start, end, length in zip(starts, ends, lengths, strict=True)
    )


def sound_graph(voice: int, music: int | None, duration_s: float, *, swells: bool = False) -> str:
    """Return the filter graph of the sound: the voice as it is, with music under it; output [sound].

    With `swells` the music is as loud as music is on its own, and the voice turns it down while it speaks.
    """
    even = "aresample=48000,aformat=channel_layouts=stereo"
    if music is None:
        return f"[{voice}:a]{even}[sound]"
    fades = f"afade=in:d=1,afade=out:st={max(0.0, duration_s - 3):.3f}:d=3"
    mixed = "amix=inputs=2:duration=first:normalize=0[sound]"
    if swells:
        return (
            f"[{voice}:a]{even},asplit[voice][key];[{music}:a]loudnorm=I={SWELL_LUFS:g}:TP=-3,{even},{fades}[loud];"
            f"[loud][key]{_DUCKED}[music];[voice][music]{mixed}"
        )
    quiet = f"loudnorm=I={MUSIC_LUFS:g}:TP=-9"
    return f"[{voice}:a]{even}[voice];[{music}:a]{quiet},{even},{fades}[music];[voice][music]{mixed}"


def metadata(title: str, chapters: Sequence[Chapter], duration_s: float) -> str:
    """Return a file of metadata as ffmpeg reads it (ffmpeg-formats, "Metadata")."""
    lines = [";FFMETADATA1", f"title={title.translate(_ESCAPED)}"]
    ends = [*(chapter.begin_s for chapter in chapters[1:]), duration_s]
    for chapter, end in zip(chapters, ends, strict=True) if chapters else ():
        span = f"START={round(chapter.begin_s * 1000)}\nEND={round(end * 1000)}"
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", span, f"title={chapter.title.translate(_ESCAPED)}"]
    return "\n".join(lines) + "\n"


def in_order(chapters: Sequence[Chapter], duration_s: float) -> bool:
    """Tell whether chapters begin one after the other, the first at 0, all before the end."""
    starts = [chapter.begin_s for chapter in chapters]
    return not starts or (starts[0] == 0 and starts[-1] < duration_s and all(a < b for a, b in pairwise(starts)))
