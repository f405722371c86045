"""The storyboard: which slide is seen when, from what is said, when it is said, and what is to be shown. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prose import sentences

from overnight.base.errors import UserMistake
from overnight.studio.filters import Chapter
from overnight.studio.scenes import Scene
from overnight.studio.slides.cues import slide_of
from overnight.studio.slides.slide import Kind, Slide, parts

Json = Mapping[str, Any]  # Any: what agents have written
SHORTEST_S = 2.2
"""A title is seen so long, unless the next picture comes: then it stands above that one."""
MOST_BULLETS, MOST_LETTERS, MOST_QUOTED = 4, 96, 220
FIRST_SHARE = 0.6
"""Parts that nobody names are shown one after the other in this share of the scene."""
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class Storyboard:
    """The scenes of a video, its chapters, and cues that could not be shown, each with the reason."""

    scenes: tuple[Scene, ...]
    chapters: tuple[Chapter, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Shot:
    """A slide from an instant on."""

    at_s: float
    slide: Slide
    heading: bool = False


def storyboard(script: Json, lesson: Json, voice: Json, *, channel: str = "") -> Storyboard:
    """Return the storyboard of a video; `channel` stands at the foot of each slide."""
    problems: list[str] = []
    shots = _without_hasty_titles([*_opening(script, lesson, voice), *_shots(script, voice, problems)])
    shots = [*shots, *_ending(script, lesson, voice, shots)]
    heard = _Heard(voice["words"])
    scenes = []
    for number, shot in enumerate(shots):
        begin_s = shot.at_s if number else 0.0
        end_s = shots[number + 1].at_s if number + 1 < len(shots) else float(voice["duration_s"])
        slide = replace(shot.slide, footer=channel)
        scenes.append(Scene(slide=slide, begin_s=begin_s, end_s=end_s, reveals=_reveals(slide, begin_s, end_s, heard)))
    return Storyboard(scenes=tuple(scenes), chapters=tuple(_chapters(voice)), problems=tuple(problems))


class _Heard:
    """Tells when something is said."""

    def __init__(self, words: Sequence[Json]) -> None:
        found = [(token, float(one["begin_s"])) for one in words for token in _WORD.findall(one["text"].lower())]
        self._tokens, self._at_s = [token for token, _ in found], [at_s for _, at_s in found]

    def at(self, text: str, from_s: float, to_s: float) -> float | None:
        """Return when the first words of a text are said between two instants; None where they are not."""
        wanted = _WORD.findall(text.lower())[:3]
        for place in range(len(self._tokens) - len(wanted) + 1):
            if from_s <= self._at_s[place] < to_s and self._tokens[place : place + len(wanted)] == wanted:
                return self._at_s[place] if wanted else None
        return None


def _opening(script: Json, lesson: Json, voice: Json) -> Iterator[_Shot]:
    """Yield the title, and then what the video is about."""
    yield _Shot(at_s=0.0, slide=Slide(kind=Kind.TITLE, title=str(script["title"]), text=str(script["hook"])))
    begin_s = _Heard(voice["words"]).at(str(script["intro"]), 1.0, float(voice["duration_s"]))
    first = next((cue["at_s"] for cue in voice["cues"][1:] if cue["show"] == "title"), None)
    if begin_s is not None and lesson["objectives"] and (first is None or begin_s < first - SHORTEST_S):
        aims = tuple(one[:1].upper() + one[1:] for one in lesson["objectives"][:MOST_BULLETS])
        yield _Shot(at_s=begin_s, slide=Slide(kind=Kind.BULLETS, title="After this video you can", bullets=aims))


def _shots(script: Json, voice: Json, problems: list[str]) -> Iterator[_Shot]:
    """Yield what the cues after the first title show."""
    quotes = {one["id"]: (_quoted(one["text"]), f"{one['heading']} ({one['document']})") for one in script["citations"]}
    sources = {part["title"]: quotes.get(part["source"], ("", ""))[1] for part in script["sections"]}
    plain = {part["title"]: _bullets(part["content"]) for part in script["sections"]}
    heading = ""
    cues = voice["cues"][1:] if voice["cues"] and voice["cues"][0]["show"] == "title" else voice["cues"]
    for number, cue in enumerate(cues):
        if cue["show"] == "title":
            heading = cue["content"].partition("|")[0].strip()
            following = next((one["show"] for one in cues[number + 1 :] if one["show"] != "citation"), "title")
            if following == "title" and plain.get(heading):
                slide = Slide(kind=Kind.BULLETS, title=heading, bullets=plain[heading], source=sources[heading])
                yield _Shot(at_s=cue["at_s"], slide=slide)
                continue
        try:
            source = sources.get(heading, "")
            title = "" if cue["show"] == "citation" else heading
            slide = slide_of(cue["show"], cue["content"], title=title, quotes=quotes, source=source)
        except UserMistake as error:
            problems.append(str(error))
            continue
        yield _Shot(at_s=cue["at_s"], slide=slide, heading=cue["show"] == "title")


def _without_hasty_titles(shots: Sequence[_Shot]) -> list[_Shot]:
    """Leave out titles that are over at once; the next slide has them as its heading, and begins with them."""
    found: list[_Shot] = []
    for shot in shots:
        before = found[-1] if found else None
        if before is not None and before.heading and shot.at_s - before.at_s < SHORTEST_S:
            found[-1] = replace(shot, at_s=before.at_s)
        else:
            found.append(shot)
    return found


def _ending(script: Json, lesson: Json, voice: Json, shots: Sequence[_Shot]) -> Iterator[_Shot]:
    """Yield the last slide, from where the summary is said: it takes the place of its title."""
    points = tuple(_short(one) for one in lesson["summary"][:MOST_BULLETS])
    heard, end_s = _Heard(voice["words"]), float(voice["duration_s"])
    after_s = shots[-1].at_s
    begin_s = next((at for one in lesson["summary"] if (at := heard.at(one, after_s, end_s)) is not None), None)
    if points and begin_s is not None:
        at_s = max(begin_s, after_s + SHORTEST_S)
        slide = Slide(kind=Kind.OUTRO, title="What to remember", bullets=points, text=_short(str(script["cta"])))
        yield _Shot(at_s=at_s, slide=slide)


def _chapters(voice: Json) -> Iterator[Chapter]:
    titles = [(float(cue["at_s"]), cue["content"].partition("|")[0].strip()) for cue in voice["cues"]
              if cue["show"] == "title"]  # fmt: skip
    last_s = -1.0
    for number, (at_s, title) in enumerate(titles):
        begin_s = at_s if number else 0.0
        if begin_s > last_s and begin_s < voice["duration_s"]:
            yield Chapter(begin_s=begin_s, title=title if number else "Introduction")
            last_s = begin_s


def _reveals(slide: Slide, begin_s: float, end_s: float, heard: _Heard) -> tuple[float, ...]:
    """Return when the parts of a slide appear: when they are named, in order, else one after the other."""
    count = parts(slide)
    if not count:
        return ()
    step = (end_s - begin_s) * FIRST_SHARE / count
    found, last_s = [], begin_s
    for number, text in enumerate(_texts(slide)):
        named = heard.at(text, last_s, end_s)
        at_s = begin_s + number * step if named is None else named
        last_s = min(max(last_s, at_s), end_s)
        found.append(last_s)
    return tuple(found)


def _texts(slide: Slide) -> Iterable[str]:
    if slide.bullets:
        return slide.bullets
    if slide.rows:
        return (row[0] for row in slide.rows[1:])
    return slide.nodes or (bar.label for bar in slide.bars)


def _bullets(text: str) -> tuple[str, ...]:
    """Return the shortest sentences that say something, in their order."""
    fits = [one for one in sentences(text)[1:] if len(one) <= MOST_LETTERS]
    kept = set(sorted(fits, key=len)[:MOST_BULLETS])
    return tuple(one.rstrip(".") for one in fits if one in kept)


def _short(sentence: str) -> str:
    return sentence.rstrip(".")


def _quoted(text: str) -> str:
    """Return the sentence to quote from a passage: the first one with a number that is short enough, else the first."""
    said = [one for one in sentences(text) if len(one) <= MOST_QUOTED]
    first = said[0] if said else text[:MOST_QUOTED]
    return next((one for one in said if any(letter.isdigit() for letter in one)), first)
