"""What a review measures on the texts of a video: its claims, its lesson, its hook. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from claim_checks import Claim, Fault, check, cited, sentences, stems
from claim_cover import checkable, untold
from review_scores import Measured

from overnight.studio.markup import Manner, Said, parse, spoken

Json = Mapping[str, Any]  # Any: what agents have written
CONTRADICTED = (Fault.NUMBER, Fault.NEGATION, Fault.UNTOLD)
"""What a claim may not have, whatever else is good about a video."""
_COVERED = 0.5
"""Share of an objective's words that the sections have to have."""


def claims_of(script: Json, lesson: Json) -> list[Claim]:
    """Return the claims of a script and of what is said in the end, each checked against the passages that it cites.

    A section stands on its own source; hook, intro and summary stand on all that the script cites. What is said beside
    that, such as a word that the lesson explains, stands on the same and on the sentences that explain words.
    """
    passages = {str(one["id"]): str(one["text"]) for one in script["citations"]}
    titled = {str(one["id"]): f"{one['document']}. {one['heading']}. {one['text']}" for one in script["citations"]}
    every = list(passages.values())
    found = []
    for name in ("hook", "intro", "summary"):
        found += check(_bare(script[name]), name, None, every)
        found += untold(_bare(script[name]), name, None, list(titled.values()))
    for section in script["sections"]:
        said = _bare(section["content"])
        source, mine = cited(section.get("source"), passages, section["content"])
        found += check(said, section["title"], source, mine)
        if source is not None:
            _, with_titles = cited(section.get("source"), titled, section["content"])
            found += untold(said, section["title"], source, with_titles)
    explained = [str(one["sentence"]) for one in lesson.get("explained", [])]
    known = {sentence for name in ("hook", "intro", "summary", "cta") for sentence in sentences(_bare(script[name]))}
    known |= {sentence for one in script["sections"] for sentence in sentences(_bare(one["content"]))}
    said = [sentence for sentence in sentences(_bare(lesson.get("narration", ""))) if sentence not in known]
    for sentence in said:
        found += check(sentence, "narration", None, [*every, *explained])
    return found


def measured(script: Json, lesson: Json, claims: Sequence[Claim]) -> Measured:
    """Return the figures of a video's texts."""
    text = " ".join(f"{section['title']}. {_bare(section['content'])}" for section in script["sections"])
    objectives = [str(one) for one in lesson.get("objectives", [])]
    known = {str(one["id"]) for one in script["citations"]}
    with_source = [one for one in script["sections"] if cited(one.get("source"), dict.fromkeys(known, ""), "")[0]]
    hook = _bare(script["hook"])
    pieces = parse(lesson.get("narration") or script["full_script"]).pieces
    checked, told = checkable(script)
    manners = {piece.manner for piece in pieces if isinstance(piece, Said) and piece.manner is not Manner.PLAIN}
    return {
        "objectives": len(objectives),
        "objectives_covered": _share([_covered(one, text) for one in objectives]),
        "examples": len(lesson.get("examples", [])),
        "summary_points": len(lesson.get("summary", [])),
        "sections_cited": len(with_source) / len(script["sections"]) if script["sections"] else 0.0,
        "flesch": lesson.get("readability", {}).get("flesch"),
        "hook_words": len(hook.split()),
        "hook_pull": sum(("?" in hook, any(map(str.isdigit, hook)), "you" in hook.lower().split())),
        "manners": len(manners),
        "claims": len(claims),
        "sentences": told,
        "sentences_checked": checked,
        "claims_supported": _share([one.supported for one in claims]),
        "wrong_claims": sum(one.fault in CONTRADICTED for one in claims),
    }


def _covered(objective: str, text: str) -> bool:
    wanted = stems(objective)
    return len(wanted & stems(text)) >= _COVERED * len(wanted)


def _share(told: Sequence[bool]) -> float | None:
    return sum(told) / len(told) if told else None


def _bare(text: str) -> str:
    """Return what is said of a text with markers and cues."""
    return spoken(parse(text).pieces)
