"""Has a language model write a script from passages, and refuses what the passages do not say.

What is refused: a number, a name or a negation that is not in what a sentence cites (`claim_checks`), and a sentence
that shares too few words with it (`claim_cover`, which says what cannot be noticed: a swapped adjective, for one).

The endpoint is the environment's: `CHANNEL_LLM_URL` (OpenAI-compatible, ends in /v1), `CHANNEL_LLM_MODEL`, and where it
needs one `CHANNEL_LLM_KEY`; `CHANNEL_LLM_BUDGET_TOKENS` bounds what is spent in all. What was answered once is not paid
again: it is kept in `.overnight/data/llm.db`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import channel_files as files
from angles import ANGLES, role_of
from claim_checks import check
from claim_cover import untold
from claim_numbers import numbers, same
from composing import Draft, Part, Wish, candidates
from knowledge import Knowledge, Passage
from prose import sentences, words
from style_guide import StyleGuide

from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, UserMistake
from overnight.base.settings import environment

REPLAY = files.DATA / "llm.db"
MOST_PASSAGES = 10
MOST_TOKENS = 3000
_SECTION = re.compile(r"^##\s+(?P<title>.+?)\s*\{(?P<source>[^{}]*)\}\s*$", re.MULTILINE)
_FIELDS = ("title", "hook", "intro", "sections", "summary", "cta")


class Refused(ValueError):
    """What a model wrote cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """Where a language model answers, and which."""

    url: str
    name: str
    key: str | None = field(default=None, repr=False)
    budget_tokens: int | None = None


def model_of(env: Mapping[str, str] | None = None) -> Model | None:
    """Return the model that the environment names; None where it names none.

    Raises:
        ConfigError: an address without a model, or a budget that is no number.
    """
    env = environment() if env is None else env
    url, name, budget = (env.get(f"CHANNEL_LLM_{what}", "").strip() for what in ("URL", "MODEL", "BUDGET_TOKENS"))
    if not url:
        return None
    if not name:
        raise ConfigError("CHANNEL_LLM_URL is set, and CHANNEL_LLM_MODEL is not: name the model to ask")
    if budget and not budget.isdigit():
        raise ConfigError("CHANNEL_LLM_BUDGET_TOKENS is not a whole number of tokens")
    return Model(
        url=url, name=name, key=env.get("CHANNEL_LLM_KEY") or None, budget_tokens=int(budget) if budget else None
    )


def write(model: Model, wish: Wish, knowledge: Knowledge, guide: StyleGuide, root: Path) -> Draft:
    """Return what the model wrote, if the passages that it cites say so.

    Raises:
        Refused: its script cannot be used.
        OvernightError: it cannot be asked, or does not answer in the form that was asked for.
    """
    from overnight.llm.budget import Budget
    from overnight.llm.client import Client
    from overnight.llm.replay import Replay
    from overnight.llm.requests import Request, Said
    from overnight.llm.wire import Endpoint

    given = _given(wish, knowledge)
    request = Request(
        model=model.name,
        messages=[
            Said(role="system", content=_rules(wish, guide)),
            Said(role="user", content=_material(wish, given)),
        ],
        fields=dict.fromkeys(_FIELDS, "text"),
        max_tokens=MOST_TOKENS,
        temperature=0.5,
        seed=int.from_bytes(sha256(wish.salt.encode()).digest()[:3], "big"),
    )
    endpoint = Endpoint(base_url=model.url, api_key=model.key)
    with Replay(root / REPLAY) as replay:
        budget = Budget(tokens=model.budget_tokens)
        with Client(endpoint, replay, clock=SystemClock(), budget=budget) as client:
            answer = client.ask(request).fields
    return checked(answer, wish, given, guide)


