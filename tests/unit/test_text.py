"""Which texts count as the same, and which as almost the same."""

import sys
from collections.abc import Sequence, Set
from itertools import combinations
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overnight.base.errors import MissingExtra, UserMistake
from overnight.text import duplicates, normalise
from overnight.text.duplicates import bands_for, near_duplicates
from overnight.text.normalise import fold
from overnight.text.shingles import jaccard, numbers_of, shingles

SYLLABLES = ("ka", "lo", "mi", "ra", "ten", "sol", "vir", "una", "der", "gos", "pel", "ist", "mar", "con", "fa", "bri")
# Texts with many near misses: few words, so that many of them share most of their shingles.
alike = st.lists(st.sampled_from(["one fine", "morning", "in may", "the band", "played", "on"]), max_size=9).map(
    " ".join
)


@pytest.fixture(autouse=True, scope="module")
def asked_again():
    """Ask anew about each character, so that its lines are counted here whoever has asked about it before."""
    for remembered in (normalise._instead, normalise._ascii):
        remembered.cache_clear()


def words_of(random: Random, count: int) -> list[str]:
    return ["".join(random.choices(SYLLABLES, k=random.choice((1, 2, 2, 3)))) for _ in range(count)]


def sentences(random: Random, count: int, lowest: int = 10, highest: int = 20) -> list[str]:
    """Texts whose words come up as often as in a language (Zipf)."""
    vocabulary = sorted(set(words_of(random, 3_000)), key=lambda word: (len(word), word))
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    return [" ".join(random.choices(vocabulary, weights, k=random.randint(lowest, highest))) for _ in range(count)]


def clusters(found: Sequence[int], names: Sequence[object]) -> set[frozenset[object]]:
    members: dict[int, set[object]] = {}
    for name, first in zip(names, found, strict=True):
        members.setdefault(first, set()).add(name)
    return {frozenset(some) for some in members.values()}


def similarity(left: str, right: str) -> float:
    """Jaccard by the definition, over characters, for texts of fewer than 40 words."""
    one, other = ({text[at : at + 4] for at in range(len(text) - 3)} for text in (fold(left), fold(right)))
    return len(one & other) / len(one | other) if one | other else 0.0


def test_what_only_chooses_the_look_of_a_character_is_left_out():
    assert {fold(f"a{chr(code)}b") for code in range(0xFE00, 0xFE10)} == {"ab"}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Don't STOP -- it's well-known!", "don\u2019t stop; it\u2019s WELL KNOWN\u2026"),
        ("  two\tlines\r\n", "two lines"),
        ("\uff26\uff55\uff4c\uff4c width", "full width"),
        ("Stra\u00dfe", "STRASSE"),
        ("\ufb01ne caf\u00e9", "FINE cafe\u0301"),
        ("co\u00adoperate\u200b", "cooperate"),
        ("I \u2764\ufe0f you", "i \u2764 you"),
        ("\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u4f60\u597d\u4e16\u754c"),
        ("\u0e44\u0e17\u0e22 \u0e20\u0e32\u0e29\u0e32", "\u0e44\u0e17\u0e22\u0e20\u0e32\u0e29\u0e32"),
        ("\uff76\uff9e\uff77", "\u30ac\u30ad"),
        ("snake_case", "snake case"),
    ],
)
def test_what_a_person_would_call_the_same_folds_to_the_same(left: str, right: str):
    assert fold(left) == fold(right) != ""


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("C++", "C"),
        ("1.5", "15"),
        ("well done \U0001f600", "well done \U0001f621"),
        ("r\u00e9sum\u00e9", "resume"),
        ("5 \u20ac", "5 $"),
        ("\u0915\u093f", "\u0915\u0940"),
        ("now here", "nowhere"),
        ("\uc544\uae30 \uac00", "\uc544\uae30\uac00"),
    ],
)
def test_what_means_something_else_folds_to_something_else(left: str, right: str):
    assert fold(left) != fold(right)


@given(st.text())
@example("a\uff40\u0301")  # a grave accent that is dropped once it has become ASCII, and lets two others meet
def test_folding_twice_changes_nothing(text: str):
    assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_folded_as_in_any_other_text(text: str):
    assert fold(f"{text} \u00e9") == f"{fold(text)} \u00e9".strip()


@given(st.text(max_size=60))
def test_shingles_of_a_short_text_are_its_runs_of_four_characters(text: str):
    folded = fold(text)
    units = folded.encode("utf-16-le", "surrogatepass")
    runs = {units[at : at + 8] for at in range(0, len(units) - 7, 2)}
    assert shingles(folded) == {int.from_bytes(run, sys.byteorder) for run in runs}


