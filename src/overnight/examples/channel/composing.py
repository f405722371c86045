"""Composes a script out of passages, without any language model: whole runs of a section's sentences, in their order.

Nothing is cut inside a sentence, and no sentence is taken out of the middle of a section, so what "it" or "that" stands
for is always what was said just before. Where a section is too long, its end is left out. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from angles import ANGLES, FAREWELLS, HOOK_ENDS, OPENINGS, ROADMAP, SUMMARIES, TRANSITIONS, Angle, Role, listed, role_of
from knowledge import Found, Knowledge, Passage
from prose import leans, terms, words
from style_guide import StyleGuide

from overnight.base.errors import NotMeasured

LEAD_WORDS = 48
FRAME_WORDS, POINT_WORDS, TRANSITION_WORDS = 110, 14, 8
"""About so many words have hook, intro and farewell together, a point of the summary, and what leads to a section."""
HOOK_END_WORDS = 12
TOLD = 0.6
"""Share of its words that a section must have told for a point to be in the summary."""
FEWEST_POINTS = 2
FEWEST_SENTENCES = 2
"""Of a section that is told; what is shorter says too little."""
SLACK = 1.12
"""A section may be told to its end where that makes the script longer by so much at the most."""

Told = tuple[Passage, list[str]]
"""A passage, and those of its sentences that are told."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A section of a script: what leads over to it, its sentences, and the passage that says them."""

    title: str
    role: Role
    transition: str
    sentences: tuple[str, ...]
    passage: Passage

    @property
    def content(self) -> str:
        """What is said in it."""
        return " ".join([self.transition, *self.sentences] if self.transition else self.sentences)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A script before it has markers and cues. `cited` are the passages that stand behind hook, intro and summary."""

    title: str
    hook: str
    intro: str
    parts: tuple[Part, ...]
    summary: str
    cta: str
    cited: tuple[Passage, ...]

    @property
    def spoken(self) -> str:
        """All that is said, in order."""
        return " ".join([self.hook, self.intro, *(part.content for part in self.parts), self.summary, self.cta])


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a script is to be about. `told` are the passages that earlier videos on it have told."""

    topic: str
    angle: str
    documents: tuple[str, ...]
    minutes: float
    salt: str
    told: frozenset[str] = frozenset()


def compose(wish: Wish, knowledge: Knowledge, guide: StyleGuide) -> Draft:
    """Return a script of about as many minutes as are wished for.

    Raises:
        NotMeasured: the documents say too little on the topic.
    """
    angle, main = ANGLES[wish.angle], wish.documents[0]
    chosen = _chosen(wish, knowledge, guide)
    hook, summary, points = _points(knowledge.of(main), chosen, angle, guide)
    lead = _lead(knowledge.of(main))
    parts = _parts(chosen, wish.salt)
    told = {part.role for part in parts}
    end = _pick(HOOK_ENDS.get(angle.focus, ("",)), wish.salt) if angle.focus in told else ""
    cited = {passage.passage_id: passage for passage in (*points, *lead[:1])}
    draft = Draft(
        title=guide.title_template.format(**head_of(wish, knowledge)),
        hook=f"{hook} {end}".strip(),
        intro=_intro(" ".join(_lead_sentences(lead, hook)), parts),
        parts=parts,
        summary=" ".join([_pick(SUMMARIES, wish.salt), *summary]),
        cta=_farewell(wish, knowledge, parts, guide),
        cited=tuple(cited.values()),
    )
    count, least = len(words(draft.spoken)), guide.words(guide.shortest_minutes)
    if count < least:
        raise NotMeasured(
            f"the knowledge base says too little on {wish.topic!r}: {count} words, at least {least} are needed"
        )
    return draft


def head_of(wish: Wish, knowledge: Knowledge) -> dict[str, str]:
    """Return what a title is made of: the topic, as its document has it where that names the same, and the angle."""
    title = knowledge.titles[wish.documents[0]]
    topic = title if set(terms(wish.topic)) <= set(terms(title)) else wish.topic[:1].upper() + wish.topic[1:]
    return {"topic": topic, "angle": ANGLES[wish.angle].label}