def checked(answer: Mapping[str, str], wish: Wish, given: Sequence[Passage], guide: StyleGuide) -> Draft:
    """Return the draft that an answer holds.

    Raises:
        Refused: it cites what it was not given, says what its passages do not, or has not the form of a script.
    """
    known = {passage.passage_id: passage for passage in given}
    for name in _FIELDS:
        if "[" in answer[name] or "]" in answer[name]:
            raise Refused(f"{name} holds square brackets, which are marks of the narration")
    parts = _parts(answer["sections"], known)
    fewest, most = guide.sections
    if not fewest <= len(parts) <= most:
        raise Refused(f"it has {len(parts)} sections, where {fewest} to {most} are wanted")
    draft = Draft(
        title=" ".join(answer["title"].split()),
        hook=_whole("hook", answer["hook"]),
        intro=_whole("intro", answer["intro"]),
        parts=parts,
        summary=_whole("summary", answer["summary"]),
        cta=_whole("cta", answer["cta"]),
        cited=(),
    )
    cited = {part.passage.passage_id: part.passage for part in parts}.values()
    for name in ("hook", "intro", "summary"):
        _check_told(answer[name], name, None, cited)
    for said in (draft.title, draft.cta):
        _check_numbers(said, cited)
    count = len(words(draft.spoken))
    least, largest = guide.words(guide.shortest_minutes), guide.words(guide.longest_minutes)
    if not least <= count <= largest:
        raise Refused(f"it has {count} words, where {least} to {largest} are wanted")
    return draft


def _parts(text: str, known: Mapping[str, Passage]) -> tuple[Part, ...]:
    heads = list(_SECTION.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    parts = []
    for head, end in zip(heads, ends, strict=True):
        source = head["source"].strip()
        passage = known.get(source)
        if passage is None:
            raise Refused(f"it cites {source!r}, which is none of the passages that it was given")
        said = _whole(head["title"], text[head.end() : end])
        _check_numbers(head["title"], [passage])
        _check_told(said, head["title"], source, [passage])
        role = role_of(passage.heading, passage.title)
        told = tuple(sentences(said))
        parts.append(Part(title=head["title"], role=role, transition="", sentences=told, passage=passage))
    return tuple(parts)


def _whole(name: str, text: str) -> str:
    said = " ".join(text.split())
    if not said or not all(one.endswith((".", "!", "?")) for one in sentences(said)):
        raise Refused(f"{name!r} is not made of whole sentences")
    return said


def _check_told(said: str, where: str, source: str | None, passages: Iterable[Passage]) -> None:
    """Refuse a text with a sentence that the passages do not tell."""
    texts = [f"{passage.title}. {passage.heading}. {passage.text}" for passage in passages]
    said = " ".join(said.split())
    for claim in (*check(said, where, source, texts), *untold(said, where, source, texts)):
        if claim.fault is not None:
            raise Refused(f"{claim.fault}: {where}: {claim.text[:80]!r}: {claim.why}")


def _check_numbers(said: str, passages: Iterable[Passage]) -> None:
    there = [number for passage in passages for number in numbers(passage.text)]
    for sentence in sentences(said):
        for number in numbers(sentence):
            if not any(same(number, true) for true in there):
                raise Refused(f"it says {number.text!r} in {sentence[:80]!r}, and what it cites does not")


def _given(wish: Wish, knowledge: Knowledge) -> list[Passage]:
    return candidates(wish, knowledge)[:MOST_PASSAGES]


def _rules(wish: Wish, guide: StyleGuide) -> str:
    fewest, most = guide.sections
    return (
        "You write the narration of a short educational video, the way one person explains something to another. "
        f"It has about {guide.words(wish.minutes)} words, sentences of at most {guide.max_sentence_words} words, a "
        f"hook of at most {guide.hook_words} words, an intro, {fewest} to {most} sections, a summary, a farewell. "
        "Use only what the passages say; every number and name must stand in the passage that the section "
        "cites, and every sentence must be told with words of it; hook, intro and summary with words of all of them. "
        "Write whole sentences, no lists, no square brackets. The text of each section follows a line "
        "'## Title {passage id}' with the id of the one passage that it cites."
    )


def _material(wish: Wish, given: Sequence[Passage]) -> str:
    if not given:
        raise UserMistake(f"there is no passage about {wish.topic!r}")
    passages = "\n\n".join(f"{{{one.passage_id}}} {one.title}, {one.heading}\n{one.text}" for one in given)
    return f"Topic: {wish.topic}, {ANGLES[wish.angle].label}.\n\nPassages:\n\n{passages}"
