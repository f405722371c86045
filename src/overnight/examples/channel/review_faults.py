"""Flaws of a video that no sum of scores makes good, each by its name and in words. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claim_checks import Claim
from review_texts import CONTRADICTED

BLACK_S, FROZEN_S, LATE_S, SILENCE_S = 1.0, 2.0, 1.0, 4.0
SILENT_SHARE, CLIPPED_SHARE = 0.4, 0.001
ALIKE, SOUND_LATE_S = 0.5, 0.3
"""A sound is the narration from there on (music under it and encoding leave 0.9), and in time up to there."""
SHORT, LONG = 0.75, 1.5
"""A video may last so much of its narration at the least, and at the most."""
SCRIPT_OFF = 0.4
"""How far the time that the script was made for may be from that of the video, as a part of it."""
CAPTIONED, READABLE = 0.7, 1.5

Figures = Mapping[str, float | None]


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """What is wrong, by name and in words; `hopeless`: nobody can want to publish it."""

    name: str
    why: str
    hopeless: bool = False


def flaws(
    figures: Figures, claims: Sequence[Claim], overflows: Sequence[str], technical: Mapping[str, Any]
) -> list[Flaw]:
    """Return what is wrong with a video, the worst first."""
    found = [
        *_streams(figures, technical),
        *(_claim(one) for one in claims if one.fault in CONTRADICTED),
        *_captions(figures, technical),
        *_pictures(figures),
        *(Flaw(name="overflow", why=one) for one in overflows),
        *_sound(figures),
    ]
    return sorted(found, key=lambda one: not one.hopeless)


def _streams(figures: Figures, technical: Mapping[str, Any]) -> list[Flaw]:
    found = []
    if technical["video"] is None:
        found.append(Flaw(name="no picture", why="the file has no video stream", hopeless=True))
    if technical["audio"] is None:
        found.append(Flaw(name="no sound", why="the file has no audio stream", hopeless=True))
    lasts, voice, script = (figures[name] or 0.0 for name in ("duration_s", "voice_s", "script_s"))
    if not SHORT * voice <= lasts <= LONG * voice:
        why = f"it lasts {lasts:.1f} s, and what is said in it {voice:.1f} s"
        found.append(Flaw(name="duration", why=why, hopeless=True))
    elif abs(script - lasts) > SCRIPT_OFF * lasts:
        found.append(Flaw(name="duration", why=f"it lasts {lasts:.1f} s, and the script was made for {script:.1f} s"))
    return found


def _claim(one: Claim) -> Flaw:
    assert one.fault is not None, "it is contradicted"
    return Flaw(name=str(one.fault), why=f"{one.where}: {one.text!r}: {one.why}")


def _captions(figures: Figures, technical: Mapping[str, Any]) -> list[Flaw]:
    if not technical["captions"] or not figures["captioned_share"]:
        return [Flaw(name="no captions", why="there are no captions with what is said")]
    found = []
    if not technical["subtitles"] and not technical["burnt"]:
        found.append(Flaw(name="no captions in the file", why="players of the video alone have none to show"))
    late, share = figures.get("caption_off_s"), figures["captioned_share"]
    if late is not None and abs(late) > LATE_S:
        why = f"captions come {abs(late):.1f} s {'later' if late > 0 else 'sooner'} than the words"
        found.append(Flaw(name="captions out of time", why=why))
    if share < CAPTIONED:
        found.append(Flaw(name="captions miss words", why=f"captions have {100 * share:.0f} % of the words"))
    return found


def _pictures(figures: Figures) -> list[Flaw]:
    found = []
    black, frozen, seen = (figures.get(name) for name in ("black_s", "frozen_s", "seen_contrast"))
    if black is not None and black > BLACK_S:
        found.append(Flaw(name="black", why=f"the picture is black for {black:.1f} s"))
    if frozen is not None and frozen > FROZEN_S:
        why = f"the picture stands still for {frozen:.1f} s after it was to change"
        found.append(Flaw(name="frozen", why=why))
    if seen is not None and seen < READABLE:
        found.append(Flaw(name="unreadable text", why=f"text has a contrast of {seen:.1f}:1 in decoded frames"))
    return found


def _sound(figures: Figures) -> list[Flaw]:
    found = []
    late, alike = figures.get("sound_late_s"), figures.get("sound_alike")
    quiet = (figures.get("silent_share") or 0.0) > SILENT_SHARE
    if alike is not None and alike < ALIKE and not quiet:
        why = f"what is heard is not the narration (alike by {alike:.2f}, 1 would be the same)"
        found.append(Flaw(name="another sound", why=why, hopeless=True))
    elif late is not None and abs(late) > SOUND_LATE_S and not quiet:
        side = "later" if late > 0 else "sooner"
        why = f"the narration is heard {abs(late):.1f} s {side} than pictures and captions are made for"
        found.append(Flaw(name="sound out of time", why=why))
    silence, share, clipped = (figures.get(name) for name in ("silence_s", "silent_share", "clipped_share"))
    if silence is not None and silence > SILENCE_S:
        found.append(Flaw(name="silence", why=f"nothing is heard for {silence:.1f} s"))
    if share is not None and share > SILENT_SHARE:
        found.append(Flaw(name="silence", why=f"nothing is heard in {100 * share:.0f} % of it", hopeless=share > 0.9))
    if clipped is not None and clipped > CLIPPED_SHARE:
        found.append(Flaw(name="clipping", why=f"{100 * clipped:.2g} % of the sound is cut off at the loudest"))
    return found
