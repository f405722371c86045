"""What a batch of experiences looks like, and how far each one can be trusted."""

import pytest

from overnight.base.errors import UserMistake
from overnight.data import batches
from overnight.data.batches import Batch, batch_of, checked, is_batch_file, quality_0_1, shortcoming

ONE = {"type": "intent", "input": "hi", "expected_output": "greet", "success": True, "confidence": 0.9}
BATCH = {"batch_id": "b1", "model_type": "nlu", "experiences": [ONE], "created_at": "2026-11-26T12:00:00Z"}


@pytest.mark.parametrize(
    "name", ["experiences_intent_20261126.json", "experiences_any thing_at_all_1.json", "experiences_nlu_1.1.json"]
)
def test_files_of_that_name_are_read(name):
    assert is_batch_file(name)


@pytest.mark.parametrize(
    "name",
    ["experiences_nlu.json", "experiences__1.json", ".experiences_a_1.json", "experiences_a_1.json.tmp", "x_a_1.json"],
)
def test_files_of_another_name_are_not(name):
    assert not is_batch_file(name)


def test_a_batch_is_read():
    assert batch_of(BATCH, named=True) == Batch(batch_id="b1", model_type="nlu", experiences=[ONE])


@pytest.mark.parametrize("left_out", ["batch_id", "created_at"])
def test_what_may_be_left_out(left_out):
    assert batch_of({key: value for key, value in BATCH.items() if key != left_out}, named=False).experiences == [ONE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_id": None}, "batch_id: missing"),
        ({"batch_id": ""}, "batch_id: '' is not text of 1 to 200"),
        ({"batch_id": "x" * 201}, "is not text of 1 to 200"),
        ({"batch_id": "a\0"}, "printable"),
        ({"batch_id": "\ud800"}, "printable"),
        ({"batch_id": 7}, "batch_id: 7 is not text"),
        ({"model_type": None}, "model_type: None is not text"),
        ({"model_type": ...}, "model_type: missing"),
        ({"experiences": {}}, "experiences: not a list"),
        ({"experiences": ...}, "experiences: missing"),
        ({"experiences": []}, "experiences: 0 in one batch"),
        ({"created_at": "yesterday"}, "created_at: 'yesterday' is no instant"),
        ({"created_at": True}, "created_at: True is no instant"),
        ({"model_typ": "nlu"}, "'model_typ' is no key of a batch; did you mean model_type?"),
    ],
)
def test_what_is_no_batch_is_told_with_the_key(change, message):
    value = {key: inner for key, inner in {**BATCH, **change}.items() if inner is not ...}
    with pytest.raises(UserMistake, match=message.replace("?", r"\?")):
        batch_of(value, named=True)


def test_another_value_is_no_batch():
    with pytest.raises(UserMistake, match="list is not an object"):
        batch_of([ONE], named=True)


def test_a_batch_has_a_bound(monkeypatch):
    monkeypatch.setattr(batches, "MOST", 2)
    checked(Batch(model_type="nlu", experiences=[ONE] * 2))
    with pytest.raises(UserMistake, match="3 in one batch; 1 to 2 can be taken"):
        checked(Batch(model_type="nlu", experiences=[ONE] * 3))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"input": None, "expected_output": None, "actual_output": None, "metadata": None, "timestamp": None},
        {"metadata": {"quality": 1}, "timestamp": 1.8e9, "confidence": 0, "anything": [1]},
        {"metadata": {"quality": None}, "timestamp": "2026-11-26"},
    ],
)
def test_what_an_experience_may_have(more):
    assert shortcoming({**ONE, **more}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({key: ...}, f"{key}: missing") for key in ONE),
        ({"type": 1}, "type: 1 is not text"),
        ({"success": 1}, "success: 1 is not true or false"),
        ({"confidence": 1.1}, "confidence: 1.1 is not a number from 0 to 1"),
        ({"confidence": True}, "confidence: True is not a number from 0 to 1"),
        ({"confidence": float("nan")}, "confidence: nan is not a number from 0 to 1"),
        ({"metadata": "x" * 500}, f"metadata: '{'x' * 79} is not an object"),
        ({"metadata": {"quality": "good"}}, "metadata.quality: 'good' is not a number from 0 to 1"),
        ({"timestamp": "now"}, "timestamp: 'now' is no instant: neither ISO 8601"),
        ({"timestamp": {}}, "timestamp: {} is no instant: neither ISO 8601"),
    ],
)
def test_what_an_experience_lacks_is_told_with_the_field(change, message):
    value = {key: inner for key, inner in {**ONE, **change}.items() if inner is not ...}
    found = shortcoming(value)
    assert found is not None and found.startswith(message)


def test_another_value_is_no_experience():
    assert shortcoming(["hi"]) == "list is not an object"


@pytest.mark.parametrize(
    ("change", "quality"),
    [
        ({}, 0.9),
        ({"metadata": {"quality": 0.2}}, 0.2),
        ({"metadata": {"quality": None}}, 0.9),
        ({"success": False}, 1.0),
        ({"success": False, "actual_output": "leave"}, 1.0),
        ({"success": False, "actual_output": "greet"}, 0.0),
        ({"success": False, "actual_output": "greet", "metadata": {"quality": 0.7}}, 0.7),
        ({"success": False, "actual_output": None, "expected_output": None}, 0.0),
    ],
)
def test_quality_says_how_far_the_expected_output_can_be_trusted(change, quality):
    assert quality_0_1({**ONE, **change}) == quality
