"""The scriptwriter: makes a script of a topic, by a language model where one is set, else out of the knowledge base."""

from datetime import datetime
from pathlib import Path
from typing import Any

import channel_files as files
import llm_writer
from angles import ANGLES
from catching_up import work_off
from composing import Draft, Wish, compose, head_of
from curator import ASKED, curator, now_of
from knowledge import Knowledge, load
from narrating import narration
from planning import SLOTS_A_DAY, slots_from
from prose import words
from script_quality import assess
from style_guide import StyleGuide
from style_guide import load as load_guide

from overnight.base.errors import NotMeasured, OvernightError, PermanentError, said_by
from overnight.base.ports import RunContext
from overnight.studio.markup import Pause, parse

Json = dict[str, Any]  # Any: what an agent has written
EXTRACTIVE = "extractive"
TOLD = ("title", "word_count", "quality_score", "composed_by")


def scriptwriter(ctx: RunContext, video_id: str | None = None) -> Json:
    """Write the script of a video, by default of those that are due, else of the next one, else of a new topic.

    A topic that a person has asked for comes before all others. One that cannot be written is refused with the reason,
    and the next one is taken. Where there is nothing to do, `why` says so.

    Raises:
        UserMistake: there is no such video, the style guide is wrong, or the knowledge base is empty.
    """
    waiting = [video_id] if video_id else sorted(files.waiting_for(files.SCRIPT, needs=files.TOPIC), key=_not_asked)
    if not waiting:
        waiting = curator(ctx, count=1)["video_ids"]
    guide, knowledge, now = load_guide(), load(), now_of(ctx)
    if not waiting:
        return {"video_id": None, "refused": [], "why": _nothing(now)}
    refused: list[Json] = []
    written: list[str] = []

    def make(one: str) -> Json | None:
        try:
            topic = files.read(one, files.TOPIC)
        except PermanentError as error:
            refused.append({"video_id": one, "reason": str(error)})  # not for good: its file may be mended
            return None
        if written and topic["slot"] > now.strftime("%Y-%m-%dT%H:%M"):
            return None  # its hour comes
        try:
            script = script_of(topic, knowledge, guide)
        except NotMeasured as error:
            files.refuse(one, by="scriptwriter", reason=str(error))
            refused.append({"video_id": one, "reason": str(error)})
            return None
        files.write(one, files.SCRIPT, script)
        written.append(one)
        ctx.count("scripts_written")
        ctx.progress(len(written), words=script["word_count"], quality=script["quality_score"])
        return {"video_id": one, **{name: script[name] for name in TOLD}}

    return {**work_off(ctx, waiting, make), "refused": refused}


def script_of(topic: Json, knowledge: Knowledge, guide: StyleGuide, root: Path | None = None) -> Json:
    """Return the script of a topic.

    Raises:
        NotMeasured: no document is about it, too little is known, or the length asked for is none of a video.
    """
    wish = _wish(topic, knowledge, guide, root)
    model = llm_writer.model_of()
    made: Json = {"head": head_of(wish, knowledge), "composed_by": EXTRACTIVE}
    draft = None
    if model is not None:
        try:
            draft = llm_writer.write(model, wish, knowledge, guide, root or Path())
            made["composed_by"] = model.name
        except (llm_writer.Refused, OvernightError) as error:
            why = str(error) if isinstance(error, llm_writer.Refused) else said_by(error)
            made["fallback"] = {"model": model.name, "why": why}
    return _as_json(draft or compose(wish, knowledge, guide), topic, guide, made)


def _not_asked(video_id: str) -> bool:
    """Tell whether a topic waits for its turn; a damaged one does, and is told of when its turn comes."""
    try:
        return files.read(video_id, files.TOPIC).get("reason") != ASKED
    except PermanentError:
        return True


def _nothing(now: datetime) -> str:
    """Return why there is nothing to write, once the curator was asked for a topic and has none."""
    handed = {one.partition("-")[0] for one in files.videos()}
    free = [slot for slot in slots_from(now, 1) if files.stamp(slot) not in handed]
    if free:
        return f"nothing is left to say at {free[0]}: each side of each document was refused; put one into knowledge/"
    return f"the day's {SLOTS_A_DAY} slots are handed out; `overnight tasks run curator --arg topic=...` makes one more"


def _wish(topic: Json, knowledge: Knowledge, guide: StyleGuide, root: Path | None) -> Wish:
    minutes = topic.get("format_guidelines", {}).get("minutes", guide.minutes)
    if not guide.shortest_minutes <= minutes <= guide.longest_minutes:
        raise NotMeasured(
            f"format_guidelines.minutes: {minutes:g} ({guide.words(minutes):,} words) is not from "
            f"{guide.shortest_minutes:g} to {guide.longest_minutes:g}, as the style guide allows"
        )
    if topic["angle"] not in ANGLES:
        raise NotMeasured(f"angle: {topic['angle']!r} is none of {', '.join(ANGLES)}")
    documents = [name for name in topic["sources"] if name in knowledge.titles] or knowledge.sources(topic["topic"])
    if not documents:
        raise NotMeasured(f"no document of the knowledge base is about {topic['topic']!r}")
    return Wish(
        topic=topic["topic"],
        angle=topic["angle"],
        documents=tuple(documents),
        minutes=minutes,
        salt=topic["video_id"],
        told=_told(topic, root),
    )


def _told(topic: Json, root: Path | None) -> frozenset[str]:
    """Return the passages that earlier videos have told from this side of the topic."""
    topics, told = files.every(files.TOPIC, root=root), set()
    for one, script in files.every(files.SCRIPT, root=root).items():
        about = topics.get(one, {})
        same = (about.get("topic"), about.get("angle")) == (topic["topic"], topic["angle"])
        if same and one < topic["video_id"]:
            told |= {part["source"] for part in script["sections"]}
    return frozenset(told)


def _as_json(draft: Draft, topic: Json, guide: StyleGuide, made: Json) -> Json:
    cited = {one.passage_id: one for one in (*draft.cited, *(part.passage for part in draft.parts))}
    count = len(words(draft.spoken))
    told = narration(draft, guide)
    silent_s = sum(piece.seconds for piece in parse(told).pieces if isinstance(piece, Pause))
    script: Json = {
        "video_id": topic["video_id"],
        "title": draft.title,
        "hook": draft.hook,
        "intro": draft.intro,
        "sections": [
            {"title": part.title, "content": part.content, "source": part.passage.passage_id} for part in draft.parts
        ],
        "summary": draft.summary,
        "cta": draft.cta,
        "citations": [one.citation() for one in cited.values()],
        "full_script": told,
        "word_count": count,
        "estimated_duration_seconds": round(60 * count / guide.words_per_minute + silent_s, 1),
        **made,
    }
    score, issues, measures = assess(script, topic.get("research_keywords", []), guide)
    return {**script, "quality_score": score, "quality_issues": issues, "quality_measures": measures}
