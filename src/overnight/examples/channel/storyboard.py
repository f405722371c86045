"""The storyboard: which slide is seen when, from what is said, when it is said, and what is to be shown. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hearing import Heard
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
STILL_S, APART_S = 15.0, 4.0
"""No picture stands still longer, if a sentence begins at least so far from its begin and end."""
SPOKEN = 3
"""Sentences that are shown at the most while they are said."""


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
    heard, end_s = Heard(voice["words"]), float(voice["duration_s"])
    shots = [*shots, *_ending(script, lesson, voice, shots)]
    shots = list(_livened(shots, _spoken(script, voice, heard), heard, end_s))
    scenes = []
    for number, shot in enumerate(shots):
        begin_s = shot.at_s if number else 0.0
        over_s = shots[number + 1].at_s if number + 1 < len(shots) else end_s
        slide, reveals = replace(shot.slide, footer=channel), _reveals(shot.slide, begin_s, over_s, heard)
        scenes.append(Scene(slide=slide, begin_s=begin_s, end_s=over_s, reveals=reveals))
    return Storyboard(scenes=tuple(scenes), chapters=tuple(_chapters(voice)), problems=tuple(problems))


def _opening(script: Json, lesson: Json, voice: Json) -> Iterator[_Shot]:
    """Yield the title, and then what the video is about."""
    yield _Shot(at_s=0.0, slide=Slide(kind=Kind.TITLE, title=str(script["title"]), text=str(script["hook"])))
    begin_s = Heard(voice["words"]).at(str(script["intro"]), 1.0, float(voice["duration_s"]))
    first = next((cue["at_s"] for cue in voice["cues"][1:] if cue["show"] == "title"), None)
    if begin_s is not None and lesson["objectives"] and (first is None or begin_s < first - SHORTEST_S):
        aims = tuple(one[:1].upper() + one[1:] for one in lesson["objectives"][:MOST_BULLETS])
        yield _Shot(at_s=begin_s, slide=Slide(kind=Kind.BULLETS, title="After this video you can", bullets=aims))


def _shots(script: Json, voice: Json, problems: list[str]) -> Iterator[_Shot]:
    """Yield what the cues after the first title show."""
    cited = {one["id"]: one for one in script["citations"]}
    coming, part = iter(script["sections"]), dict[str, Any]()
    heading = ""
    cues = _after_first_title(voice)
    for number, cue in enumerate(cues):
        if cue["show"] == "title":
            heading = cue["content"].partition("|")[0].strip()
            # By their order: two sections may have one title, and other sources.
            part = next(coming, {})
            following = next((one["show"] for one in cues[number + 1 :] if one["show"] != "citation"), "title")
            if following == "title" and part and (points := _bullets(part["content"])):
                source = _origin(cited.get(part["source"]))
                yield _Shot(
                    at_s=cue["at_s"], slide=Slide(kind=Kind.BULLETS, title=heading, bullets=points, source=source)
                )
                continue
        try:
            source = _origin(cited.get(part.get("source", "")))
            quotes = _quotes(cited, part) if cue["show"] == "citation" else {}
            slide = slide_of(cue["show"], cue["content"], title="" if quotes else heading, quotes=quotes, source=source)
        except UserMistake as error:
            problems.append(str(error))
            continue
        yield _Shot(at_s=cue["at_s"], slide=slide, heading=cue["show"] == "title")


def _quotes(cited: Mapping[str, Json], part: Json) -> dict[str, tuple[str, str]]:
    """Return what is shown of each passage while the end of a part is said, and where it is from."""
    said = part.get("content", "")
    return {name: (_quoted(one["text"], said), _origin(one)) for name, one in cited.items()}


def _after_first_title(voice: Json) -> Sequence[Json]:
    """Return the cues without the title of the video."""
    cues: Sequence[Json] = voice["cues"]
    return cues[1:] if cues and cues[0]["show"] == "title" else cues


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
    heard, end_s = Heard(voice["words"]), float(voice["duration_s"])
    after_s = shots[-1].at_s
    begin_s = next((at for one in lesson["summary"] if (at := heard.at(one, after_s, end_s)) is not None), None)
    at_s = end_s if begin_s is None else max(begin_s, after_s + SHORTEST_S)
    if points and at_s < end_s:
        call = sentences(str(script["cta"]))[:1]
        slide = Slide(kind=Kind.OUTRO, title="What to remember", bullets=points, text=_short("".join(call)))
        yield _Shot(at_s=at_s, slide=slide)


def _spoken(script: Json, voice: Json, heard: Heard) -> list[tuple[float, str]]:
    """Return the sentences of the parts, each with the instant at which it begins."""
    found: list[tuple[float, str]] = []
    for part, (begin_s, end_s) in zip(script["sections"], _spans(voice), strict=False):
        said = [_short(one) for one in sentences(part["content"])]
        times = heard.each(said, begin_s, end_s)
        found += [(at_s, text) for at_s, text in zip(times, said, strict=True) if at_s is not None]
    return found


def _spans(voice: Json) -> Iterator[tuple[float, float]]:
    """Yield from when to when each part is said: from its title to the next one, which the summary has as well."""
    begins = [float(cue["at_s"]) for cue in _after_first_title(voice) if cue["show"] == "title"]
    yield from pairwise([*begins, float(voice["duration_s"])])


def _livened(
    shots: Sequence[_Shot], spoken: Sequence[tuple[float, str]], heard: Heard, end_s: float
) -> Iterator[_Shot]:
    """Yield the shots, and after one that would stand still for long what is said meanwhile."""
    title = ""
    for shot, over_s in zip(shots, [*(one.at_s for one in shots[1:]), end_s], strict=True):
        title = shot.slide.title or title
        current: _Shot | None = shot
        while current is not None:
            yield current
            current = _following(current, over_s, title, spoken, heard)


def _following(
    shot: _Shot, over_s: float, title: str, spoken: Sequence[tuple[float, str]], heard: Heard
) -> _Shot | None:
    """Return what is shown in the place of a shot once it has been seen for long; None where it need not be."""
    # A row more of a table is hardly noticed.
    small = shot.slide.kind is Kind.TABLE
    since_s = max([shot.at_s, *([] if small else _reveals(shot.slide, shot.at_s, over_s, heard))])
    if over_s - since_s <= STILL_S:
        return None
    wanted_s = min((since_s + over_s) / 2, since_s + STILL_S - APART_S)
    within = [at_s for at_s, _ in spoken if since_s + APART_S <= at_s <= over_s - APART_S]
    if not within:
        return None
    begin_s = min(within, key=lambda at_s: abs(at_s - wanted_s))
    said = tuple(text for at_s, text in spoken if begin_s <= at_s < over_s)
    return _Shot(at_s=begin_s, slide=Slide(kind=Kind.BULLETS, title=title, bullets=said[:SPOKEN]))


def _chapters(voice: Json) -> Iterator[Chapter]:
    titles = [(float(cue["at_s"]), cue["content"].partition("|")[0].strip()) for cue in voice["cues"]
              if cue["show"] == "title"]  # fmt: skip
    last_s = -1.0
    for number, (at_s, title) in enumerate(titles):
        begin_s = at_s if number else 0.0
        if begin_s > last_s and begin_s < voice["duration_s"]:
            yield Chapter(begin_s=begin_s, title=title if number else "Introduction")
            last_s = begin_s


def _reveals(slide: Slide, begin_s: float, end_s: float, heard: Heard) -> tuple[float, ...]:
    """Return when the parts of a slide appear: when they are named, in order, else one after the other."""
    count = parts(slide)
    if not count:
        return ()
    step = (end_s - begin_s) * FIRST_SHARE / count
    found, last_s = [], begin_s
    for number, said_s in enumerate(heard.each(_texts(slide), begin_s, end_s)):
        # A slide of text alone is never empty.
        named = begin_s if slide.bullets and not number else said_s
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
    """Return the first sentences that are short enough to be read, in the order in which they are said."""
    fits = [one for one in sentences(text)[1:] if len(one) <= MOST_LETTERS]
    return tuple(one.rstrip(".") for one in fits[:MOST_BULLETS])


def _origin(citation: Json | None) -> str:
    return "" if citation is None else f"{citation['heading']} ({citation['document']})"


def _short(sentence: str) -> str:
    return sentence.rstrip(".")


def _quoted(text: str, content: str) -> str:
    """Return the sentence to quote from a passage: the one that is said meanwhile, the last of the section.

    Where that is not in the passage it is the first one with a number that is short enough, else the first.
    """
    fits = [one for one in sentences(text) if len(one) <= MOST_QUOTED]
    last = sentences(content)[-1:]
    if last and last[0] in fits:
        return last[0]
    first = fits[0] if fits else text[:MOST_QUOTED]
    return next((one for one in fits if any(letter.isdigit() for letter in one)), first)
