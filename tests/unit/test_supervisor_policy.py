"""What becomes of a service: started, adopted, restarted, given up."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.resource_settings import HealthSettings, ServiceSettings
from overnight.supervisor import policy
from overnight.supervisor.policy import Act, Seen, State, Status, asked_to_start, asked_to_stop, decide
from overnight.supervisor.startup import Mode, mode_of, turn_of

GB = 10**9
PLAIN = ServiceSettings(command=("serve",), health=HealthSettings(failures=2), backoff_s=1.0, max_restarts=3)
WELL = Seen(alive=True, healthy=True)
ABSENT = Seen(healthy=False, problem="nobody answers there")
UP = State(status=Status.UP, ours=True, worked=True)


def after(state, seen, now=10.0, settings=PLAIN, ready=True):
    decision = decide(settings, state, seen, now, ready=ready)
    return decision.state, decision.act


class TestBeforeItIsStarted:
    def test_nothing_is_done_before_its_turn_and_before_it_was_looked_at(self):
        assert after(State(), ABSENT, ready=False) == (State(), None)
        assert after(State(), Seen()) == (State(), None)

    def test_what_works_already_is_adopted(self):
        state, act = after(State(), Seen(healthy=True))
        assert (state.status, state.ours, act) == (Status.UP, False, None)

    def test_what_a_daemon_has_left_is_ours_again_where_it_works_and_stopped_where_it_does_not(self):
        state, act = after(State(), WELL)
        assert (state.status, state.ours, act) == (Status.UP, True, None)
        state, act = after(State(), Seen(alive=True, healthy=False, problem="answered 500"))
        assert (state.status, state.again, act) == (Status.STOPPING, True, Act.STOP)
        assert after(state, Seen(ended="was killed"))[0].status is Status.WAITING, "another one takes its place"

    def test_a_port_that_somebody_else_has_is_said_and_nothing_started(self):
        state, act = after(State(), Seen(healthy=False, taken="port 80 is taken by process 7"))
        assert (state.status, state.why, act) == (Status.GIVEN_UP, "port 80 is taken by process 7", None)

    def test_what_is_absent_is_started(self):
        state, act = after(State(), ABSENT)
        assert (state.status, state.ours, state.since_s, act) == (Status.STARTING, True, 10.0, Act.START)


class TestStarting:
    STARTING = State(status=Status.STARTING, since_s=10.0, ours=True)

    def test_it_is_up_once_it_works(self):
        assert after(self.STARTING, Seen(alive=True, healthy=False))[0] == self.STARTING
        state, _ = after(self.STARTING, WELL)
        assert state.status is Status.UP and state.worked

    def test_a_first_start_that_ends_is_not_tried_again(self):
        state, act = after(self.STARTING, Seen(ended="exited with code 0", failed=False, healthy=False))
        assert (state.status, act) == (Status.GIVEN_UP, None)
        assert state.why == "exited with code 0, before it worked"
        assert after(self.STARTING, Seen(healthy=False))[0].why == "is gone, before it worked"

    def test_one_that_does_not_work_in_time_is_stopped_and_given_up(self):
        slow = Seen(alive=True, healthy=False, problem="answered 503")
        assert after(self.STARTING, slow, now=69.9)[0].status is Status.STARTING
        state, act = after(self.STARTING, slow, now=70.0)
        assert (state.status, state.again, act) == (Status.STOPPING, False, Act.STOP)
        assert state.why == "did not work within 60 s: answered 503"
        state, _ = after(state, Seen(ended="was killed"), now=71.0)
        assert (state.status, state.ours) == (Status.GIVEN_UP, False)

    def test_one_that_has_worked_before_is_tried_again(self):
        again = replace(self.STARTING, worked=True)
        assert after(again, Seen(ended="exited with code 1"))[0].status is Status.BACKING_OFF
        assert after(again, Seen(alive=True, healthy=False), now=70.0)[0].again


class TestUp:
    def test_looks_that_fail_in_a_row_have_it_stopped_and_started_again(self):
        hung = Seen(alive=True, healthy=False, problem="did not answer within 2 s")
        once, act = after(UP, hung)
        assert (once.failures, act) == (1, None)
        assert after(once, Seen(alive=True))[0].failures == 1, "no look, no news"
        assert after(once, WELL)[0].failures == 0
        state, act = after(once, hung)
        assert (state.status, state.again, act) == (Status.STOPPING, True, Act.STOP)
        state, _ = after(state, Seen(ended="was killed by SIGTERM"), now=12.0)
        assert (state.status, state.until_s) == (Status.BACKING_OFF, 13.0)
        assert after(state, ABSENT, now=12.9)[0].status is Status.BACKING_OFF
        assert after(state, ABSENT, now=13.0)[1] is Act.START

    def test_one_that_takes_too_much_memory_is_started_again(self):
        settings = replace(PLAIN, max_memory_gb=1.5)
        assert after(UP, replace(WELL, memory_bytes=GB), settings=settings)[1] is None
        assert after(UP, WELL, settings=settings)[1] is None, "not measured"
        state, act = after(UP, replace(WELL, memory_bytes=2 * GB), settings=settings)
        assert (state.again, act) == (True, Act.STOP)
        assert state.why == "took 2.0 GB of memory, max_memory_gb is 1.5"

    @pytest.mark.parametrize(
        ("restart", "failed", "status"),
        [
            ("always", False, Status.BACKING_OFF),
            ("always", True, Status.BACKING_OFF),
            ("on_failure", False, Status.DOWN),
            ("on_failure", True, Status.BACKING_OFF),
            ("never", False, Status.DOWN),
            ("never", True, Status.GIVEN_UP),
        ],
    )
    def test_one_that_ends_is_started_again_as_its_policy_says(self, restart, failed, status):
        settings = replace(PLAIN, restart=restart)
        state, _ = after(UP, Seen(ended="exited", failed=failed), settings=settings)
        assert (state.status, state.why, state.ours) == (status, "exited", False)

    def test_never_holds_for_one_that_hangs_too(self):
        settings = replace(PLAIN, restart="never", health=HealthSettings(failures=1))
        state, act = after(UP, Seen(alive=True, healthy=False, problem="503"), settings=settings)
        assert (state.again, act) == (False, Act.STOP)

    def test_waits_double_and_too_many_restarts_give_it_up(self):
        state, waits = UP, []
        for number in range(3):
            state, _ = after(replace(state, status=Status.UP, ours=True), Seen(ended="crashed"), now=10.0 + number)
            waits.append(state.until_s - (10.0 + number))
        assert waits == [1.0, 2.0, 4.0]
        state, _ = after(replace(state, status=Status.UP, ours=True), Seen(ended="crashed"), now=14.0)
        assert state.status is Status.GIVEN_UP
        assert state.why == "given up after 3 restarts in 600 s: crashed"
        later, _ = after(replace(state, status=Status.UP, ours=True), Seen(ended="crashed"), now=700.0)
        assert later.status is Status.BACKING_OFF and len(later.restarts) == 1, "old restarts count no more"

    def test_an_adopted_one_that_goes_away_is_replaced_by_our_own(self):
        adopted = replace(UP, ours=False, failures=1)
        state, act = after(adopted, ABSENT)
        assert (state.status, act) == (Status.BACKING_OFF, None)
        assert after(adopted, Seen(healthy=True))[0].status is Status.UP, "that nothing of ours lives is no matter"


class TestStopping:
    STOPPING = State(status=Status.STOPPING, since_s=10.0, ours=True, worked=True)

    def test_it_is_waited_for_and_killed_where_it_is_stuck(self):
        assert after(self.STOPPING, Seen(alive=True), now=29.0) == (self.STOPPING, None)
        assert after(self.STOPPING, Seen(alive=True), now=31.0)[1] is Act.KILL
        assert after(self.STOPPING, Seen())[0].status is Status.DOWN

    def test_somebody_who_asks_for_a_restart_gets_one_whatever_was_counted(self):
        spent = replace(UP, restarts=(1.0, 2.0, 3.0))
        decision = asked_to_stop(spent, 10.0, again=True)
        assert (decision.act, decision.state.restarts) == (Act.STOP, ())
        assert not decision.state.worked, "whoever waits for it is told at once where it fails"
        assert after(decision.state, Seen(ended="was killed"))[0].status is Status.WAITING
        given_up = State(status=Status.GIVEN_UP, why="crashed", restarts=(1.0,))
        for asked in (asked_to_start(given_up, 5.0), asked_to_stop(given_up, 5.0, again=True).state):
            assert (asked.status, asked.restarts, asked.why) == (Status.WAITING, (), None)

    def test_what_is_stopped_by_somebody_stays_down(self):
        stopped = after(asked_to_stop(UP, 10.0).state, Seen(ended="was killed"))[0]
        assert stopped.status is Status.DOWN and after(stopped, ABSENT) == (stopped, None)
        assert asked_to_stop(State(), 1.0).state.status is Status.DOWN
        adopted = replace(UP, ours=False)
        assert asked_to_stop(adopted, 1.0).act is None, "it is not ours"
        assert asked_to_start(UP, 1.0) == UP


@given(
    st.lists(
        st.tuples(
            st.builds(
                Seen,
                alive=st.booleans(),
                ended=st.sampled_from([None, "exited with code 1"]),
                failed=st.booleans(),
                healthy=st.sampled_from([None, True, False]),
                problem=st.just("wrong"),
                memory_bytes=st.sampled_from([None, GB, 3 * GB]),
            ),
            st.floats(0, 30),
            st.booleans(),
        ),
        max_size=40,
    ),
    st.sampled_from(["always", "on_failure", "never"]),
)
def test_whatever_is_seen_it_is_started_only_where_nothing_of_it_lives_and_not_more_often_than_allowed(seen, restart):
    settings = replace(PLAIN, restart=restart, max_memory_gb=2.0, window_s=1e9)
    state, now, starts = State(), 0.0, 0
    for one, passed, ready in seen:
        now += passed
        before = state
        decision = decide(settings, state, one, now, ready=ready)
        state = decision.state
        if decision.act is Act.START:
            starts += 1
            assert not one.alive and before.status in (Status.WAITING, Status.BACKING_OFF)
        if decision.act in (Act.STOP, Act.KILL):
            assert state.ours
        assert len(state.restarts) <= settings.max_restarts
        assert state.status not in (Status.GIVEN_UP, Status.BACKING_OFF) or state.why
    assert starts <= 1 + settings.max_restarts


def service(**given):
    return ServiceSettings(command=("serve",), **given)


class TestStartup:
    def test_a_phase_begins_when_those_before_are_settled(self):
        services = {"db": service(phase=1), "cache": service(phase=1, required=False), "api": service(phase=2)}
        states = {"db": UP, "cache": State(status=Status.STARTING), "api": State()}
        assert turn_of("db", services, states).ready
        assert not turn_of("api", services, states).ready
        lost = {**states, "cache": State(status=Status.GIVEN_UP, why="x")}
        assert turn_of("api", services, lost).ready, "it was not required"
        assert mode_of(services, {**lost, "api": UP}) is Mode.DEGRADED
        assert mode_of(services, dict.fromkeys(services, UP)) is Mode.FULL
        assert mode_of(services, states) is Mode.STARTING

    def test_without_what_is_required_the_later_ones_do_not_begin_and_it_has_failed(self):
        services = {"db": service(phase=1), "api": service(phase=2)}
        states = {"db": State(status=Status.GIVEN_UP, why="x"), "api": State()}
        turn = turn_of("api", services, states)
        assert (turn.ready, turn.lost) == (False, "db")
        assert mode_of(services, states) is Mode.FAILED
        again = {"db": replace(states["db"], worked=True), "api": UP}
        assert mode_of(services, again) is Mode.DEGRADED, "what has worked before ends nothing"
        assert turn_of("api", services, {**again, "api": State()}).ready

    def test_what_comes_after_waits_until_that_is_up(self):
        services = {"db": service(), "api": service(after=("db",))}
        states = {"db": State(status=Status.BACKING_OFF, worked=True), "api": State()}
        assert not turn_of("api", services, states).ready
        assert turn_of("api", services, {**states, "db": UP}).ready
        assert turn_of("api", services, {**states, "db": State(status=Status.DOWN)}).lost == "db"


def test_the_longest_wait_is_a_minute():
    state = replace(UP, restarts=tuple(range(9)))
    found, _ = after(state, Seen(ended="crashed"), settings=replace(PLAIN, max_restarts=99))
    assert found.until_s - 10.0 == policy.LONGEST_BACKOFF_S
