"""Batches come in the order in which they were left, and a question is answered to whoever asked it."""

import pytest

from overnight.campaigns.spool import Spool, Try


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def test_batches_are_taken_in_the_order_of_runs_of_their_tries_and_of_their_numbers(spool):
    tries = [Try(run_id=9, token=2), Try(run_id=9, token=11), Try(run_id=10, token=1)]
    for place, one in reversed(list(enumerate(tries))):
        for number in (10, 9):
            spool.put(one, number, [[place, number]])
    told = [path.read_text() for path in spool.waiting()]
    assert told == [f"[[{place},{number}]]" for place in range(3) for number in (9, 10)]


def test_what_a_run_that_was_stopped_has_asked_is_nobody_elses_question_and_no_answer_to_it_is(spool):
    stopped, one = Try(run_id=7, token=1), Try(run_id=8, token=1)
    spool.ask(stopped, {"sums": "sums/1"})
    assert spool.asked(8) is None
    spool.answer(stopped, iter([["old"]]))
    spool.ask(one, {"sums": "sums/2"})
    assert not spool.answered(one), "what another run of the same token was told is out of date"
    question = spool.asked(8)
    assert (question.asker, question.generators) == (one, {"sums": "sums/2"})
    spool.answer(question.asker, iter([["new"]]))
    assert list(spool.known(one)) == [["new"]]
    assert list(spool.folder.iterdir()) == [], "and what was left is gone"


def test_the_newest_try_of_a_run_is_the_one_that_waits(spool):
    for token in (3, 12, 4):
        spool.ask(Try(run_id=8, token=token), {"a": "b/1"})
    assert spool.asked(8).asker.token == 12
