"""The curator: keeps a calendar of 90 days, hands out the topics of a day, and looks for topics that are missing."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import channel_files as files
from angles import ANGLES, role_of, sides_of
from gaps import demand_of, missing
from knowledge import TRENDS, Knowledge, load, newest_records
from planning import SLOTS_A_DAY, Candidate, Past, number_of, plan, slots_from, with_gaps
from prose import stem, terms, words
from style_guide import StyleGuide
from style_guide import load as load_guide

from overnight.base.clock import SystemClock, to_datetime
from overnight.base.errors import PermanentError, UserMistake, said_by
from overnight.base.files import write_json
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
CALENDAR, GAPS = files.DATA / "calendar.json", files.DATA / "gaps.json"
KEYWORDS = 6
ASKED = "asked for by a person"
"""Why a video is made that somebody has wanted; the scriptwriter takes those first."""
MOST_CHANGE = 0.15
"""By how much a score from 0 to 1 changes at the most for what the analytics committee wants more or less of."""


def curator(ctx: RunContext, topic: str | None = None, angle: str = "idea", count: int = SLOTS_A_DAY) -> Json:
    """Hand out the topics of the day's slots that have none yet, and write the calendar of the next 90 days.

    With a `topic`, that one is handed out now, from the side that `angle` names; the calendar stays as it is.

    Raises:
        UserMistake: the knowledge base is empty or says nothing on the topic, or there is no such angle.
    """
    if angle not in ANGLES:
        raise UserMistake(f"angle: {angle!r} is none of {', '.join(ANGLES)}")
    guide, knowledge, now = load_guide(), load(), now_of(ctx)
    for problem in knowledge.problems:
        print(f"left out: {problem}")  # noqa: T201 -- the run's log
    if topic is not None:
        made = _asked(topic, angle, now, knowledge, guide)
        return {"video_id": made, "video_ids": [made]}
    entries = calendar(knowledge, now)
    today = {slot[:10] for slot in slots_from(now, 1)}
    handed: list[str] = []
    for place, entry in enumerate(entries):
        if entry["slot"][:10] in today and entry["state"] in ("planned", "needs sources") and len(handed) < count:
            entries[place] = _hand_out(entry, knowledge, guide)
            handed.append(entries[place]["video_id"])
    _write_calendar(entries, now, knowledge)
    ctx.count("topics_handed_out", len(handed))
    return {"video_id": handed[0] if handed else None, "video_ids": handed, "calendar": str(CALENDAR)}


def gap_analysis(ctx: RunContext) -> Json:
    """Look for topics that are missing, and put them into the calendar with their reasons.

    Raises:
        UserMistake: the knowledge base is empty.
    """
    knowledge, now = load(), now_of(ctx)
    found = missing(knowledge, _trends())
    write_json(GAPS, {"made_at": now.isoformat(timespec="seconds"), "missing": found})
    _write_calendar(calendar(knowledge, now), now, knowledge)
    return {"missing": len(found), "topics": [gap["topic"] for gap in found[:10]]}


def calendar(knowledge: Knowledge, now: datetime) -> list[Json]:
    """Return the entries of 90 days from the day of `now` on: what was made or refused, is planned, or is missing.

    The plan follows from the videos that are there, so it is the same one until something changes.
    """
    past, made = _past(knowledge)
    refused = {(one["document"], one["angle"]) for one in made.values() if one["state"] == "refused"}
    candidates = [one for one in _candidates(knowledge) if (one.document, one.angle) not in refused]
    slots = slots_from(now)
    planned = plan(candidates, [slot for slot in slots if slot not in made], past)
    before = {entry["slot"]: entry for entry in _read(CALENDAR).get("entries", [])}
    kept = {slot: entry["topic"] for slot, entry in before.items() if entry["state"] == "needs sources"}
    planned = with_gaps(planned, _read(GAPS).get("missing", []), kept)
    for slot, entry in made.items():
        if "refused" in before.get(slot, {}):
            entry["refused"] = before[slot]["refused"]
    by_slot = {**made, **{entry["slot"]: entry for entry in planned}}
    return [by_slot[slot] for slot in slots if slot in by_slot]


def now_of(ctx: RunContext) -> datetime:
    """Return the instant that a run is for, in UTC."""
    at = getattr(ctx, "scheduled", None) or to_datetime(SystemClock().now_us())
    return at.astimezone(UTC)


def _past(knowledge: Knowledge) -> tuple[Past, dict[str, Json]]:
    """Return what was told, and an entry of the calendar for each slot that has a video."""
    past, made = Past(), dict[str, Json]()
    for video_id, topic in files.every(files.TOPIC).items():
        document = next(iter(topic["sources"]), None)
        entry = {"slot": topic["slot"], "topic": topic["topic"], "document": document, "angle": topic["angle"]}
        if files.has(video_id, files.REFUSED):
            why = files.read(video_id, files.REFUSED)
            made[topic["slot"]] = {**entry, "state": "refused", "reason": why["reason"], "video_id": video_id}
            continue
        made[topic["slot"]] = {**entry, "state": "handed out", "reason": topic["reason"], "video_id": video_id}
        if document in knowledge.titles:
            past.tell(document, topic["angle"], number_of(topic["slot"]))
    return past, made


def _candidates(knowledge: Knowledge) -> list[Candidate]:
    """Return each side of each document that has a section on it; a document without known sides has the idea alone."""
    demand, change_of = demand_of(knowledge, _trends()), _changes(knowledge)
    found = []
    for document, title in knowledge.titles.items():
        asked = None if demand is None else demand[document]
        for side in _sides(document, knowledge):
            change, why = change_of(document, side)
            one = Candidate(topic=title, document=document, angle=side, demand=asked, change=change, why=why)
            found.append(one)
    return found


def _trends() -> list[Json]:
    return [record for category, records in newest_records(Path()).items() if category in TRENDS for record in records]


def _changes(knowledge: Knowledge) -> Callable[[str, str], tuple[float, str]]:
    """Return what says how much more a side of a document is wanted by the analytics committee's advice, and why."""
    advice = _read(files.RECOMMENDATIONS)
    about = [(knowledge.sources(one["topic"])[:1], one) for one in advice.get("topics", [])]
    topics = {document: one for documents, one in about for document in documents}
    angles = {one["angle"]: one for one in advice.get("angles", [])}

    def change(document: str, angle: str) -> tuple[float, str]:
        said = [one for one in (topics.get(document), angles.get(angle)) if one is not None]
        why = "; ".join(f"{'more' if one['change'] > 0 else 'less'} of it, {one['reason']}" for one in said)
        return sum(max(-MOST_CHANGE, min(MOST_CHANGE, one["change"])) for one in said), why

    return change


