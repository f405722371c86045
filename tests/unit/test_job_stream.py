"""The events of a job's stream: numbers that say what they tell of, and nothing that was not measured."""

import json

from hypothesis import given
from hypothesis import strategies as st

from overnight.client.sse import Parser
from overnight.reports.job_stream import BEGUN, QUEUED, Followed, accuracy, epoch_of, frame

JOB = Followed(job_id="j", total_epochs=10, checkpoint_every=4, folder="/c/j")
MEASURED = {"epoch": 4, "loss": 0.5, "val_loss": 0.6, "val_metric": 0.9, "metric": "accuracy", "seconds": 1.2}


def test_an_epoch_tells_what_was_measured_and_not_how_fast():
    event = JOB.epoch(MEASURED)
    assert (event.number, event.name) == (9, "status")
    assert event.data == {
        "job_id": "j", "status": "training", "epoch": 4, "total_epochs": 10, "loss": 0.5, "accuracy": 0.9,
        "val_loss": 0.6, "metric": "accuracy", "val_metric": 0.9,
    }  # fmt: skip


def test_what_was_not_measured_is_null():
    for event in (JOB.queued(), JOB.begun(), JOB.epoch({"epoch": 1})):
        assert [event.data[name] for name in ("loss", "accuracy", "val_loss", "metric", "val_metric")] == [None] * 5


def test_only_a_share_of_right_answers_is_an_accuracy():
    assert accuracy("accuracy", 0.9) == accuracy("exemplar_accuracy", 0.9) == 0.9
    assert accuracy("EER", 0.1) is accuracy("Spearman", 0.8) is accuracy(None, 0.5) is None


def test_epochs_that_are_not_of_the_job_are_no_events():
    assert JOB.epoch({"epoch": 11}) is JOB.epoch({"epoch": 0}) is JOB.epoch({}) is JOB.epoch({"epoch": "3"}) is None
    assert epoch_of({"epoch": 3.7}) == 3


def test_checkpoints_come_at_their_interval_and_at_the_end():
    assert [epoch for epoch in range(1, 11) if JOB.saves(epoch)] == [4, 8, 10]
    never = Followed(job_id="j", total_epochs=10, checkpoint_every=0, folder="")
    assert not any(never.saves(epoch) for epoch in range(1, 11))
    found = JOB.checkpoint(MEASURED)
    assert (found.number, found.name, found.data["checkpoint_path"]) == (10, "checkpoint", "/c/j/epoch_0004.npz")
    assert found.data["metrics"] == {"loss": 0.5, "val_loss": 0.6, "metric": "accuracy", "val_metric": 0.9}


def test_the_end_says_what_came_of_it_or_why_not():
    done = JOB.end("completed", model_version="v1.0.0", error=None, figures=MEASURED)
    assert done.data["model_version"] == "v1.0.0" and done.data["metrics"]["loss"] == 0.5 and "error" not in done.data
    failed = JOB.end("failed", model_version=None, error="no", figures={})
    assert failed.data == {"job_id": "j", "status": "failed", "error": "no"}


@given(st.integers(1, 200), st.integers(0, 50))
def test_each_event_of_a_job_has_a_number_of_its_own_in_the_order_of_the_events(epochs, every):
    job = Followed(job_id="j", total_epochs=epochs, checkpoint_every=every, folder="")
    numbers = [job.queued().number, job.begun().number]
    for epoch in range(1, epochs + 1):
        numbers.append(job.epoch({"epoch": epoch}).number)
        if job.saves(epoch):
            numbers.append(job.checkpoint({"epoch": epoch}).number)
    numbers.append(job.end("failed", model_version=None, error="", figures={}).number)
    assert numbers == sorted(set(numbers)) and numbers[:2] == [QUEUED, BEGUN]


@given(st.dictionaries(st.text(), st.text() | st.none() | st.floats(allow_nan=False)))
def test_what_is_sent_is_what_a_reader_reads(data):
    [message] = Parser().feed(frame(7, "status", data))
    assert (message.name, message.last_id, json.loads(message.data)) == ("status", "7", data)
