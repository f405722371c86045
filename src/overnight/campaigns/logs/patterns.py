"""What a line of a generator's log tells, by patterns: how far it is, qualities, what was accepted and rejected. Pure.

A pattern is a regular expression with named groups. Several may be given for one thing; the first that is found in a
line counts. One for `accepted` or `rejected` that finds no `count` stands for one sample, unless the words before it
deny it: in "no sample was accepted yet" nothing was accepted.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from overnight.base.errors import UserMistake

LONGEST_NAME = 100
"""Characters of a domain's name."""
# Of bounded length, or a line of blanks would be searched for minutes.
_GAP = r"\s{0,9}"
_NUMBER = r"(?:\d{1,3}(?:[,_]\d{3})+|\d{1,12})(?![\d.]*\d)"
_OF = rf"(?P<done>{_NUMBER}){_GAP}/{_GAP}(?P<total>{_NUMBER})"
_LEVEL = r"(?:debug|info|notice|warn(?:ing)?|error|critical|fatal)\b"
_NAME = rf"(?P<domain>(?!{_LEVEL})[^\W\d][^\[\]\n]{{0,{LONGEST_NAME - 1}}}?)"
PROGRESS = (
    # [sql] 12/38, [sql] Progress: 12/38
    rf"(?i)\[{_NAME}\]:?{_GAP}(?:progress\b\W{{0,3}})?{_OF}",
    # domain sql: 12/38, domain=sql progress=12/38, Progress (sql): 12/38
    rf"(?i)\bdomain\b[\"']?{_GAP}[:=]?{_GAP}[\"']?(?P<domain>[^\W\d][\w-]{{0,{LONGEST_NAME - 1}}})\b"
    rf"[^\w\n]{{0,4}}(?:progress\b\W{{0,4}})?{_OF}",
    rf"(?i)\bprogress{_GAP}\({_NAME}\)\W{{0,3}}{_OF}",
    # Progress: 89/190, Generated 89/190, 47%|####    | 89/190
    rf"(?i)\b(?:progress|generated|completed|processed|samples?)\b[^\w\n/]{{0,4}}{_OF}",
    rf"\d%\|[^|\n]{{0,200}}\|{_GAP}{_OF}",
)
QUALITY = (
    rf"(?i)(?:\b|_)quality(?:[_ ]?score)?[\"']?{_GAP}[:=]{_GAP}"
    rf"(?P<score>[+-]?(?:\d{{1,9}}(?:\.\d{{0,30}})?|\.\d{{1,30}})(?:e[+-]?\d{{1,3}})?|nan){_GAP}"
    rf"(?:/{_GAP}(?P<of>\d{{1,4}})|(?P<percent>%))?",
)
ACCEPTANCE = (
    rf"(?i)\bacceptance(?:[_ ]rate)?[\"']?{_GAP}[:=]?{_GAP}(?P<rate>\d{{1,3}}(?:\.\d{{0,30}})?){_GAP}(?P<percent>%)?",
)
_ONE = "sample|candidate|example|item|record|row|entry|draft|response|pair|prompt|question"
_NUMBERED = rf"{_ONE}|batch|worker|step|round|attempt|try|task|index|id|domain|no|no\.".split("|")


def _said(word: str) -> tuple[str, ...]:
    """Return the patterns for what was accepted, or rejected: how many so far, then one sample."""
    many, so_far = r"(?:samples|candidates|examples|items|records|rows)", r"(?:samples?|count|total|so[_ ]far)"
    between = rf"(?:new|{many}|were|are|have|has|been|was|got)"
    # "sample 17 accepted" is one sample, and "06:50:15,123 accepted sample 17" is no 123.
    not_its_number = "".join(rf"(?<!\b{one}\s)" for one in _NUMBERED) + r"(?<![\w.,/#:-])"
    no_share = rf"(?!\W{{0,3}}\d{{1,3}}(?:\.\d{{1,30}})?{_GAP}%)"
    return (
        rf"(?i)(?:\b|_){word}(?:[_ ]{so_far})*[\"']?{_GAP}[:=]{_GAP}(?P<count>{_NUMBER})(?!{_GAP}%)",
        rf"(?i)\b{word}\s+(?P<count>{_NUMBER}){_GAP}(?:/|of\b|{many}\b|so far\b)",
        rf"(?i)(?=\d[\d,_]{{0,15}}\s{{1,4}}(?:{between}|{word})\b){not_its_number}(?P<count>{_NUMBER})\s+(?:{between}\s+)*{word}\b"
        rf"(?!\s+(?:{_ONE})\b)",
        rf"(?i)(?<!%)(?<!%\s)\b{word}\b{no_share}(?![\"']?{_GAP}[:=?]?{_GAP}[\"']?(?:false|no|none|null|n/a)\b)"
        rf"(?![\"']?{_GAP}[:=]{_GAP}[-+.\d])(?!\s+(?:{many}|ones|rates?|ratio|threshold|share|if|when|from|until)\b)",
    )


ACCEPTED, REJECTED = _said("accepted"), _said("rejected")
_WORDS = {
    "/": PROGRESS, "quality": QUALITY, "acceptance": ACCEPTANCE, "accepted": ACCEPTED, "rejected": REJECTED,
}  # fmt: skip
"""What a line must hold for these to be found in it; most hold nothing of it, which is seen ten times faster."""

_DENIED = re.compile(
    r"\b(?:no(?!\.?\s*\d)|not|non|none|never|nothing|neither|nor|without|zero|cannot|until|unless|if|waiting|are"
    r"|(?:to|will|can|could|may|might|must|should|would)\s+be)\b|n't\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;,|()\[\]{}]|:\s|\s[/\u2013\u2014-]\s")
