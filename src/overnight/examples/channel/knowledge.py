"""What the channel knows: documents of a folder and records that the fleet harvested, found by words, with citations.

A passage is a section of a document. Passages are ranked by BM25 (Robertson and Zaragoza 2009, "The Probabilistic
Relevance Framework", section 3.2) over stems of words; words of a heading count twice, those of a title three times.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from documents import SUFFIXES, Block, Document, Kind, Unreadable, check, markdown, read_document
from prose import sentences, terms, words

from overnight.base.errors import MissingExtra, UserMistake

FOLDER = Path("knowledge")
TRENDS = ("trend", "trends")
"""Categories of records that say what people want, and nothing that could be cited."""
K1, B = 1.5, 0.75
FEWEST_MENTIONS = 3
"""Passages of one document that must speak of a word which is in none of its headings."""


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A section of a document, to be cited by its `passage_id` ("binary-search#what-it-costs")."""

    passage_id: str
    document: str
    title: str
    heading: str
    blocks: tuple[Block, ...]
    url: str | None = None

    @cached_property
    def text(self) -> str:
        """What the section says in sentences: paragraphs and items of lists, without tables and code."""
        said = (block.text for block in self.blocks if block.kind in (Kind.TEXT, Kind.ITEM))
        return " ".join(text if text.endswith((".", "!", "?", ":")) else f"{text}." for text in said)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Its sentences, in order."""
        return tuple(sentences(self.text))

    @cached_property
    def terms(self) -> frozenset[str]:
        """The stems of what it says."""
        return frozenset(terms(self.text))

    def citation(self) -> dict[str, Any]:  # Any: JSON
        """Return what a script keeps of a passage that it cites."""
        found = {"id": self.passage_id, "document": self.title, "heading": self.heading, "text": self.text}
        return {**found, "url": self.url} if self.url else found


@dataclass(frozen=True, kw_only=True)
class Found:
    """A passage and how well it answers a query; scores of one query can be compared with each other only."""

    passage: Passage
    score: float


class Knowledge:
    """An index of passages. `problems` has a line for each file that could not be used."""

    def __init__(self, documents: Mapping[str, Document], problems: Sequence[str] = ()) -> None:
        """Index documents by their ids."""
        self.problems = tuple(problems)
        self.titles = {name: document.title for name, document in documents.items()}
        self.passages = tuple(passage for name, one in documents.items() for passage in _passages(name, one))
        self._by_id = {passage.passage_id: passage for passage in self.passages}
        self._of = defaultdict[str, list[Passage]](list)
        for passage in self.passages:
            self._of[passage.document].append(passage)
        self._counts = [_weighted(passage) for passage in self.passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / len(self._lengths) if self._lengths else 0.0
        self._holding = Counter(word for counts in self._counts for word in counts)

    def passage(self, passage_id: str) -> Passage | None:
        """Return the passage of that id; None where there is none."""
        return self._by_id.get(passage_id)

    def of(self, document: str) -> list[Passage]:
        """Return the passages of a document, in its order."""
        return list(self._of.get(document, ()))

    def in_a_sentence(self, document: str) -> str:
        """Return a document's title as it stands within a sentence: small, unless its first word is a name."""
        title = self.titles[document]
        small = title[:1].lower() + title[1:]
        first = words(small)[:1]
        return small if first and first[0] in self._written else title

    @cached_property
    def _written(self) -> frozenset[str]:
        """The words of all texts as they are written, and the parts of those with hyphens."""
        written = {word for passage in self.passages for word in words(passage.text)}
        return frozenset(written | {part for word in written for part in re.split(r"[-'\u2019]", word)})

    def rarity(self, word: str) -> float:
        """Return how much a stem tells: the inverse frequency of passages that hold it."""
        holding = self._holding[word]
        return math.log(1 + (len(self.passages) - holding + 0.5) / (holding + 0.5))

    def search(self, query: str, *, limit: int = 10, within: Iterable[str] | None = None) -> list[Found]:
        """Return the passages that answer a query, best first; `within` names the documents to look into."""
        wanted, allowed = set(terms(query)), None if within is None else set(within)
        found = []
        for passage, counts, length in zip(self.passages, self._counts, self._lengths, strict=True):
            if allowed is not None and passage.document not in allowed:
                continue
            score = sum(self._score(word, counts[word], length) for word in wanted if word in counts)
            if score > 0:
                found.append(Found(passage=passage, score=score))
        return sorted(found, key=lambda one: (-one.score, one.passage.passage_id))[:limit]

    def _score(self, word: str, count: float, length: float) -> float:
        return self.rarity(word) * count * (K1 + 1) / (count + K1 * (1 - B + B * length / self._mean))

    def sources(self, topic: str) -> list[str]:
        """Return the ids of the documents that are about a topic, best first.

        A document is, if each word of the topic is in its title or in a heading, or in several of its passages.
        """
        wanted = set(terms(topic))
        scores: defaultdict[str, float] = defaultdict(float)
        for found in self.search(topic, limit=len(self.passages)):
            scores[found.passage.document] += found.score
        about = [name for name in scores if wanted and all(self._speaks_of(name, word) for word in wanted)]
        named = {name: len(wanted & set(terms(self.titles[name]))) for name in about}
        return sorted(about, key=lambda name: (-named[name], len(terms(self.titles[name])), -scores[name], name))

    def _speaks_of(self, document: str, word: str) -> bool:
        passages = self.of(document)
        named = any(word in terms(f"{passage.title} {passage.heading}") for passage in passages)
        return named or sum(word in passage.terms for passage in passages) >= FEWEST_MENTIONS


