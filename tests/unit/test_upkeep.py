"""What is done about machines: a state machine of a job, its training, its machine and whoever is killed in between."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overnight.resources.upkeep import STOP_GRACE_US, Move, Standing, Work, decide

HOUR_US = 3_600_000_000


class Life(RuleBasedStateMachine):
    """The machine is up from an attempt's begin on, as the attempt itself brings it up; anybody may die anywhere."""

    def __init__(self):
        super().__init__()
        self.now_us, self.up, self.closed = 1_000, False, False
        self.standing = Standing(max_us=10 * HOUR_US)
        self.work = Work(job_ended=False)
        self.begun_us = 0

    @rule(minutes=st.integers(1, 200))
    def time_passes(self, minutes):
        self.now_us += minutes * 60_000_000

    @precondition(lambda self: not self.work.job_ended and not self.work.worked_on and not self.standing.over)
    @rule(brings_up=st.booleans())
    def a_worker_begins(self, brings_up):
        self.work = replace(self.work, token=self.work.token + 1, worked_on=True, ended=False)
        self.begun_us = self.now_us
        self.up = self.up or brings_up

    @precondition(lambda self: self.work.worked_on)
    @rule()
    def the_worker_dies_or_yields(self):
        self.work = replace(self.work, worked_on=False)

    @precondition(lambda self: self.work.worked_on)
    @rule()
    def the_training_ends(self):
        self.work = replace(self.work, worked_on=False, ended=True, job_ended=True)

    @precondition(lambda self: not self.work.job_ended)
    @rule()
    def a_person_cancels(self):
        self.work = replace(self.work, job_ended=True, ended=not self.work.worked_on)

    @precondition(lambda self: not self.closed)
    @rule(closing=st.booleans(), dies=st.booleans())
    def somebody_looks(self, closing, dies):
        """`dies`: after the command and before it is written down."""
        for _ in range(10):
            move = decide(self.standing, self.work, self.now_us, closing=closing)
            if move is Move.COUNT:
                self.standing = replace(self.standing, up_us=self.begun_us)
            elif move is Move.STOP:
                self.standing = replace(self.standing, over=True)
                self.work = replace(self.work, worked_on=False, ended=True, job_ended=True)
            elif move is Move.DOWN:
                assert not self.work.worked_on
                self.up = False
                if dies:
                    return
                spent = self.standing.used_us(self.now_us)
                self.standing = replace(self.standing, up_us=None, spent_us=spent, down_token=self.work.token)
            elif move is Move.CLOSE:
                self.closed = True
                return
            else:
                return
        raise AssertionError("it goes round in a circle")

    @invariant()
    def nothing_is_up_once_the_account_is_closed(self):
        assert not (self.closed and self.up)

    def teardown(self):
        """Whatever happened: once the job has ended and somebody looks and lives, nothing is up and all is closed."""
        self.work = replace(self.work, worked_on=False, ended=True, job_ended=True)
        if not self.closed:
            self.somebody_looks(closing=False, dies=False)
        assert self.closed and not self.up


TestLife = Life.TestCase


def test_a_machine_is_left_alone_while_it_is_worked_for_and_between_two_tries():
    standing = Standing(up_us=0)
    for worked_on in (True, False):
        assert decide(standing, Work(job_ended=False, token=1, worked_on=worked_on, ended=False), HOUR_US) is Move.WAIT


def test_who_closes_leaves_the_machine_that_another_worker_uses():
    work = Work(job_ended=False, token=1, worked_on=True, ended=False)
    assert decide(Standing(up_us=0), work, 5, closing=True) is Move.WAIT
    assert decide(Standing(up_us=0), replace(work, worked_on=False), 5, closing=True) is Move.DOWN


def test_a_job_whose_training_nobody_began_needs_nothing():
    assert decide(Standing(), Work(job_ended=True), 5) is Move.CLOSE
    assert decide(Standing(), Work(job_ended=False), 5, closing=True) is Move.WAIT


def test_hours_that_are_over_stop_the_training_and_a_minute_later_the_machine_goes_in_any_case():
    work = Work(job_ended=False, token=1, worked_on=True, ended=False)
    standing = Standing(up_us=0, max_us=HOUR_US)
    assert decide(standing, work, HOUR_US - 1) is Move.WAIT
    assert decide(standing, work, HOUR_US) is Move.STOP
    over = replace(standing, over=True)
    assert decide(over, work, HOUR_US + STOP_GRACE_US - 1) is Move.WAIT
    assert decide(over, work, HOUR_US + STOP_GRACE_US) is Move.DOWN
    assert decide(over, replace(work, worked_on=False), HOUR_US) is Move.DOWN


@given(st.integers(0, HOUR_US), st.integers(0, HOUR_US), st.integers(-5, HOUR_US))
def test_time_that_was_spent_never_gets_less(spent_us, up_us, later_us):
    standing = Standing(up_us=up_us, spent_us=spent_us)
    assert spent_us <= standing.used_us(up_us + later_us) == spent_us + max(0, later_us)
