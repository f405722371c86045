"""The instructional designer: makes a lesson of a script, with objectives, explained words, and a measured pace."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import channel_files as files
from angles import ANGLES, Role, points_of, role_of
from catching_up import work_off
from jargon import ASIDE, Glossary, glossary_of, mentions
from knowledge import load
from narrating import safe
from prose import readability, words
from style_guide import StyleGuide
from style_guide import load as load_guide

from overnight.base.errors import NotMeasured
from overnight.base.ports import RunContext
from overnight.studio.markup import Cue, Pause, Piece, Show, parse, spoken

Json = dict[str, Any]  # Any: what an agent has written
MOST_WORDS = 2000
"""Of a script that can be a lesson at all; a longer one is a mistake of whoever wrote it."""
MOST_REMINDERS, MOST_OBJECTIVES = 2, 4
OBJECTIVES: Mapping[Role, str] = {
    Role.HOW: "explain the idea of {topic}",
    Role.EXAMPLE: "follow an example of {topic} step by step",
    Role.CODE: "read a program for {topic}",
    Role.COST: "tell the cost of {topic}",
    Role.USE: "name uses of {topic}",
    Role.MISTAKES: "avoid the usual mistakes with {topic}",
    Role.CHOICE: "choose between {topic} and the alternatives",
    Role.OTHER: "tell what matters about {topic}",
}


def designer(ctx: RunContext, video_id: str | None = None) -> Json:
    """Make the lesson of a video, by default of those that wait for it.

    A script that cannot be a lesson is refused with the reason, and the next one is taken.

    Raises:
        UserMistake: there is no such video, or the style guide is wrong.
    """
    waiting = [video_id] if video_id else files.waiting_for(files.LESSON, needs=(files.TOPIC, files.SCRIPT))
    refused: list[Json] = []
    guide = load_guide()
    glossary = glossary_of(load()) if waiting else Glossary()

    def make(one: str) -> Json | None:
        try:
            lesson = lesson_of(files.read(one, files.TOPIC), files.read(one, files.SCRIPT), glossary, guide)
        except NotMeasured as error:
            files.refuse(one, by="designer", reason=str(error))
            refused.append({"video_id": one, "reason": str(error)})
            return None
        files.write(one, files.LESSON, lesson)
        ctx.count("lessons_designed")
        ctx.progress(waiting.index(one) + 1, len(waiting), flesch=lesson["readability"]["flesch"])
        return {"video_id": one, "readability": lesson["readability"], "issues": lesson["issues"]}

    return {**work_off(ctx, waiting, make), "refused": refused}


def lesson_of(topic: Json, script: Json, glossary: Glossary, guide: StyleGuide) -> Json:
    """Return the lesson of a script: what is said, with markers and cues, stands in `narration`.

    Raises:
        NotMeasured: the script is far too long to be a lesson.
    """
    count = len(words(bare(script["full_script"])))
    if count > MOST_WORDS:
        raise NotMeasured(
            f"the script has {count:,} words, {count / guide.words_per_minute:.0f} minutes; a lesson has at most "
            f"{MOST_WORDS:,} words, and a video of this channel {guide.longest_minutes:g} minutes"
        )
    headings = {one["id"]: one["heading"] for one in script["citations"]}
    roles = [role_of(headings.get(part["source"], part["title"]), "") for part in script["sections"]]
    objectives = _objectives(topic, roles)
    reminders = _reminders(script, glossary, guide.words(guide.longest_minutes) - count)
    narration = _narration(script["full_script"], reminders, guide)
    read = readability(bare(narration))
    steps = _steps(script, guide)
    return {
        "video_id": script["video_id"],
        "objectives": objectives,
        "steps": steps,
        "examples": [
            {"title": part["title"], "text": part["content"], "source": part["source"]}
            for part, role in zip(script["sections"], roles, strict=True)
            if role in (Role.EXAMPLE, Role.CODE)
        ],
        "summary": points_of(script["summary"]),
        "explained": [{"term": term, "sentence": said, "source": glossary[term].source} for term, said in reminders],
        "pacing": _pacing(narration, steps, guide),
        "readability": asdict(read),
        "narration": narration,
        "issues": _issues(narration, read.flesch, read.longest_sentence, glossary, guide),
    }


def bare(narration: str) -> str:
    """Return what is said in a narration."""
    return spoken(parse(narration).pieces)


def seconds_of(narration: str, guide: StyleGuide) -> float:
    """Return how long a narration takes at the guide's pace, in seconds, with its pauses."""
    pieces = parse(narration).pieces
    return 60 * len(words(spoken(pieces))) / guide.words_per_minute + _silent_s(pieces)


def _silent_s(pieces: Sequence[Piece]) -> float:
    return sum(piece.seconds for piece in pieces if isinstance(piece, Pause))


