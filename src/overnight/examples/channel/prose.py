"""Sentences, words and readability of English prose. Pure.

Names and signs of other scripts are words as well; what ends a sentence, what is common and what has a stem is English.
"""

import re
from dataclasses import dataclass
from functools import lru_cache


def _set(listed: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", listed))


_ABBREVIATIONS = ("e.g.", "i.e.", "etc.", "vs.", "cf.", "Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St.", "approx.", "no.")
_END = re.compile(r"[.!?][\"'\u201d\u2019)]*(?=\s+[\"'\u201c\u2018(]*([^\W_]|\[)|\s*$)")
_WORD = re.compile(r"[^\W_]+(?:['\u2019.,-]?[^\W_]+)*")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ\u1e00-\u1eff]")
_VOWELS = re.compile(r"[aeiouyà-öø-ÿ]+")
_COMPARES = re.compile(r"(?:er|est)$")
_SILENT = re.compile(r"(?:[^laeiouy]es|[^dt]ed|[^l]e)$")
_COMMON = _set(
    "a about above after again all also although always an and another any anybody are as at be because been before "
    "being below better between both but by can cannot come comes could did do does done down each either else enough "
    "even ever every few first for from get gets give gives go goes had has have he her here him his how however i if "
    "in into is it its itself just last less let like little long made make makes many may me more most much must my "
    "need needs never new next no nobody none nor not nothing now of off often on once one only or other others our "
    "out over own put same say says see she should since so some something such take takes than that the their them "
    "then there they thing things this those through to together too two under until up us use used uses very was way "
    "we well were what when where which while who whole whose why will with within without would yet you your"
)
_ADJECTIVES = _set(
    "big bright broad cheap clean clear close cool dark deep dense dry early easy far fast few fine flat full great "
    "hard heavy high hot large late light long loose low near neat new old plain poor quick rare rich safe sharp "
    "short simple slow small soft strong thick thin tight tiny warm weak wide young"
)
_LEANING = _set(
    "it its they them their this that these those he she his her him such so but and or yet then thus therefore hence "
    "also instead otherwise however moreover because both each neither either another there here"
)


@dataclass(frozen=True, kw_only=True)
class Readability:
    """How hard a text is to follow: Flesch reading ease (100 very easy, 0 very hard), and words of its sentences."""

    flesch: float
    words_per_sentence: float
    longest_sentence: int


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order; a piece without an end mark counts as one."""
    text, found, begin = " ".join(text.split()), [], 0
    for end in _END.finditer(text):
        piece = text[begin : end.end()].strip()
        goes_on = (end[1] or "").islower() or (piece.endswith(_ABBREVIATIONS) and end.end() < len(text))
        if goes_on:
            continue
        if piece:
            found.append(piece)
        begin = end.end()
    rest = text[begin:].strip()
    return [*found, rest] if rest else found


def words(text: str) -> list[str]:
    """Return the words of a text as they are written; a number counts as one."""
    return _WORD.findall(text)


def is_latin(text: str) -> bool:
    """Tell whether a text is written in Latin letters, but for single words."""
    return 2 * len(_LATIN.findall(text)) >= len(_LETTER.findall(text))


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return what a word has in common with its plural and its forms in -ing and -ed, roughly."""
    word = word.lower().replace("\u2019", "'").removesuffix("'s")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word.removesuffix(ending)
            return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls" else word
    return word.removesuffix("e") if len(word) > 4 else word


def terms(text: str) -> list[str]:
    """Return the stems of the words that carry meaning, in order; a word with hyphens gives its parts."""
    parts = (part for word in words(text) for part in word.split("-"))
    return [stem(part) for part in parts if part.lower() not in _COMMON and (len(part) > 1 or part.isdigit())]


def leans(sentence: str) -> bool:
    """Tell whether a sentence begins with a word that points at what was said before, so that it cannot stand alone."""
    found = words(sentence)
    return bool(found) and found[0].lower() in _LEANING


def compares(word: str) -> bool:
    """Tell whether a word is the comparative or superlative of a usual adjective, as in "nearest": it names nothing."""
    ending = _COMPARES.search(word.lower())
    if ending is None:
        return False
    base = word[: ending.start()].lower()
    return not _ADJECTIVES.isdisjoint({base, f"{base}e", base[:-1], f"{base[:-1]}y"})


def syllables(word: str) -> int:
    """Return how many syllables a word has, roughly: groups of vowels without a silent end; a number, one a digit."""
    if word[0].isdigit():
        return max(1, min(6, sum(sign.isdigit() for sign in word)))
    lower = word.lower()
    count = len(_VOWELS.findall(lower))
    return max(1, count - bool(_SILENT.search(lower)))


def readability(text: str) -> Readability:
    """Measure a text: Flesch (1948), 206.835 - 1.015 words per sentence - 84.6 syllables per word."""
    lengths = [len(words(sentence)) for sentence in sentences(text)]
    lengths = [length for length in lengths if length]
    if not lengths:
        return Readability(flesch=0.0, words_per_sentence=0.0, longest_sentence=0)
    mean = sum(lengths) / len(lengths)
    spoken = words(text)
    ease = 206.835 - 1.015 * mean - 84.6 * sum(map(syllables, spoken)) / len(spoken)
    return Readability(flesch=round(ease, 1), words_per_sentence=round(mean, 1), longest_sentence=max(lengths))
