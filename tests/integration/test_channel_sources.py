"""What a language model may say in a script: what the passages that it cites say in other words, and nothing else."""

import sys

import pytest

from channel_example import EXAMPLE

sys.path.append(str(EXAMPLE))

import claim_checks
import claim_cover
import composing
import curator as curating
import knowledge as knowing
import llm_writer
import scriptwriter as writing
import style_guide
from angles import ANGLES

GUIDE = style_guide.load(EXAMPLE)
WISH = composing.Wish(topic="Binary search", angle="cost", documents=("binary-search",), minutes=3.0, salt="v")
HONEST = (
    ("heaps#how-heaps-work", "In a heap, every parent is at most as large as its children."),
    ("heaps#how-heaps-work", "Because the tree has no gaps, we can keep it in a plain array and need no links."),
    (
        "heaps#how-heaps-work",
        "A new item joins at the end of the array and climbs up for as long as it is smaller than its parent.",
    ),
    (
        "heaps#how-heaps-work",
        "When you take the smallest item out, the last item jumps to the top and sinks to its proper place.",
    ),
    ("heaps#what-heaps-cost", "A heap is a bad choice for searching, since an item could be hiding anywhere."),
    ("heaps#what-heaps-cost", "You can see the smallest item in a single step."),
    ("heaps#what-heaps-cost", "Building the heap from a complete list is cheaper than adding items one at a time."),
    (
        "merge-sort#how-merge-sort-works",
        "Merging two sorted lists is simple, because you always take the smaller of the two front items.",
    ),
    ("merge-sort#how-merge-sort-works", "The list is split in the middle until every piece has just one item."),
    ("merge-sort#how-merge-sort-works", "A sort is called stable if equal items stay in the order they had before."),
    (
        "merge-sort#what-merge-sort-costs",
        "What you pay for merge sort is memory, as it needs space for another copy of the list.",
    ),
    ("hash-tables#how-hash-tables-work", "When two keys end up at the same place, we speak of a collision."),
    ("hash-tables#how-hash-tables-work", "Before the table becomes too crowded, everything moves to a bigger array."),
    (
        "hash-tables#what-hash-tables-cost",
        "On average, it takes the same number of steps to find a key, no matter how many keys there are.",
    ),
    (
        "hash-tables#what-hash-tables-cost",
        "In the worst case every key sits at the same place, and a search has to walk through all of them.",
    ),
    (
        "quicksort#how-quicksort-works",
        "After one pass, the small items are in front and the pivot stands where it belongs for good.",
    ),
    ("quicksort#how-quicksort-works", "A good pivot splits the list into two parts of nearly the same size."),
    (
        "recursion#how-recursion-works",
        "A function that calls itself needs a smallest case whose answer it already knows.",
    ),
    (
        "recursion#how-recursion-works",
        "While it waits for the smaller call, the variables of a call stay on the stack.",
    ),
    ("queues#how-queues-work", "New items join a queue at its back, and the oldest ones leave at the front."),
    ("queues#how-queues-work", "A ring buffer is an array whose end leads back to its beginning."),
    (
        "queues#what-queues-cost",
        "A normal Python list makes a slow queue, because taking the front item moves nearly all the others.",
    ),
    ("binary-search#how-binary-search-works", "Each comparison throws away half of the candidates that are left."),
    (
        "binary-search#how-binary-search-works",
        "You look at the middle item first and compare it with the one you want.",
    ),
    ("binary-search#what-binary-search-costs", "If you double the list, you need only a single comparison more."),
    (
        "binary-search#what-binary-search-costs",
        "Sorting costs something too, so the method pays off when you search the same list many times.",
    ),
    (
        "binary-search#binary-search-in-python",
        "You rarely have to write this yourself, as the standard library offers it in the bisect module.",
    ),
    (
        "recursion#an-example-the-towers-of-hanoi",
        "The trick for a taller tower is to move all smaller discs away first, then the largest one, "
        "then the rest back on top.",
    ),
)
"""What passages say, in other words."""
INVENTED = (
    (
        "heaps#how-heaps-work",
        "Heaps were invented by aliens who love cheese and they are slower than every other structure ever made.",
    ),
    (
        "heaps#how-heaps-work",
        "Most operating systems have used a heap to schedule processes since the early days of computing.",
    ),
    ("heaps#what-heaps-cost", "Doctors recommend heaps to patients who cannot sleep at night."),
    ("heaps#what-heaps-cost", "A heap keeps your passwords secure, as hackers cannot read its encrypted branches."),
    (
        "merge-sort#how-merge-sort-works",
        "Merge sort was developed for the navy during a war and remained a military secret.",
    ),
    ("merge-sort#what-merge-sort-costs", "Large banks use merge sort to detect fraud in credit card payments."),
    (
        "hash-tables#how-hash-tables-work",
        "Hash tables learn from mistakes and improve their predictions with every customer.",
    ),
    (
        "hash-tables#what-hash-tables-cost",
        "Modern processors have special circuits for hashing that consume hardly any electricity.",
    ),
    (
        "quicksort#how-quicksort-works",
        "Its inventor won a famous prize for quicksort while working at a university in Moscow.",
    ),
    ("quicksort#how-quicksort-works", "Many companies ask about quicksort in job interviews for junior developers."),
    (
        "recursion#how-recursion-works",
        "Philosophers in ancient Greece wrote about recursion when they discussed infinity.",
    ),
    ("queues#how-queues-work", "Supermarkets have found that music makes customers in a queue more patient."),
    ("queues#what-queues-cost", "A queue runs faster on a graphics card than on any other hardware."),
    (
        "binary-search#how-binary-search-works",
        "Binary search works on unsorted data as well, thanks to artificial intelligence.",
    ),
    ("binary-search#what-binary-search-costs", "Google relies on binary search for every page that its users visit."),
    (
        "binary-search#binary-search-in-python",
        "The loop compiles itself into machine code and runs on several cores at once.",
    ),
    (
        "recursion#an-example-the-towers-of-hanoi",
        "Monks in a temple have been moving golden discs since the world was created.",
    ),
    (
        "merge-sort#how-merge-sort-works",
        "Subscribe to our newsletter and win a holiday in Spain with your whole family.",
    ),
)
"""What is said of the same things and stands nowhere."""


