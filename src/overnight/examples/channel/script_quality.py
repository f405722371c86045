"""How good a script is by what can be measured on it, from 0 to 10, and what is wrong with it. Pure.

Each measure is a share from 0 to 1; the score is their sum by `WEIGHTS`. What nobody can measure in this way, such as
whether a joke is funny, counts for nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prose import sentences, terms, words
from style_guide import StyleGuide

WEIGHTS: Mapping[str, float] = {
    "keywords": 2.0,
    "length": 2.0,
    "citations": 2.0,
    "sentences": 1.5,
    "repetition": 1.5,
    "form": 1.0,
}
RUN = 6
"""Words in a row that are said twice count as repeated."""
REPEATED = 4.0
"""How heavily the share of repeated runs counts."""

Script = Mapping[str, Any]  # Any: JSON


def assess(script: Script, keywords: Sequence[str], guide: StyleGuide) -> tuple[float, list[str], dict[str, float]]:
    """Return the score, the issues in words, and the measures."""
    issues: list[str] = []
    measures = {
        "keywords": _keywords(script, keywords, issues.append),
        "length": _length(script, guide, issues.append),
        "citations": _citations(script, issues.append),
        "sentences": _sentences(script, guide, issues.append),
        "repetition": _repetition(script, issues.append),
        "form": _form(script, guide, issues.append),
    }
    score = sum(WEIGHTS[name] * share for name, share in measures.items())
    return round(score, 2), issues, {name: round(share, 3) for name, share in measures.items()}


def spoken(script: Script) -> str:
    """Return all that is said in a script."""
    parts = [script["hook"], script["intro"], *(one["content"] for one in script["sections"])]
    return " ".join([*parts, script["summary"], script["cta"]])


def _keywords(script: Script, keywords: Sequence[str], tell: Callable[[str], None]) -> float:
    said = set(terms(spoken(script)))
    missing = [word for word in keywords if not set(terms(word)) <= said]
    if missing:
        tell(f"{len(missing)} of {len(keywords)} keywords are not said: {', '.join(missing)}")
    return 1 - len(missing) / len(keywords) if keywords else 1.0


def _length(script: Script, guide: StyleGuide, tell: Callable[[str], None]) -> float:
    minutes = len(words(spoken(script))) / guide.words_per_minute
    low, high = guide.shortest_minutes, guide.longest_minutes
    if low <= minutes <= high:
        return 1.0
    tell(f"{minutes:.1f} minutes, where {low:g} to {high:g} are wanted")
    return max(0.0, 2 * minutes / low - 1 if minutes < low else 2 - minutes / high)


def _citations(script: Script, tell: Callable[[str], None]) -> float:
    known = {one["id"] for one in script["citations"]}
    without = [one["title"] for one in script["sections"] if one["source"] not in known]
    if without:
        tell(f"sections without a citation: {', '.join(without)}")
    return 1 - len(without) / len(script["sections"]) if script["sections"] else 0.0


def _sentences(script: Script, guide: StyleGuide, tell: Callable[[str], None]) -> float:
    found = sentences(spoken(script))
    long = [one for one in found if len(words(one)) > guide.max_sentence_words]
    if long:
        tell(f"{len(long)} sentences have more than {guide.max_sentence_words} words, such as {long[0][:60]!r}")
    return 1 - len(long) / len(found) if found else 0.0


def _repetition(script: Script, tell: Callable[[str], None]) -> float:
    said = [word.lower() for word in words(spoken(script))]
    runs = Counter(tuple(said[place : place + RUN]) for place in range(len(said) - RUN + 1))
    twice = sum(count - 1 for count in runs.values())
    share = twice / max(1, sum(runs.values()))
    if share > 0.05:
        tell(f"{100 * share:.0f} % of what is said was said before, such as {' '.join(runs.most_common(1)[0][0])!r}")
    return max(0.0, 1 - REPEATED * share)


def _form(script: Script, guide: StyleGuide, tell: Callable[[str], None]) -> float:
    fewest, most = guide.sections
    hook, count = len(words(script["hook"])), len(script["sections"])
    right = [fewest <= count <= most, hook <= guide.hook_words, bool(script["summary"].strip())]
    if not right[0]:
        tell(f"{count} sections, where {fewest} to {most} are wanted")
    if not right[1]:
        tell(f"the hook has {hook} words, where {guide.hook_words} are the most")
    if not right[2]:
        tell("there is no summary")
    return sum(right) / len(right)
