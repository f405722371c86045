"""Whether the sentences of a script are told with the words of what they cite: those that are not are made up. Pure.

A sentence is covered by the share of its words that carry meaning (`prose.terms`) and stand in the text that it cites,
or in its title or heading. 28 paraphrases of the documents that ship were covered by 0.50 and more, 18 sentences that
were made up about them by 0.38 and less (tests/integration/test_channel_sources.py holds them all).

What cannot be found this way: a false sentence out of true words, such as one with another adjective or the other way
round ("slow" for "fast", or who is larger than whom), and anything in a sentence of less than `FEWEST` such words.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from angles import ROADMAP
from claim_checks import Claim, Fault, check
from prose import sentences, terms

COVERED = 0.45
"""Share of its words from which a sentence counts as told by what it cites."""
FEWEST = 4
"""Words that carry meaning, below which a sentence leads from one thing to the next rather than telling one."""
_OF_ANY_VIDEO = frozenset(terms(f"video look part {' '.join(ROADMAP.values())}"))
"""What announces the parts of any video, and is in no passage."""

Script = Mapping[str, Any]  # Any: JSON


def untold(text: str, where: str, source: str | None, passages: Sequence[str]) -> list[Claim]:
    """Return the sentences of a text that hardly share words with the passages (with titles) that they cite.

    What stands around the sections has no source of its own (None), and may announce them.
    """
    known = frozenset(terms(" ".join(passages))) | (_OF_ANY_VIDEO if source is None else frozenset())
    found = []
    for sentence in sentences(text):
        said = _tellable(sentence)
        missing = [one for one in said if one not in known]
        if len(said) >= FEWEST and len(said) - len(missing) < COVERED * len(said):
            words = [word for word in sentence.split() if set(terms(word)) & set(missing)]
            why = f"the passage has no word for {', '.join(repr(word.strip('.,:;!?')) for word in words[:4])}"
            found.append(Claim(text=sentence, where=where, source=source, fault=Fault.UNTOLD, why=why))
    return found


def checkable(script: Script) -> tuple[int, int]:
    """Return how many sentences of a script can be checked, and how many it has but for its farewell.

    That can be checked which holds a number or a name, or has words enough to be laid beside the passages.
    """
    every = [said for name in ("hook", "intro", "summary") for said in sentences(script[name])]
    every += [said for section in script["sections"] for said in sentences(section["content"])]
    return sum(len(_tellable(said)) >= FEWEST or bool(check(said, "", None, [])) for said in every), len(every)


def _tellable(sentence: str) -> list[str]:
    """Return the words of a sentence that carry meaning, without figures: those are checked as numbers."""
    return [one for one in dict.fromkeys(terms(sentence)) if not any(map(str.isdigit, one))]