@pytest.fixture(scope="module")
def known() -> knowing.Knowledge:
    return knowing.load(EXAMPLE)


def told_by(passage: knowing.Passage) -> str:
    return f"{passage.title}. {passage.heading}. {passage.text}"


def faults(known: knowing.Knowledge, source: str, sentence: str) -> list[claim_checks.Fault]:
    """Return what is wrong with a sentence, as the writer sees it."""
    passages = [told_by(known.passage(source))]
    claims = (*claim_checks.check(sentence, "", source, passages), *claim_cover.untold(sentence, "", source, passages))
    return [claim.fault for claim in claims if claim.fault is not None]


@pytest.mark.parametrize(("source", "sentence"), HONEST)
def test_what_a_passage_says_in_other_words_is_told_by_it(known, source, sentence):
    assert faults(known, source, sentence) == []


@pytest.mark.parametrize(("source", "sentence"), INVENTED)
def test_what_stands_nowhere_is_told_by_nothing(known, source, sentence):
    assert claim_checks.Fault.UNTOLD in faults(known, source, sentence)


def test_the_threshold_lies_between_what_is_honest_and_what_is_made_up(known, monkeypatch):
    def untold(sentences: tuple[tuple[str, str], ...], covered: float) -> int:
        monkeypatch.setattr(claim_cover, "COVERED", covered)
        return sum(claim_checks.Fault.UNTOLD in faults(known, *one) for one in sentences)

    assert untold(HONEST, 0.50) == 0 < untold(HONEST, 0.51)
    assert untold(INVENTED, 0.38) == len(INVENTED) > untold(INVENTED, 0.37)


def test_what_is_made_up_is_named_with_the_words_that_stand_nowhere(known):
    said = "Heaps cure hiccups. Heaps were invented by aliens who love cheese, and they fly."
    [claim] = claim_cover.untold(said, "The idea", "heaps#how-heaps-work", [told_by(known.passages[0])])
    assert claim.text == "Heaps were invented by aliens who love cheese, and they fly."
    assert claim.why == "the passage has no word for 'Heaps', 'invented', 'aliens', 'love'"
    assert not claim.supported