def test_shingles_of_a_long_text_are_its_runs_of_three_words():
    text = " ".join(f"word{number}" for number in range(40))
    found = shingles(text)
    assert len(found) == 38
    assert {"word0 word1 word2", "word37 word38 word39"} <= found
    assert not any(isinstance(shingle, str) for shingle in shingles(text.rpartition(" ")[0]))


def test_a_changed_word_of_forty_leaves_the_default_threshold():
    words = [f"word{number}" for number in range(40)]
    changed = [*words[:20], "other", *words[21:]]
    assert jaccard(shingles(" ".join(words)), shingles(" ".join(changed))) == pytest.approx(35 / 41)
    assert near_duplicates([" ".join(words), " ".join(changed)]) == [0, 0]


def test_a_long_text_without_spaces_is_compared_by_characters():
    text = "\u5929\u5730\u7384\u9ec4" * 20 + " and " + " ".join("\u5b87\u5b99\u6d2a\u8352" * 6 for _ in range(45))
    assert not any(isinstance(shingle, str) for shingle in shingles(text))


@given(st.lists(st.sampled_from(["some", "words", "come", "again"]), max_size=60).map(" ".join))
def test_what_is_sketched_is_the_set_that_is_compared(text: str):
    found = shingles(text)
    assert len(set(numbers_of(text))) == len(found)


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9)))
def test_jaccard_is_the_shared_part_of_both(left: set[int], right: set[int]):
    expected = len(left & right) / len(left | right) if left | right else 0.0
    assert jaccard(left, right) == jaccard(right, left) == expected


def test_bands_find_the_threshold_with_a_recall_of_95_percent_and_stay_within_the_values():
    for threshold in (0.05, 0.2, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999999):
        bands = bands_for(threshold)
        assert 1 - (1 - threshold**bands.rows) ** bands.count >= 0.95
        assert bands.values <= 96
    assert (bands_for(0.85).rows, bands_for(0.85).count) == (8, 10)
    assert bands_for(1e-300).values == 96


@settings(max_examples=40)
@given(st.lists(st.one_of(alike, st.text(max_size=12)), max_size=25), st.sampled_from([0.5, 0.85, 1.0]))
def test_equal_folded_texts_share_a_cluster_and_empty_ones_stand_alone(texts: list[str], threshold: float):
    found = near_duplicates(texts + [text.upper().lower() + "!" for text in texts], threshold=threshold)
    for at, text in enumerate(texts):
        if not fold(text):
            assert found[at] == at
            assert found.count(at) == 1
        elif fold(text.upper().lower()) == fold(text):
            assert found[at] == found[at + len(texts)] <= at


@settings(max_examples=40)
@given(st.lists(alike, max_size=30), st.sampled_from([0.3, 0.6, 0.85, 0.95]), st.integers(0, 2**64 - 1))
def test_every_cluster_holds_together_by_pairs_at_or_above_the_threshold(texts: list[str], threshold: float, seed: int):
    found = near_duplicates(texts, threshold=threshold, seed=seed)
    for first in set(found):
        cluster = [at for at, other in enumerate(found) if other == first]
        assert first == cluster[0]
        reached, todo = {first}, [first]
        while todo:
            near = [
                at
                for at in cluster
                if at not in reached
                and (fold(texts[todo[-1]]) == fold(texts[at]) or similarity(texts[todo[-1]], texts[at]) >= threshold)
            ]
            todo.pop()
            reached.update(near)
            todo.extend(near)
        assert reached == set(cluster)


@settings(max_examples=40)
@given(st.lists(alike, max_size=25, unique_by=fold), st.randoms(use_true_random=False))
def test_order_does_not_change_the_clusters(texts: list[str], random: Random):
    mixed = random.sample(texts, len(texts))
    assert clusters(near_duplicates(texts, threshold=0.6), texts) == clusters(
        near_duplicates(mixed, threshold=0.6), mixed
    )


@pytest.mark.parametrize("threshold", [0.6, 0.85])
def test_pairs_above_the_threshold_are_found(threshold: float):
    random = Random(f"{threshold}")
    texts = sentences(random, 2_000)
    planted: list[tuple[int, int]] = []
    for at in range(0, 2_000, 2):
        words = texts[at].split()
        for _ in range(random.randint(1, 2)):
            place = random.randrange(len(words))
            words[place] = random.choice((words[place] + "s", words[place][1:], "x" + words[place], words[place - 1]))
        changed = " ".join(words)
        if threshold + 0.05 <= similarity(texts[at], changed) < 1:
            planted.append((at, len(texts)))
            texts.append(changed)
    found = near_duplicates(texts, threshold=threshold)
    assert len(planted) > 200
    assert sum(found[left] == found[right] for left, right in planted) >= 0.95 * len(planted)
    alone = set(range(2_000)) - {at for at, _ in planted}
    assert sum(found[at] == at for at in alone) >= 0.999 * len(alone)


