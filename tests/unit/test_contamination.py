"""Which samples stand in an evaluation set: leaks that were planted, and texts that are clean."""

import importlib
import inspect
import json
import textwrap

import pytest

from drafts import candidate
from overnight.base.errors import UserMistake
from overnight.campaigns.contamination import Contamination, evaluation_texts
from overnight.campaigns.intake import Intake, Terms

TASK = {
    "task_id": "Set/7",
    "prompt": 'def has_close(numbers, threshold):\n    """Check if in given list of numbers, are any two numbers '
    'closer to each other than given threshold.\n    >>> has_close([1.0, 2.0], 0.5)\n    False\n    """\n',
    "canonical_solution": "    for idx, elem in enumerate(numbers):\n        for idx2, elem2 in enumerate(numbers):\n"
    "            if idx != idx2:\n                distance = abs(elem - elem2)\n"
    "                if distance < threshold:\n                    return True\n\n    return False\n",
    "choices": [{"label": "A", "text": "What is the least number that no list of five words has?"}],
    "answer": 42,
}
CLEAN = (
    "abc",
    "bisect",
    "calendar",
    "configparser",
    "csv",
    "email.message",
    "heapq",
    "shlex",
    "statistics",
    "textwrap",
)


@pytest.fixture
def benchmark(tmp_path):
    path = tmp_path / "benchmark.jsonl"
    rows = [{"prompt": "Name the capital of the country whose flag is shown above.", "answer": "Paris"}, TASK]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + "\n")
    return path


def test_planted_leaks_are_found_and_where_they_stand_is_told(benchmark):
    stands = Contamination(evaluation_texts(benchmark))
    said = "benchmark.jsonl, line 2: 13 words in a row"
    assert stands(TASK["prompt"]) == said
    assert stands("Complete this: " + textwrap.fill(TASK["prompt"], 30).upper()) == said
    assert stands("Guess: what is the least number that no list of five words has") == (
        "benchmark.jsonl, line 2: 12 words in a row"
    )
    assert stands("Name the capital of the country whose flag is shown above.\n\nParis") == (
        "benchmark.jsonl, line 1: 11 words in a row"
    )


def test_code_with_other_names_is_found_and_code_that_does_not_parse_by_its_words_only(benchmark):
    stands = Contamination(evaluation_texts(benchmark))
    body = TASK["canonical_solution"]
    for old, new in {"idx": "i", "elem": "x", "numbers": "xs", "threshold": "eps", "distance": "gap"}.items():
        body = body.replace(old, new)
    answer = f"Sure!\n\n```python\ndef near(xs, eps):\n{body}```"
    assert stands(answer) == "benchmark.jsonl, line 2: code that differs in its names only"
    assert stands(answer.replace("return True", "return return")) is None
    assert stands(TASK["canonical_solution"].replace("return True", "return return")) is not None


def test_the_standard_library_is_clean(benchmark):
    stands = Contamination(evaluation_texts(benchmark))
    for name in CLEAN:
        source = inspect.getsource(importlib.import_module(name))
        assert [stands(source[at : at + 4000]) for at in range(0, len(source), 4000)] == [None] * -(
            -len(source) // 4000
        )


def test_functions_of_other_modules_are_clean_beside_a_large_set():
    names = CLEAN[:5]
    stands = Contamination((name, inspect.getsource(importlib.import_module(name))) for name in names)
    for name in CLEAN:
        module = importlib.import_module(name)
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__code__.co_filename == module.__file__:
                found = stands(inspect.getsource(function))
                assert name in names or found is None, (name, function)


def test_an_intake_refuses_what_stands_in_a_set_and_says_where(benchmark):
    intake = Intake(Terms(), contaminated=Contamination(evaluation_texts(benchmark)))
    leak, clean = intake.judge([candidate(0, TASK["prompt"]), candidate(1, "what is six times seven?")])
    assert (leak.reason, leak.detail) == ("in an evaluation set", "benchmark.jsonl, line 2: 13 words in a row")
    assert clean.reason is None


def test_fewer_words_can_be_asked_for():
    texts = [("a", "one two three four five six seven eight nine ten eleven twelve thirteen fourteen")]
    part = "five six seven eight nine ten eleven twelve"
    assert Contamination(texts)(part) is None
    assert Contamination(texts, 8)(part) == "a: 8 words in a row"
    with pytest.raises(UserMistake, match="ngram: 7 words in a row come up by chance; give 8 or more"):
        Contamination(texts, 7)


def test_the_texts_of_a_file_come_with_where_they_stand(tmp_path):
    (tmp_path / "a.jsonl").write_text('\ufeff{"a": ["x", {"b": "y \u2028 z"}], "c": 1, "d": " "}\n\n"w"\n')
    assert list(evaluation_texts(tmp_path / "a.jsonl")) == [
        ("a.jsonl, line 1", "x"), ("a.jsonl, line 1", "y \u2028 z"), ("a.jsonl, line 3", "w")
    ]  # fmt: skip
    (tmp_path / "b.txt").write_text("\none\ntwo\n \nthree")
    assert list(evaluation_texts(tmp_path / "b.txt")) == [("b.txt, line 2", "one\ntwo"), ("b.txt, line 5", "three")]
    (tmp_path / "c.py").write_text("x = 1\n\ny = 2\n")
    assert list(evaluation_texts(tmp_path / "c.py")) == [("c.py", "x = 1\n\ny = 2\n")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "a.jsonl: the evaluation set holds no text"),
        ("a.jsonl", b'{"n": 1}\n', "a.jsonl: the evaluation set holds no text"),
        ("a.jsonl", b'"x"\n{"n": ', "a.jsonl, line 2: is no JSON"),
        ("a.txt", b" \n\n", "a.txt: the evaluation set holds no text"),
        ("a.txt", b"\xff", "a.txt: the evaluation set cannot be read"),
        ("a.csv", b"x", r"a.csv: the end of an evaluation set's name must be one of .jsonl, .txt, .py"),
        ("b.txt", None, "b.txt: the evaluation set cannot be read"),
    ],
)
def test_a_file_that_is_no_evaluation_set_is_refused(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserMistake, match=message):
        list(evaluation_texts(tmp_path / name))


@pytest.mark.parametrize("texts", [[], [("a", "42"), ("a", "yes it is")]])
def test_an_evaluation_set_that_nothing_can_be_compared_with_is_refused(texts):
    with pytest.raises(UserMistake, match="the evaluation sets hold no text of 4 words or more"):
        Contamination(texts)