def test_every_sentence_of_every_script_that_ships_is_told_by_what_it_cites(known):
    checked = every = 0
    for document, title in known.titles.items():
        for angle in ANGLES:
            topic = {"video_id": f"v-{document}", "topic": title, "angle": angle, "sources": [document]}
            topic["research_keywords"] = curating.keywords(document, angle, known)
            script = writing.script_of(topic, known, GUIDE, EXAMPLE)
            told = {one["id"]: told_by(known.passage(one["id"])) for one in script["citations"]}
            for name in ("hook", "intro", "summary"):
                assert claim_cover.untold(script[name], name, None, list(told.values())) == []
            for part in script["sections"]:
                assert claim_cover.untold(part["content"], "", part["source"], [told[part["source"]]]) == []
            more, sentences = claim_cover.checkable(script)
            checked, every = checked + more, every + sentences
    assert 0.7 * every < checked < every


def test_sentences_that_can_be_checked_are_counted():
    sections = [{"content": "So what? It takes 7 steps. A sorted list is halved at every turn."}]
    script = {"hook": "Look here.", "intro": "Thanks to Python.", "summary": "That is all.", "sections": sections}
    assert claim_cover.checkable(script) == (3, 6)


# ---- Scripts of a language model ----

LINES = {
    "binary-search#how-binary-search-works": "One comparison removes half of the candidates, whatever the list holds. ",
    "binary-search#what-binary-search-costs": "A sorted list of a million items needs at most 20 comparisons. ",
    "binary-search#mistakes-to-avoid": "The list has to be sorted. ",
}


def answer(**more: str) -> dict[str, str]:
    """Return a model's answer; `more` has other fields, or other words for a section (by the end of its id)."""
    sections = ""
    for source, line in LINES.items():
        sections += f"## Part {{{source}}}\n{more.get(source.partition('#')[2].replace('-', '_'), line * 10)}\n"
    return {
        "title": "Binary search: the cost",
        "hook": "A million items, and only 20 comparisons.",
        "intro": "In this video we look at the idea, the cost and the mistakes to avoid.",
        "summary": "One comparison removes half of the candidates.",
        "cta": "Tell us what to explain next.",
        "sections": sections,
    } | {name: text for name, text in more.items() if name in ("title", "hook", "intro", "summary", "cta")}


def checked(known: knowing.Knowledge, said: dict[str, str]) -> composing.Draft:
    return llm_writer.checked(said, WISH, known.of("binary-search"), GUIDE)


def test_script_told_by_its_passages_is_taken(known):
    assert len(checked(known, answer()).parts) == len(LINES)


TURNED = "One comparison never removes half of the candidates, whatever the list holds. "
ALIENS = "Heaps were invented by aliens who love cheese and they are slower than every other structure ever made. "


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            dict.fromkeys(("how_binary_search_works", "mistakes_to_avoid"), ALIENS * 6),
            "not told by what it cites: Part",
        ),
        ({"mistakes_to_avoid": LINES["binary-search#mistakes-to-avoid"] * 10 + ALIENS}, "no word for 'Heaps'"),
        ({"summary": ALIENS}, "not told by what it cites: summary: 'Heaps were invented by aliens"),
        ({"hook": "Donald Knuth wants 20 comparisons."}, "unknown name: hook: .* does not name 'Knuth'"),
        ({"how_binary_search_works": TURNED * 9}, "said the other way round: Part"),
        ({"title": "Binary search in 3 seconds"}, "it says '3 seconds' in 'Binary search in 3 seconds'"),
        ({"cta": "Join 9,000 others."}, "it says '9,000'"),
    ],
)
def test_script_that_says_what_its_passages_do_not_is_refused(known, more, why):
    with pytest.raises(llm_writer.Refused, match=why):
        checked(known, answer(**more))


def test_number_in_the_title_of_a_section_is_looked_for_as_well(known):
    said = answer()
    with pytest.raises(llm_writer.Refused, match="it says '99' in '99 parts'"):
        checked(known, {**said, "sections": said["sections"].replace("## Part", "## 99 parts", 1)})