_VERB = re.compile(r"accept|reject", re.IGNORECASE)

_GROUPS = {
    # The groups that each must have, and those that it may have.
    "progress": ({"done", "total"}, {"domain"}),
    "quality": ({"score"}, {"of", "percent"}),
    "accepted": (set[str](), {"count", "domain"}),
    "rejected": (set[str](), {"count", "domain"}),
    "acceptance": ({"rate"}, {"percent"}),
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a line tells; None where it says nothing of it.

    `domain` is "" where the line names none. `done` of `total` samples are made. `score` and `rate` are from 0 to 1,
    NaN where another number was told. So many were `accepted` and `rejected` so far; `accepts` and `rejects` tell of
    one sample.
    """

    domain: str = ""
    done: int | None = None
    total: int | None = None
    score: float | None = None
    accepted: int | None = None
    rejected: int | None = None
    accepts: bool = False
    rejects: bool = False
    rate: float | None = None


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """The patterns of a generator's log; without others, those that understand what many programs print.

    Groups: `done` and `total` of progress, which may have `domain`; `score` of quality, from 0 to 1 unless `of` says
    what a full score is or `percent` finds a sign for it; of accepted and rejected `count`, how many so far, and
    `domain`, which may both be left out; `rate` of acceptance, which may have `percent`.
    """

    progress: str | Sequence[str] = PROGRESS
    quality: str | Sequence[str] = QUALITY
    accepted: str | Sequence[str] = ACCEPTED
    rejected: str | Sequence[str] = REJECTED
    acceptance: str | Sequence[str] = ACCEPTANCE
    _compiled: dict[str, tuple[tuple[str, "re.Pattern[str]"], ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UserMistake: a pattern is none, or lacks a group, or has an unknown one; the message names the setting.
        """
        found = {}
        for name in _GROUPS:
            given: str | Sequence[str] = getattr(self, name)
            some = (given,) if isinstance(given, str) else tuple(given)
            found[name] = tuple((_word(one), _compile(name, one)) for one in some)
        object.__setattr__(self, "_compiled", found)

    def tell(self, line: str) -> Told | None:
        """Return what a line tells; None where that is nothing."""
        lowered = line.lower()
        found = {
            name: (match for word, pattern in some if word in lowered and (match := pattern.search(line)) is not None)
            for name, some in self._compiled.items()
        }
        progress, done, total = _progress(found["progress"])
        score = next(_shares("score", found["quality"]), None)
        rate = next(_shares("rate", found["acceptance"]), None)
        accepted_of, accepted, accepts = _judged(line, found["accepted"])
        rejected_of, rejected, rejects = _judged(line, found["rejected"])
        if (done, score, rate, accepted, rejected) == (None,) * 5 and not (accepts or rejects):
            return None
        return Told(
            domain=progress or accepted_of or rejected_of, done=done, total=total, score=score,
            accepted=accepted, rejected=rejected, accepts=accepts, rejects=rejects, rate=rate,
        )  # fmt: skip


def _word(pattern: str) -> str:
    return next((word for word, some in _WORDS.items() if pattern in some), "")


def _compile(name: str, pattern: str) -> "re.Pattern[str]":
    where, (needed, allowed) = f"patterns.{name}", _GROUPS[name]
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserMistake(f"{where}: {pattern!r} is no pattern: {error}") from error
    groups = compiled.groupindex.keys()
    if missing := sorted(needed - groups):
        raise UserMistake(f"{where}: {pattern!r} has no group (?P<{missing[0]}>...)")
    if strange := sorted(groups - needed - allowed):
        known = ", ".join(sorted(needed | allowed))
        raise UserMistake(f"{where}: {pattern!r} has a group {strange[0]!r}; known are {known}")
    if compiled.search("") is not None:
        raise UserMistake(f"{where}: {pattern!r} is found in every line, also in an empty one")
    return compiled


def _progress(found: Iterable["re.Match[str]"]) -> tuple[str, int | None, int | None]:
    for match in found:
        done, total = _whole(match["done"]), _whole(match["total"])
        if done is not None and total is not None:
            return _domain(match), done, total
    return "", None, None


def _shares(group: str, found: Iterable["re.Match[str]"]) -> Iterator[float]:
    return (_share(match[group], match.groupdict()) for match in found if match[group] is not None)


def _judged(line: str, found: Iterable["re.Match[str]"]) -> tuple[str, int | None, bool]:
    """Return a domain, how many so far, and whether it is one sample."""
    for match in found:
        count = match.groupdict().get("count")
        if count is not None:
            return _domain(match), _whole(count), False
        if not _is_denied(line, match):
            return _domain(match), None, True
    return "", None, False


def _domain(match: "re.Match[str]") -> str:
    return (match.groupdict().get("domain") or "").strip()[:LONGEST_NAME]


def _whole(text: str | None) -> int | None:
    digits = (text or "").replace(",", "").replace("_", "").strip()
    return int(digits) if digits.isdecimal() and len(digits) <= 15 else None


def _share(text: str, groups: dict[str, str | None]) -> float:
    """Return what is told as a number from 0 to 1; NaN where it is none."""
    try:
        full = 100.0 if groups.get("percent") else float(groups.get("of") or 1)
        share = float(text) / full
    except (ValueError, ZeroDivisionError):
        return math.nan
    return share if 0 <= share <= 1 else math.nan


def _is_denied(line: str, match: "re.Match[str]") -> bool:
    """Tell whether the clause says that something was not, will be or might be."""
    begin = 0
    for boundary in _CLAUSE.finditer(line, 0, match.start()):
        begin = boundary.end()
    end = match.end()
    for verb in _VERB.finditer(line, match.start(), match.end()):
        end = verb.start()
    return _DENIED.search(line, begin, end) is not None
