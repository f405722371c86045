"""Versions that take turns: who asks waits, who changes them is alone, and none is changed all the time."""

import threading

import pytest

from daemons import wait_for
from overnight.base.errors import NoTurn
from overnight.serving.turns import TURN_S, Turns


class Time:
    """Seconds that pass when they are asked for, or when somebody says so."""

    def __init__(self):
        self.now, self.step = 0.0, 0.0

    def __call__(self):
        self.now += self.step
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def turns(time):
    return Turns(time)


def nothing():
    return None


def never():
    raise AssertionError("nobody changes it now")


def test_what_is_there_answers_at_once_and_what_is_not_is_brought(turns):
    assert turns.wait("m", lambda: "v1", never, 1.0) == "v1"
    assert turns.wait("m", nothing, lambda: "v2", 1.0) == "v2"
    assert not turns.single("m")
    turns.begin("m")
    assert turns.single("m")
    turns.end("m")
    assert not turns.single("m")


def test_a_version_stays_for_a_while_before_another_one_takes_its_turn(turns, time):
    turns.wait("m", nothing, lambda: "v1", 1.0)
    time.step = 0.5
    with pytest.raises(NoTurn, match="m: its versions take turns, and none was there in 1 s"):
        turns.wait("m", nothing, never, 1.0)
    time.step, time.now = 0.0, time.now + TURN_S
    assert turns.wait("m", nothing, lambda: "v2", 1.0) == "v2"


def test_one_model_keeps_no_other_one_waiting_for_its_time(turns):
    turns.wait("m", nothing, lambda: "v1", 1.0)
    assert turns.wait("other", nothing, lambda: "v1", 1.0) == "v1"


def test_who_asks_during_a_change_waits_is_noticed_and_gets_what_is_there_then(turns):
    there, answers = [], []

    def ask():
        answers.append(turns.wait("m", lambda: there[0] if there else None, never, 60.0))

    with turns.turn("m") as wanted:
        assert not wanted()
        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(wanted)
        assert answers == []
        there.append("v2")
    asking.join(60)
    assert answers == ["v2"]


def test_a_change_that_fails_lets_the_next_one_try(turns, time):
    def broken():
        raise OSError("no such file")

    for _ in range(2):
        with pytest.raises(OSError, match="no such file"):
            turns.wait("m", nothing, broken, 1.0)
        time.now += TURN_S
    with pytest.raises(OSError, match="no such file"), turns.turn("m"):
        broken()
    time.now += TURN_S
    assert turns.wait("m", nothing, lambda: "v1", 1.0) == "v1"