def _pick(choices: Sequence[str], salt: str) -> str:
    """Return one of them, always the same one for a video."""
    return choices[int.from_bytes(sha256(f"{salt} {choices[0]}".encode()).digest()[:4], "big") % len(choices)]


def _chosen(wish: Wish, knowledge: Knowledge, guide: StyleGuide) -> list[Told]:
    """Return the passages to tell, in the order in which they are told, each with the sentences that fit."""
    room = guide.words(wish.minutes) - FRAME_WORDS - POINT_WORDS * guide.summary_points
    fewest, most = guide.sections
    taken: list[Told] = []
    for passage in candidates(wish, knowledge):
        if len(taken) == most or (len(taken) >= fewest and room < 40):
            break
        left = max(fewest - len(taken), 1)
        share = max(60, room // left)
        told = _fitting(passage.sentences, share)
        if len(told) >= FEWEST_SENTENCES:
            taken.append((passage, told))
            room -= sum(len(words(sentence)) for sentence in told) + TRANSITION_WORDS
    if len(taken) < fewest:
        raise NotMeasured(
            f"the knowledge base says too little on {wish.topic!r}: {len(taken)} sections of its documents can be "
            f"told, a video has at least {fewest}"
        )
    return _in_telling_order(wish, knowledge, taken)


def candidates(wish: Wish, knowledge: Knowledge) -> list[Passage]:
    """Return the passages that may be told, the most wanted first: the focus, then what leads to it, then the rest."""
    angle = ANGLES[wish.angle]
    ranks = {found.passage.passage_id: place for place, found in enumerate(_ranked(wish, knowledge))}
    wanted = [angle.focus, *(role for role in angle.order if role is not angle.focus)]

    def rank(passage: Passage) -> tuple[int, int, bool, int]:
        role = role_of(passage.heading, passage.title)
        place = wanted.index(role) if role in wanted else len(wanted)
        known = passage.passage_id in wish.told and role is not angle.focus
        return wish.documents.index(passage.document), known, place, ranks.get(passage.passage_id, len(ranks))

    found = [passage for name in wish.documents for passage in knowledge.of(name)]
    usable = [one for one in found if role_of(one.heading, one.title) not in (Role.LEAD, Role.SUMMARY)]
    return sorted(usable, key=rank)


def _ranked(wish: Wish, knowledge: Knowledge) -> list[Found]:
    return knowledge.search(f"{wish.topic} {ANGLES[wish.angle].label}", limit=200, within=wish.documents)


def _fitting(said: Sequence[str], room: int) -> list[str]:
    """Return the first sentences that fit; one that announces what is left out goes as well."""
    told: list[str] = []
    count = 0
    total = sum(len(words(sentence)) for sentence in said)
    limit = total if total <= room * SLACK else room
    for sentence in said:
        count += len(words(sentence))
        if count > limit and len(told) >= FEWEST_SENTENCES:
            break
        told.append(sentence)
    while told and told[-1].endswith((":", "?")):
        told.pop()
    return told


def _in_telling_order(wish: Wish, knowledge: Knowledge, taken: Sequence[Told]) -> list[Told]:
    """Return them in the order in which their documents tell them."""
    order = [passage.passage_id for name in wish.documents for passage in knowledge.of(name)]
    return sorted(taken, key=lambda one: order.index(one[0].passage_id))


def _parts(chosen: Sequence[Told], salt: str) -> tuple[Part, ...]:
    parts = []
    for number, (passage, told) in enumerate(chosen):
        role = role_of(passage.heading, passage.title)
        choices = OPENINGS if number == 0 else TRANSITIONS
        used = {part.transition for part in parts}
        fresh = [text for text in choices[role] if text not in used] or list(choices[role])
        transition = _pick(fresh, f"{salt} {number}").format(heading=passage.heading.rstrip(".:!?"))
        parts.append(
            Part(title=passage.heading, role=role, transition=transition, sentences=tuple(told), passage=passage)
        )
    return tuple(parts)


def _points(
    passages: Sequence[Passage], chosen: Sequence[Told], angle: Angle, guide: StyleGuide
) -> tuple[str, list[str], list[Passage]]:
    """Return a hook, the points of the summary, and the passages that say them.

    They come from the document's own summary; where it has none, from sentences that can stand alone. The hook lies
    near what the video is about, the points near what it has told.
    """
    own = [passage for passage in passages if role_of(passage.heading, passage.title) is Role.SUMMARY]
    pool = [
        (sentence, passage)
        for passage in own or [passage for passage, _ in chosen]
        for sentence in passage.sentences
        if _stands_alone(sentence)
    ]
    if not pool:
        raise NotMeasured("no sentence of the documents can stand alone as a hook")
    told = {passage.passage_id: set(terms(" ".join(said))) for passage, said in chosen}
    focus = [told[one.passage_id] for one, _ in chosen if role_of(one.heading, one.title) is angle.focus]
    figures = 0.3 if angle.focus in (Role.HOW, Role.EXAMPLE, Role.COST) else 0.0
    short = [one for one in pool if len(words(one[0])) <= guide.hook_words - HOOK_END_WORDS] or pool
    named = set(terms(passages[0].title))

    def catches(one: tuple[str, Passage]) -> float:
        here = bool(named & set(terms(one[0])))
        return _share(one[0], focus) + figures * any(map(str.isdigit, one[0])) + 0.3 * here

    hook = max(short, key=lambda one: (catches(one), one[0]))
    rest = [one for one in pool if one is not hook]
    rest = sorted(rest, key=lambda one: (-_share(one[0], told.values()), one[0]))[: guide.summary_points]
    rest = [one for place, one in enumerate(rest) if place < FEWEST_POINTS or _share(one[0], told.values()) >= TOLD]
    rest = sorted(rest or [hook], key=pool.index)
    return hook[0], [one[0] for one in rest], [hook[1], *(one[1] for one in rest)]


def _share(sentence: str, told: Iterable[set[str]]) -> float:
    """Return how much of a sentence one of the sections has told, as a share of its words."""
    mine = set(terms(sentence))
    return max((len(mine & one) / max(1, len(mine)) for one in told), default=0.0)


def _stands_alone(sentence: str) -> bool:
    return not leans(sentence) and sentence.endswith(".") and len(words(sentence)) >= 5


def _lead(passages: Sequence[Passage]) -> list[Passage]:
    """Return the passages that introduce the document: its lead, or its first section."""
    leads = [passage for passage in passages if role_of(passage.heading, passage.title) is Role.LEAD]
    return leads or list(passages[:1])


def _lead_sentences(lead: Sequence[Passage], hook: str) -> list[str]:
    told: list[str] = []
    for sentence in lead[0].sentences:
        if sentence == hook:
            break
        if told and sum(len(words(one)) for one in (*told, sentence)) > LEAD_WORDS:
            break
        told.append(sentence)
    return told


def _intro(lead: str, parts: Sequence[Part]) -> str:
    """Return what the topic is, and what comes."""
    named = [ROADMAP[part.role] for part in parts if part.role in ROADMAP]
    named = list(dict.fromkeys(named))
    if len(named) < 2:
        return lead
    return f"{lead} In this video we look at {listed(named)}."


def _farewell(wish: Wish, knowledge: Knowledge, parts: Sequence[Part], guide: StyleGuide) -> str:
    """Return the call to action, with the topic that lies nearest to what was told."""
    said = " ".join(part.content for part in parts)
    near = [
        found.passage.document
        for found in knowledge.search(said, limit=60)
        if found.passage.document not in wish.documents
    ]
    if not near:
        return guide.call_to_action
    return f"{_pick(FAREWELLS, wish.salt).format(next=knowledge.in_a_sentence(near[0]))} {guide.call_to_action}"