def _objectives(topic: Json, roles: Sequence[Role]) -> list[str]:
    """Return what a viewer can do afterwards, in the order of the parts; what the video is about is among them."""
    title = topic["topic"]
    name = title[:1].lower() + title[1:] if title[1:2].islower() and "'s " not in title else title
    focus = ANGLES[topic["angle"]].focus if topic["angle"] in ANGLES else None
    order = list(dict.fromkeys(roles))
    kept = sorted(order, key=lambda role: role is not focus)[:MOST_OBJECTIVES]
    return [OBJECTIVES.get(role, OBJECTIVES[Role.OTHER]).format(topic=name) for role in order if role in kept]


def _lesson_text(narration: str) -> str:
    """Return what is said but for the farewell, whose next topic nobody has to know yet."""
    return bare(narration.rpartition("\n\n")[0])


def _reminders(script: Json, glossary: Glossary, room: int) -> list[tuple[str, str]]:
    """Return the terms that the script uses and does not explain, with a sentence that does, where there is room."""
    found: list[tuple[str, str]] = []
    for term in glossary.unexplained(_lesson_text(script["full_script"])):
        said = glossary[term].sentence
        room -= len(words(said)) + 4
        if room < 0 or len(found) == MOST_REMINDERS:
            break
        found.append((term, said))
    return found


def _narration(script: str, reminders: Sequence[tuple[str, str]], guide: StyleGuide) -> str:
    """Return the script with each reminder behind the part that needs it."""
    paragraphs = script.split("\n\n")
    left = dict(reminders)
    for number, paragraph in enumerate(paragraphs[1:-1], 1):
        # A word of the hook alone is explained behind the intro: nobody interrupts a hook.
        text = bare(f"{paragraphs[0]}\n\n{paragraph}" if number == 1 else paragraph)
        said = [safe(left.pop(term)) for term in list(left) if mentions(text, term)]
        if said:
            first = said[0][:1].lower() + said[0][1:] if said[0].startswith(("A ", "An ")) else said[0]
            paragraphs[number] += f"\n[explanatory] {ASIDE} {' '.join([first, *said[1:]])} [pause {guide.pause_s:g}]"
    return "\n\n".join(paragraphs)


def _steps(script: Json, guide: StyleGuide) -> list[Json]:
    return [
        {
            "title": part["title"],
            "text": part["content"],
            "seconds": round(60 * len(words(part["content"])) / guide.words_per_minute + guide.pause_s, 1),
        }
        for part in script["sections"]
    ]


def _pacing(narration: str, steps: Sequence[Json], guide: StyleGuide) -> Json:
    """Return how fast it goes: words, seconds, and how long the longest stretch is in which nothing new is shown."""
    pieces = parse(narration).pieces
    shown = [place for place, piece in enumerate(pieces) if isinstance(piece, Cue)]
    stretches = [pieces[begin:end] for begin, end in pairwise([0, *shown, len(pieces)])]
    spans = [60 * len(words(spoken(one))) / guide.words_per_minute + _silent_s(one) for one in stretches]
    return {
        "words": len(words(spoken(pieces))),
        "words_per_minute": guide.words_per_minute,
        "seconds": round(seconds_of(narration, guide), 1),
        "pauses": sum(isinstance(piece, Pause) for piece in pieces),
        "longest_step_seconds": max((step["seconds"] for step in steps), default=0.0),
        "pictures": len(_pictures(pieces)),
        "longest_stretch_seconds": round(max(spans), 1),
    }


def _pictures(pieces: Sequence[Piece]) -> list[Piece]:
    return [one for one in pieces if isinstance(one, Cue) and one.show in (Show.DIAGRAM, Show.TABLE, Show.CODE)]


def _issues(narration: str, flesch: float, longest: int, glossary: Glossary, guide: StyleGuide) -> list[str]:
    issues = []
    minutes = seconds_of(narration, guide) / 60
    if not guide.shortest_minutes <= minutes <= guide.longest_minutes:
        issues.append(f"{minutes:.1f} minutes, not {guide.shortest_minutes:g} to {guide.longest_minutes:g}")
    if flesch < guide.lowest_reading_ease:
        issues.append(f"reading ease {flesch:g}, where {guide.lowest_reading_ease:g} is the least")
    if longest > guide.max_sentence_words:
        issues.append(f"the longest sentence has {longest} words, where {guide.max_sentence_words} are the most")
    unexplained = glossary.unexplained(_lesson_text(narration))
    if unexplained:
        issues.append(f"not explained: {', '.join(unexplained)}")
    narrated = parse(narration)
    if not _pictures(narrated.pieces):
        issues.append("nothing is shown but titles")
    return [*issues, *narrated.problems]