def _passages(name: str, document: Document) -> Iterable[Passage]:
    used: dict[str, int] = {}
    for section in document.sections:
        slug = _free(slug_of(section.heading) or "lead", used)
        yield Passage(
            passage_id=f"{name}#{slug}",
            document=name,
            title=document.title,
            heading=section.heading or document.title,
            blocks=section.blocks,
            url=document.url,
        )


def _weighted(passage: Passage) -> Counter[str]:
    counts = Counter(terms(passage.text))
    for block in passage.blocks:
        counts.update(terms(" ".join(" ".join(row) for row in block.rows)))
    for text, times in ((passage.heading, 2), (passage.title, 3)):
        for word in terms(text):
            counts[word] += times
    return counts


def slug_of(text: str) -> str:
    """Return a text as part of an id: lower-case letters, digits and hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:80].strip("-")


def _free(slug: str, used: dict[str, int]) -> str:
    """Return a slug, with the first number that makes it a new one where it is used, and take note of it.

    `used` has the number that was tried last for each.
    """
    number = used.get(slug, 0) + 1
    while (name := slug if number == 1 else f"{slug}-{number}") in used:
        number += 1
    used.setdefault(name, 1)
    used[slug] = number
    return name


def read_folder(folder: Path) -> tuple[dict[str, Document], list[str]]:
    """Return the documents of a folder and its folders, by id, and a line for each file that cannot be used.

    Files whose names make the same id are numbered in the order of their paths.
    """
    documents: dict[str, Document] = {}
    used: dict[str, int] = {}
    problems = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file() or path.name.startswith("."):
            continue
        name = slug_of(path.relative_to(folder).with_suffix("").as_posix()) or "document"
        try:
            document = read_document(path)
        except (Unreadable, MissingExtra) as error:
            problems.append(f"{path.relative_to(folder).as_posix()} {error}")
            continue
        documents[_free(name, used)] = document
    return documents, problems


def read_records(root: Path, others: Iterable[str] = ()) -> tuple[dict[str, Document], list[str]]:
    """Return the records of a project's newest snapshots that say something at length, as documents by id.

    A text with headings of Markdown keeps its sections. Trends are left out: they say what is wanted, not what is so.
    `others` are ids of other documents. There is a line for each record that cannot be used.
    """
    documents: dict[str, Document] = {}
    used = dict.fromkeys(others, 1)
    problems = []
    for category, records in newest_records(root).items():
        for record in records if category not in TRENDS else ():
            said = _body(record)
            if not said:
                continue
            document = Document(title=record["title"], sections=markdown(said).sections, url=record["source_url"])
            try:
                check(document)
            except Unreadable as error:
                problems.append(f"{category} {record['id']} {error}")
                continue
            documents[_free(slug_of(f"{category} {record['id']}"), used)] = document
    return documents, problems


def newest_records(root: Path) -> dict[str, list[dict[str, Any]]]:  # Any: JSON
    """Return the records of the newest snapshot of each category; none where the folder is no project."""
    if not (root / "overnight.toml").is_file():
        return {}
    from overnight import Project
    from overnight.app.records import find_snapshot, known_categories, records

    found = {}
    with Project.open(root) as project:
        for category in known_categories(project):
            try:
                found[category] = records(project, find_snapshot(project, category))
            except UserMistake:
                continue  # it was never harvested
    return found


def _body(record: Mapping[str, Any]) -> str:
    from overnight.data.records import BODIES

    said = [record["metadata"].get(name) for name in BODIES]
    return "\n\n".join(text for text in said if isinstance(text, str) and text.strip())


def load(root: Path | None = None, folder: Path = FOLDER) -> Knowledge:
    """Return what a project knows: the documents of a folder, and the records of its newest snapshots.

    Raises:
        UserMistake: there is nothing at all.
    """
    root = root or Path()
    documents, problems = read_folder(root / folder)
    harvested, more_problems = read_records(root, documents)
    documents |= harvested
    problems += more_problems
    if not documents:
        more = f" ({'; '.join(problems[:3])})" if problems else ""
        raise UserMistake(
            f"the knowledge base is empty: put Markdown, HTML or PDF files into {folder}/, or harvest a source{more}"
        )
    return Knowledge(documents, problems)
