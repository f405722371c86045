"""Which words only specialists know, and the sentences of the knowledge base that explain them. Pure.

A term is what a document is about (its title). A text explains a term if one of its sentences is about it: begins with
it, or says that something is called so.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from angles import Role, role_of
from knowledge import Knowledge
from prose import leans, sentences

ASIDE = "In case this is new to you:"
"""What leads to a sentence that explains a word."""
KEPT = 10_000
"""Terms whose patterns are kept, as each is looked for in every script."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a term means: a sentence, and the passage that it is from."""

    sentence: str
    source: str


class Glossary(dict[str, Meaning]):
    """The meaning of each term; a term is in the singular, small unless it is a name."""

    def unexplained(self, text: str) -> list[str]:
        """Return the terms that a text names and does not explain, in the order in which they come up."""
        named = [(found.start(), term) for term in self if (found := _named(term).search(text))]
        said = sentences(text)
        return [term for _, term in sorted(named) if not any(explains(sentence, term) for sentence in said)]


def mentions(text: str, term: str) -> bool:
    """Tell whether a text names a term, in its singular or plural."""
    return _named(term).search(text) is not None


def explains(sentence: str, term: str) -> bool:
    """Tell whether a sentence is about a term."""
    return _explaining(term).search(sentence) is not None


def glossary_of(knowledge: Knowledge) -> Glossary:
    """Return the terms of a knowledge base whose document begins with a sentence that explains them."""
    found = Glossary()
    for document in knowledge.titles:
        term = singular(knowledge.in_a_sentence(document))
        leads = [one for one in knowledge.of(document) if role_of(one.heading, one.title) is Role.LEAD]
        meant = [
            Meaning(sentence=sentence, source=passage.passage_id)
            for passage in leads
            for sentence in passage.sentences
            if explains(sentence, term) and not leans(sentence)
        ]
        if meant:
            found[term] = meant[0]
    return found


def singular(term: str) -> str:
    """Return a term without the mark of its plural."""
    return re.sub(r"(?<=[sxz])es$|(?<=[cs]h)es$|(?<=[^sui])s$", "", term) if not term.endswith("series") else term


def _form(term: str) -> str:
    """Return a pattern of a term in its singular or plural; "tries the next one" is a verb, and no plural."""
    plural = r"e?s" if " " in term else r"e?s(?! (?:the|an?|to|it|out|all|each|every)\b)"
    return rf"{re.escape(term)}(?:{plural})?(?!\w)"


@lru_cache(maxsize=KEPT)
def _explaining(term: str) -> re.Pattern[str]:
    form = _form(term)
    return re.compile(rf"\A(?:{ASIDE} )?(?:an? |the |each |every )?{form}|\bcalled (?:an? |the )?{form}", re.IGNORECASE)


@lru_cache(maxsize=KEPT)
def _named(term: str) -> re.Pattern[str]:
    return re.compile(rf"\b{_form(term)}", re.IGNORECASE)
