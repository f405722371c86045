"""What a review measures on a video's files: streams, black, frozen and silent runs, sound, captions, decoded frames.

Nothing here judges: `review_faults` does. Where there is no sound or no picture, its figures are None.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import channel_files as files
import review_pictures

from overnight.studio import captions, measure, sync
from overnight.studio.loudness import TARGET_LUFS
from overnight.studio.measure import Measured, Run
from overnight.studio.probe import frames
from overnight.studio.speech.ports import Word
from overnight.studio.subtitles import subtitles

Json = dict[str, Any]  # Any: what agents have written
CAPTIONS = (files.SRT, files.VTT)
_BEFORE_END_S, _BEFORE_CLOSE_S = 0.15, 1.0
"""A scene is looked at so long before it ends, when all its parts are there; the last one before it fades away."""
_LASTING_S = 0.5
"""A freeze counts from there on: so long a change may take, and runs are not told more exactly."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was measured: figures by name, texts that do not fit (each in words), and facts on the file."""

    figures: dict[str, float | None]
    overflows: tuple[str, ...]
    technical: Json


def look(folder: Path, script: Json, voice: Json, assembly: Json, cancelled: Callable[[], bool]) -> Seen:
    """Measure the files of a video.

    Raises:
        UserMistake: the video is not there, or is none.
        Stopped: it was cancelled.
    """
    path = folder / files.VIDEO
    found = measure.measured(path, cancelled=cancelled)
    media, lasts = found.media, found.media.duration_s or 0.0
    figures: dict[str, float | None] = {
        "duration_s": lasts,
        "script_s": float(script["estimated_duration_seconds"]),
        "voice_s": float(voice["duration_s"]),
        "words_per_minute": _pace(voice),
        **_planned(assembly, lasts),
        **_sound(found, lasts),
        **_heard(found, path, folder / voice["wav"], cancelled),
    }
    inside = subtitles(path, cancelled=cancelled) if media.subtitles else None
    figures |= _captions(folder, voice, inside, figures.get("sound_late_s"))
    overflows = list(_planned_overflow(assembly))
    if media.video is not None:
        cut, seen = _pictures(path, found, assembly, lasts)
        overflows += cut
        figures |= seen
    figures["overflows"] = float(len(overflows))
    technical = {
        "video": None if media.video is None else asdict(media.video),
        "audio": None if media.audio is None else asdict(media.audio),
        "subtitles": [asdict(one) for one in media.subtitles],
        "captions": [name for name in CAPTIONS if (folder / name).is_file()],
        "burnt": bool(assembly.get("burnt")),
    }
    return Seen(figures=figures, overflows=tuple(overflows), technical=technical)


def _planned(assembly: Json, duration_s: float) -> dict[str, float | None]:
    """Return how often something changes, as it is planned: `frozen_s` says whether it did."""
    scenes = assembly["scenes"]
    changes = sorted({float(at) for one in scenes for at in [one["begin_s"], *one.get("reveals", [])]})
    contrasts = [float(box["contrast"]) for one in scenes for box in one["boxes"]]
    return {
        "changes_per_minute": len(changes) / duration_s * 60 if duration_s else None,
        "scene_kinds": float(len({one["kind"] for one in scenes})),
        "contrast": min(contrasts, default=None),
    }


def _pictures(path: Path, found: Measured, assembly: Json, lasts: float) -> tuple[list[str], dict[str, float | None]]:
    """Return where text is seen to be cut off, and the figures of what is seen."""
    import numpy as np

    scenes = [one for one in assembly["scenes"] if one["begin_s"] < lasts - _BEFORE_CLOSE_S]
    rims, seen = [], []
    for scene, picture in zip(scenes, frames(path, [_instant(one, lasts) for one in scenes]), strict=True):
        image = np.asarray(picture)
        rims.append(review_pictures.rims(image))
        scale_x, scale_y = (image.shape[1 - place] / assembly["size"][place] for place in (0, 1))
        by = {"x": scale_x, "w": scale_x, "y": scale_y, "h": scale_y}
        scaled = [{name: box[name] * scale for name, scale in by.items()} for box in scene["boxes"]]
        seen += [one for box in scaled if (one := review_pictures.contrast(image, box)) is not None]
    cut = [
        f"{_name(scenes[number])}: text is cut off at the {side} of the picture"
        for number, side in (review_pictures.cut_off(rims) if rims else [])
    ]
    figures = {
        "black_s": longest(found.black_runs),
        "frozen_s": _past_changes(found.frozen_runs, [float(one["begin_s"]) for one in assembly["scenes"]]),
        "stillest_s": longest(found.frozen_runs),
        "seen_contrast": min(seen, default=None),
    }
    return cut, figures


