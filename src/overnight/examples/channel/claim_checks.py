"""Whether what a script says is in the passages that it cites: numbers, names and negations, by sentences. Pure.

A claim is a sentence with a number or a name in it. It is laid beside those sentences of the passage that share the
most of its words, and each number and name of it has to be there. So a number that the passage has of something else
supports nothing. Where a sentence says almost the same, each of its numbers stands for one of the claim's only. A
sentence that says with "not" what the passage says without it, or the other way round, is refused; a "not" of something
that the other sentence does not speak of makes no difference.

What cannot be found this way: a false sentence that holds no number, no name and no negation (see `claim_cover`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import prose
from claim_numbers import Number, numbers, same

ALIKE = 0.6
"""Share of words that two sentences have in common, from which one is taken to say what the other says."""
_NEAR_BEST = 0.5
"""A sentence of the passage counts where it shares so much of what the best one shares with the claim."""
_NEAR_NEGATION = 2
"""Words behind a negation that say what is negated; where none comes, it is the one before."""
_PARTS = re.compile(r"\n\s*\n|\n\s*[|*-]\s")
_NAME = re.compile(r"\b[A-Z][\w'\u2019]*(?:-[A-Za-z0-9]+)*(?:\s+[A-Z][\w'\u2019]*(?:-[A-Za-z0-9]+)*)*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|cannot|neither|nor|without|nobody|nothing)\b|n['\u2019]t\b", re.IGNORECASE
)
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be been but by can did do does each for from had has have here how i if in into is it its
        let may me more most much my now of on one only or our out over so some such than that the their them then
        there these they this those to too up us very was we were what when where which who will with would you your
        not no never none cannot neither nor without nobody nothing""",
    )
)


class Fault(StrEnum):
    """What is wrong with a claim."""

    NUMBER = "wrong number"
    NAME = "unknown name"
    NEGATION = "said the other way round"
    UNCITED = "cites nothing"
    UNTOLD = "not told by what it cites"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that claims something: where it stands, what it cites, and what is wrong with it, in words."""

    text: str
    where: str
    source: str | None
    fault: Fault | None
    why: str

    @property
    def supported(self) -> bool:
        """Whether the passage says so."""
        return self.fault is None


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; lines of a list or of a table are sentences of their own."""
    return [sentence for part in _PARTS.split(text) for sentence in prose.sentences(part)]


def check(text: str, where: str, source: str | None, passages: Sequence[str]) -> list[Claim]:
    """Return the claims of a text, checked against the passages that it cites (none: they cite nothing)."""
    lines = [line for passage in passages for line in sentences(passage)]
    known = stems(" ".join(passages))
    found = []
    for sentence in sentences(text):
        said, named = numbers(sentence), names(sentence)
        beside = _beside(sentence, lines)
        turned = _turned(sentence, beside)
        if not said and not named and turned is None:
            continue
        fault: Fault | None
        if not passages:
            fault, why = Fault.UNCITED, "no passage is cited for it"
        elif turned is not None:
            fault, why = Fault.NEGATION, f"the passage says {turned!r}"
        else:
            fault, why = (
                _numbers_found(sentence, said, beside) or _names_found(named, known) or (None, "the passage says so")
            )
        found.append(Claim(text=sentence, where=where, source=source, fault=fault, why=why))
    return found


def names(sentence: str) -> tuple[str, ...]:
    """Return the names in a sentence: words in capitals, but for one that only begins it.

    A single capital letter is a label (point A, case B), and none.
    """
    found = []
    for match in _NAME.finditer(sentence):
        words = match[0].split()
        begins = not re.search(r"\w", sentence[: match.start()])
        if begins and not re.fullmatch(r"[A-Z]{2,}\w*|\w+[A-Z]\w*|\w*\d\w*", words[0]):
            words = words[1:]
        words = [word for word in words if len(word) > 1 and word.lower() not in _FILLERS]
        found += [re.sub(r"['\u2019]s$", "", word) for word in words]
    return tuple(dict.fromkeys(found))


def cited(source: object, citations: Mapping[str, str], text: str) -> tuple[str | None, list[str]]:
    """Return which citations a section names (as `source`, or by a cue in its text), and their passages."""
    named = source if isinstance(source, list) else [source]
    wanted = [str(one) for one in named if one is not None]
    wanted += re.findall(r"\[show citation:\s*([^\]]+?)\s*\]", text)
    known = list(dict.fromkeys(one for one in wanted if one in citations))
    return ", ".join(known) or None, [citations[one] for one in known]


def _beside(sentence: str, lines: Iterable[str]) -> list[str]:
    """Return the lines that share the most words with the sentence, the best first."""
    mine = stems(sentence)
    shared = sorted(((len(mine & stems(line)), line) for line in lines), key=lambda pair: -pair[0])
    best = shared[0][0] if shared else 0
    return [line for count, line in shared if count and count >= _NEAR_BEST * best]


def _turned(sentence: str, beside: Sequence[str]) -> str | None:
    """Return the line that says the same with one negation more or less; None where there is none."""
    mine = stems(sentence)
    alike = [line for line in beside if _alike(mine, stems(line))]
    turned = [line for line in alike if _negations(sentence, stems(line)) % 2 != _negations(line, mine) % 2]
    return turned[0] if alike and len(turned) == len(alike) else None


def _negations(sentence: str, other: frozenset[str]) -> int:
    """Return how often a sentence negates what another one speaks of too, by the words nearest to each negation."""
    count = 0
    for found in _NEGATION.finditer(sentence):
        before, after = _ordered(sentence[: found.start()]), _ordered(sentence[found.end() :])
        near = after[:_NEAR_NEGATION] or before[-1:]
        count += not near or not other.isdisjoint(near)
    return count


def _alike(mine: frozenset[str], other: frozenset[str]) -> bool:
    return len(mine & other) >= ALIKE * max(1, len(mine | other))


def _numbers_found(sentence: str, said: Sequence[Number], beside: Sequence[str]) -> tuple[Fault, str] | None:
    mine = stems(sentence)
    alike = [line for line in beside if _alike(mine, stems(line))]
    wrong = min((_left_over(said, numbers(line)) for line in alike), key=len, default=None)
    there = [number for line in beside for number in numbers(line)]
    if wrong is None:
        wrong = [number for number in said if not any(same(number, true) for true in there)]
    if not wrong:
        return None
    first = numbers(beside[0]) if beside else ()
    used = [true for true in first if not any(same(number, true) for number in said)] or list(first) or there
    told = f"the passage says {_listed(true.text for true in used)}" if used else "the passage has no number there"
    return Fault.NUMBER, f"it says {_listed(number.text for number in wrong)}, {told}"


def _left_over(said: Sequence[Number], true: Sequence[Number]) -> list[Number]:
    """Return the numbers said that are left when each true one has stood for one of them."""
    free, wrong = list(true), []
    for number in said:
        found = next((one for one in free if same(number, one)), None)
        if found is None:
            wrong.append(number)
        else:
            free.remove(found)
    return wrong


def _names_found(named: Sequence[str], known: frozenset[str]) -> tuple[Fault, str] | None:
    missing = [name for name in named if not stems(name) <= known]
    if not missing:
        return None
    return Fault.NAME, f"the passage does not name {_listed(missing)}"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(repr(text) for text in list(dict.fromkeys(texts))[:4])


def stems(text: str) -> frozenset[str]:
    """Return the words of a text without endings, case and fillers."""
    return frozenset(_ordered(text))


def _ordered(text: str) -> list[str]:
    parts = (part for word in prose.words(text.lower()) for part in word.split("-"))
    return [prose.stem(part) for part in parts if part not in _FILLERS]