def _hand_out(entry: Json, knowledge: Knowledge, guide: StyleGuide) -> Json:
    """Make the video of an entry; return the entry as it stands then. What has no sources gives its slot away."""
    if entry["state"] == "planned":
        made = _make(entry, [entry["document"]], knowledge, guide)
        return {**entry, "state": "handed out", "video_id": made}
    sources = knowledge.sources(entry["topic"])
    if sources:
        sides = _sides(sources[0], knowledge)
        told = {**entry, "angle": entry["angle"] if entry["angle"] in sides else sides[0]}
        made = _make(told, sources[:2], knowledge, guide)
        return {**told, "state": "handed out", "document": sources[0], "video_id": made}
    other = _hand_out(entry["instead"], knowledge, guide)
    why = f"no document is about it; put one into knowledge/ ({entry['reason']})"
    return {**other, "refused": {"topic": entry["topic"], "reason": why}}


def _sides(document: str, knowledge: Knowledge) -> list[str]:
    """Return the angles that a document can be told from."""
    return sides_of({role_of(passage.heading, passage.title) for passage in knowledge.of(document)})


def _asked(topic: str, angle: str, now: datetime, knowledge: Knowledge, guide: StyleGuide) -> str:
    sources = knowledge.sources(topic)
    if not sources:
        near = [knowledge.titles[found.passage.document] for found in knowledge.search(topic, limit=3)]
        raise UserMistake(
            f"topic: no document of the knowledge base is about {topic!r}; nearest: "
            f"{', '.join(dict.fromkeys(near)) or 'nothing'}; put a document into knowledge/"
        )
    sides = _sides(sources[0], knowledge)
    if angle not in sides:
        raise UserMistake(
            f"angle: {knowledge.titles[sources[0]]!r} has no section for {angle!r}; it has for {', '.join(sides)}"
        )
    entry = {"slot": now.strftime("%Y-%m-%dT%H:%M"), "topic": topic, "angle": angle, "reason": ASKED}
    return _make(entry, sources[:2], knowledge, guide)


def _make(entry: Json, sources: list[str], knowledge: Knowledge, guide: StyleGuide) -> str:
    """Write topic.json of a new video, and return its id."""
    angle = ANGLES[entry["angle"]]
    video_id = files.video_id_of(entry["slot"], f"{entry['topic']} {entry['angle']}")
    fewest, most = guide.sections
    files.write(
        video_id,
        files.TOPIC,
        {
            "video_id": video_id,
            "topic": entry["topic"],
            "slot": entry["slot"],
            "angle": entry["angle"],
            "production_notes": f"{entry['topic']}: {angle.label}. Sections, most wanted first: {_led(angle.order)}.",
            "research_keywords": keywords(sources[0], entry["angle"], knowledge),
            "format_guidelines": {
                "minutes": guide.minutes,
                "words_per_minute": guide.words_per_minute,
                "sections": [fewest, most],
            },
            "sources": sources,
            "reason": entry["reason"],
        },
    )
    return video_id


def _led(order: tuple[Any, ...]) -> str:
    return ", ".join(str(role) for role in order)


def keywords(document: str, angle: str, knowledge: Knowledge) -> list[str]:
    """Return words that a video must say: those of the title, and the rarest ones of the section that it is about."""
    passages = knowledge.of(document)
    focus = [one for one in passages if role_of(one.heading, one.title) is ANGLES[angle].focus] or passages[:1]
    titled = list(dict.fromkeys(word.lower() for word in words(knowledge.titles[document]) if terms(word)))
    begins = " ".join(sentence for one in focus for sentence in one.sentences[:3])
    fresh = [word.lower() for word in words(begins) if word.isalpha() and len(word) > 3 and terms(word)]
    known = {stem(word) for word in titled}
    best: dict[str, str] = {}
    for word in fresh:
        if stem(word) not in known:
            best.setdefault(stem(word), word)
    rare = sorted(best, key=lambda one: (-knowledge.rarity(one), one))
    return [*titled, *(best[one] for one in rare)][:KEYWORDS]


def _read(path: Path) -> Json:
    """Return what is in a JSON file; nothing where it is not there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise PermanentError(f"{path}: cannot be read: {said_by(error)}; remove it to begin anew") from None
    return found if isinstance(found, dict) else {}


def _write_calendar(entries: list[Json], now: datetime, knowledge: Knowledge) -> None:
    write_json(
        CALENDAR,
        {
            "made_at": now.isoformat(timespec="seconds"),
            "documents": len(knowledge.titles),
            "left_out": list(knowledge.problems),
            "entries": entries,
        },
    )