def _planned_overflow(assembly: Json) -> list[str]:
    width, height = assembly["size"]
    found = []
    for scene in assembly["scenes"]:
        found += [f"{_name(scene)}: {text!r} does not fit" for text in scene["overflow"]]
        outside = [box for box in scene["boxes"] if review_pictures.out_of_frame(box, width, height)]
        found += [f"{_name(scene)}: {box['text']!r} reaches out of the picture" for box in outside]
    return found


def _name(scene: Json) -> str:
    return f"{scene['kind']} {scene['title']!r} at {scene['begin_s']:.0f} s"


def _instant(scene: Json, duration_s: float) -> float:
    at = min(float(scene["end_s"]) - _BEFORE_END_S, duration_s - _BEFORE_CLOSE_S)
    return max(float(scene["begin_s"]), at)


def _past_changes(frozen: Sequence[Run], begins: Sequence[float]) -> float:
    """Return how long a picture stood still at the most, after it was to become another one."""
    still = [
        run.end_s - begin
        for run in frozen
        for begin in begins
        if run.begin_s + _LASTING_S < begin < run.end_s - _LASTING_S
    ]
    return max(still, default=0.0)


def _sound(found: Measured, lasts: float) -> dict[str, float | None]:
    if found.media.audio is None:
        return {}
    figures: dict[str, float | None] = {
        "silence_s": longest(found.silences),
        "silent_share": sum(run.long_s for run in found.silences) / lasts if lasts else None,
        "clipped_share": found.clipped_share,
    }
    if found.loudness is None:
        return figures
    return {
        **figures,
        "loudness_lufs": found.loudness.integrated_lufs,
        "loudness_off_lu": abs(found.loudness.integrated_lufs - TARGET_LUFS),
        "true_peak_dbtp": found.loudness.true_peak_dbtp,
    }


def _heard(found: Measured, path: Path, narration: Path, cancelled: Callable[[], bool]) -> dict[str, float | None]:
    """Return how far what is heard is off the narration, and how much it is like it."""
    if found.media.audio is None or not narration.is_file():
        return {}
    heard = sync.shift(path, narration, cancelled=cancelled)
    return {"sound_late_s": heard.late_s, "sound_alike": heard.alike}


def _captions(
    folder: Path, voice: Json, inside: list[captions.Caption] | None, sound_late_s: float | None
) -> dict[str, float | None]:
    """Return how captions fit what is heard, of the file or stream whose captions fit worst.

    `inside` are those of the video file, None where it has no stream of them.
    """
    words = [Word(text=one["text"], begin_s=one["begin_s"], end_s=one["end_s"]) for one in voice["words"]]
    texts = [(folder / name).read_text(errors="replace") for name in CAPTIONS if (folder / name).is_file()]
    shown = [*map(captions.read, texts), *([] if inside is None else [inside])]
    if not shown or not words:
        return {"captioned_share": 0.0}
    found = [captions.late_by(one, words) for one in shown]
    worst = max(found, key=lambda one: (one.missing, abs(one.median_s or 0.0)))
    return {
        "captioned_share": 1 - worst.missing,
        # The words have the times of the narration, and what is heard may come later than that.
        "caption_late_s": None if worst.median_s is None else abs(worst.median_s - (sound_late_s or 0.0)),
        "caption_off_s": worst.median_s,
        "caption_worst_s": worst.worst_s,
    }


def longest(runs: Sequence[Run]) -> float:
    """Return how long the longest run is; 0 where there is none."""
    return max((run.long_s for run in runs), default=0.0)


def _pace(voice: Json) -> float | None:
    return len(voice["words"]) / voice["duration_s"] * 60 if voice["words"] and voice["duration_s"] else None
