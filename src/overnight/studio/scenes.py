"""Scenes of a video, and the pieces that it is rendered in: which still is seen from which frame on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.base.errors import UserMistake
from overnight.studio.slides.slide import Slide, parts

_APART_S = 0.1
"""How far the end of a scene and the begin of the next one may lie apart."""
_TAIL_S = 1.0
"""By how much the last scene may end before or after the sound."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A slide that is seen from `begin_s` to `end_s`, in seconds of the sound.

    `reveals` are the instants at which its parts appear one after another (`slides.slide.parts`): with fewer instants
    than parts, the last one brings all that are left; without any, all is there from the begin.
    """

    slide: Slide
    begin_s: float
    end_s: float
    reveals: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Still:
    """What is seen from a frame of its segment on: the slide with so many of its parts."""

    shown: int
    frame: int


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A scene in frames: it begins at frame `start` of the video, and has `frames` of them."""

    number: int
    slide: Slide
    start: int
    frames: int
    stills: tuple[Still, ...]


def segments(scenes: Sequence[Scene], duration_s: float, fps: int) -> tuple[Segment, ...]:
    """Return the scenes in frames; together they are as long as the sound. A scene shorter than a frame is left out.

    Raises:
        UserMistake: they leave a gap, overlap, end with another instant than the sound, or show a part out of order.
    """
    if not scenes:
        raise UserMistake("a video needs a scene: there is none")
    _check(scenes, duration_s)
    total = max(1, round(duration_s * fps))
    starts = [0, *(min(total, round(scene.begin_s * fps)) for scene in scenes[1:]), total]
    found = list[Segment]()
    for scene, start, end in zip(scenes, starts, starts[1:], strict=False):
        if end > start:
            stills = _stills(scene, start, end - start, fps)
            found.append(Segment(number=len(found), slide=scene.slide, start=start, frames=end - start, stills=stills))
    return tuple(found)


def _check(scenes: Sequence[Scene], duration_s: float) -> None:
    ends = [0.0, *(scene.end_s for scene in scenes)]
    for number, (scene, before) in enumerate(zip(scenes, ends, strict=False), start=1):
        where = f"scene {number} ({scene.slide.kind}, {scene.slide.title!r})"
        if abs(scene.begin_s - before) > _APART_S:
            raise UserMistake(f"{where} begins at {scene.begin_s:.2f} s; what is before it ends at {before:.2f} s")
        if scene.end_s < scene.begin_s:
            raise UserMistake(f"{where} ends at {scene.end_s:.2f} s, before it begins at {scene.begin_s:.2f} s")
        if len(scene.reveals) > parts(scene.slide):
            raise UserMistake(
                f"{where} has {parts(scene.slide)} parts to show, and {len(scene.reveals)} instants for them"
            )
        if list(scene.reveals) != sorted(scene.reveals):
            raise UserMistake(
                f"{where} shows its parts out of order: {', '.join(f'{at:.2f}' for at in scene.reveals)} s"
            )
        if any(not scene.begin_s - _APART_S <= at <= scene.end_s + _APART_S for at in scene.reveals):
            raise UserMistake(f"{where} shows a part while it is not seen: {scene.begin_s:.2f} to {scene.end_s:.2f} s")
    if abs(ends[-1] - duration_s) > _TAIL_S:
        raise UserMistake(f"the last scene ends at {ends[-1]:.2f} s, the sound at {duration_s:.2f} s")


def _stills(scene: Scene, start: int, frames: int, fps: int) -> tuple[Still, ...]:
    """Return what is seen, from the first frame on; of what appears at the same frame, only the last."""
    count, last = len(scene.reveals), parts(scene.slide)
    by_frame = {0: 0 if count else last}
    for number, at in enumerate(scene.reveals, start=1):
        frame = min(frames - 1, max(0, round(at * fps) - start))
        by_frame[frame] = last if number == count else number
    return tuple(Still(shown=shown, frame=frame) for frame, shown in by_frame.items())