def test_nearly_all_pairs_are_found_that_comparing_each_with_each_finds():
    random = Random(7)
    texts = [fold(text) for text in sentences(random, 40, 4, 6)]
    for _ in range(240):
        text = random.choice(texts)
        place = random.randrange(len(text))
        texts.append(text[:place] + random.choice("aeiou") + text[place + 1 :])
    texts = list(dict.fromkeys(texts))
    pairs = [pair for pair in combinations(range(len(texts)), 2) if similarity(*(texts[at] for at in pair)) >= 0.7]
    found = near_duplicates(texts, threshold=0.7)
    assert len(pairs) > 150
    assert sum(found[left] == found[right] for left, right in pairs) >= 0.95 * len(pairs)


def test_a_near_duplicate_is_found_in_any_script():
    for text in (
        "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u6211\u4eec\u4e00\u8d77\u53bb\u516c\u56ed\u6563\u6b65"
        "\u7136\u540e\u56de\u5bb6\u5403\u996d\u770b\u7535\u89c6",
        "\u0421\u0435\u0433\u043e\u0434\u043d\u044f \u0445\u043e\u0440\u043e\u0448\u0430\u044f "
        "\u043f\u043e\u0433\u043e\u0434\u0430",
        "\u0906\u091c \u092e\u094c\u0938\u092e \u092c\u0939\u0941\u0924 \u0905\u091a\u094d\u091b\u093e \u0939\u0948",
        "\U0001f600\U0001f601\U0001f602\U0001f603\U0001f604\U0001f605\U0001f606\U0001f607\U0001f608\U0001f609" * 2,
    ):
        assert near_duplicates(["unrelated", text, text + text[0]]) == [0, 1, 1]


def test_half_a_character_of_a_broken_escape_is_taken_as_it_is():
    assert near_duplicates(["broken \ud83d end", "broken \ud83d end!", "\ud83d", "\ud83d"]) == [0, 0, 2, 2]


def test_a_threshold_of_one_keeps_all_but_equal_texts():
    same_shingles = ["tick tock " * 3, "tick tock " * 4]
    assert shingles(fold(same_shingles[0])) == shingles(fold(same_shingles[1]))
    assert near_duplicates([*same_shingles, "Tick, tock! " * 3], threshold=1) == [0, 1, 0]
    assert near_duplicates(same_shingles, threshold=0.99) == [0, 0]


def test_no_texts_have_no_clusters():
    assert near_duplicates([]) == []
    assert near_duplicates(["", "?!", "", "a", "A"]) == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold: float):
    with pytest.raises(UserMistake, match=r"threshold must be above 0 and at most 1, got "):
        near_duplicates(["a"], threshold=threshold)


def test_without_rensa_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rensa", None)
    with pytest.raises(MissingExtra, match=r"need the extra `data`: pip install 'overnight\[data\]'"):
        near_duplicates(["some text", "other text"])


def test_working_through_the_texts_part_by_part_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    texts = sentences(Random(3), 300)
    texts += [f"{text} s" for text in texts]
    expected = near_duplicates(texts)
    assert len(set(expected)) < 330
    monkeypatch.setattr(duplicates, "_AT_ONCE", 500)
    assert near_duplicates(texts) == expected


# Two bands, and texts of which two thirds share each with all others: their first 2,400 characters are the same.
HOT = 0.995
SHARED = "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=2_400))


def ends(random: Random, count: int) -> list[str]:
    return ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=14)) for _ in range(count)]


def test_a_hot_bucket_takes_linear_time(monkeypatch: pytest.MonkeyPatch):
    compared = 0

    def counted(left: Set[object], right: Set[object]) -> float:
        nonlocal compared
        compared += 1
        return jaccard(left, right)

    monkeypatch.setattr("overnight.text.shingles.jaccard", counted)
    bands = bands_for(HOT)
    texts = [SHARED + end for end in ends(Random(2), 200)]
    assert near_duplicates(texts, threshold=HOT) == list(range(200))
    # Each with each would be 7,000 for a band that two thirds of the texts share.
    assert 200 < compared < bands.count * 200 * 12


def test_clusters_in_a_hot_bucket_are_told_apart_and_found():
    first, *others = ends(Random(5), 6)
    texts = [f"{SHARED}{first}{number}" for number in range(10, 70)]
    texts += [f"{SHARED}{end}{letter}" for letter in "ab" for end in others]
    for seed in range(5):
        assert near_duplicates(texts, threshold=HOT, seed=seed) == [0] * 60 + [60, 61, 62, 63, 64] * 2


def test_texts_of_one_bucket_are_one_cluster_however_many_they_are():
    texts = [f"the very same words stand at the head of each and every one of these texts {n:05}" for n in range(3_000)]
    assert set(near_duplicates(texts, threshold=0.8)) == {0}
