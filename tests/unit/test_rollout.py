"""The state machine of a rollout: what follows from what was seen, from the time, and from what people ask."""

import json
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from overnight.base.errors import InvalidTransition, UserMistake
from overnight.proof import betting
from overnight.proof.eprocess import Wealth
from overnight.registry import rollout
from overnight.registry.evidence import SCORE, SUCCESS, Counts, Evidence, Tally, taken
from overnight.registry.plans import ALPHA_SHARES, STRATEGIES, SWAPPING, plan_of
from overnight.registry.rollout import COMMANDS, Look, Reason, State, Status, decide

US = 10**6
PLAN = plan_of("gradual_rollout", {"monitor_duration_seconds": 60, "min_requests": 10})
NOTHING = {name: [] for name in ALPHA_SHARES}


def news(*, requests=0, errors=0, champion=0, champion_errors=0, share=0.1, drawn=None, cells=None):
    failures = [(True, share)] * errors + [(False, share)] * champion_errors
    return Tally(
        failures={**NOTHING, "errors": failures},
        candidate=Counts(requests=requests, errors=errors),
        champion=Counts(requests=champion, errors=champion_errors),
        drawn=drawn or {},
        cells=cells or {},
    )


def begun(plan=PLAN):
    return rollout.opened(plan, State(), 0).state, Evidence.none(plan)


def at(seconds, **known):
    return Look(now_us=int(seconds * US), **known)


def test_a_stage_is_left_after_its_time_with_enough_requests_and_not_before():
    state, evidence = begun()
    few, enough = taken(evidence, PLAN, news(requests=9)), taken(evidence, PLAN, news(requests=10))
    assert decide(PLAN, state, enough, at(59)) is None
    move = decide(PLAN, state, enough, at(60))
    assert (move.state.stage, move.state.percentage(PLAN), move.reason) == (1, 25, Reason.STAGE_PASSED)
    held = decide(PLAN, state, few, at(60))
    assert (held.state.status, held.reason, held.state.percentage(PLAN)) == (Status.HELD, Reason.NO_TRAFFIC, 10)
    assert not held.state.asks
    assert decide(PLAN, held.state, few, at(61)) is None, "told once"
    assert decide(PLAN, held.state, enough, at(62)).state.stage == 1


def test_the_last_stage_soaks_with_a_hold_back_and_then_serves_everybody():
    state, evidence = begun()
    seen = []
    for number in range(5):
        evidence = taken(evidence, PLAN, news(requests=10))
        seen.append((state.status, state.percentage(PLAN)))
        move = decide(PLAN, state, evidence, at(60 * (number + 1)))
        state, evidence = move.state, evidence.next_stage()
    assert seen == [("running", 10), ("running", 25), ("running", 50), ("running", 75), ("soaking", 98)]
    assert (state.status, state.percentage(PLAN), move.reason) == (Status.COMPLETED, 100, Reason.SOAKED)
    assert (state.since_us, move.message) == (300 * US, "serves everybody")


def test_a_stage_lasts_from_its_own_beginning():
    evidence = taken(Evidence.none(PLAN), PLAN, news(requests=10))
    state = rollout.opened(PLAN, State(), 1000 * US).state
    assert decide(PLAN, state, evidence, at(1059)) is None
    passed = decide(PLAN, state, evidence, at(1060)).state
    assert passed.since_us == 1060 * US
    assert decide(PLAN, passed, evidence, at(1119)) is None


def test_a_state_comes_back_from_json_with_all_that_it_knows():
    known = State(
        status=Status.PAUSED,
        stage=2,
        since_us=7,
        held=Reason.WORSE,
        overruled=(Reason.SCORE_WORSE, Reason.LAST_STEP),
        opened=True,
        loaded=True,
    )
    assert State.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def failing(count):
    return news(requests=count, errors=count, champion=count, share=0.5)


def failing_with_the_champion(count):
    return news(requests=count, errors=count, champion=count, champion_errors=count, share=0.5)


def scored_lower(count):
    cells = {SCORE: {(True, 0.5): {10: count}, (False, 0.5): {90: count}}}
    return news(requests=count, champion=count, cells=cells)


@pytest.mark.parametrize(
    ("guard", "seen", "reason"),
    [
        ("errors", failing, Reason.WORSE),
        ("error_budget", failing_with_the_champion, Reason.ERROR_BUDGET),
        (SCORE, scored_lower, Reason.SCORE_WORSE),
    ],
)
def test_a_guard_decides_at_the_limit_that_is_told_and_not_before(guard, seen, reason):
    plan = plan_of("canary", {"initial_percentage": 50, "rollback_on_error_rate": 0.7})
    state, none = begun(plan)
    told = []
    for count in range(1, 300):
        evidence = taken(none, plan, seen(count))
        told.append(rollout.guards_told(plan, evidence)[guard]["e_value"])
        move = decide(plan, state, evidence, at(1))
        if move is not None:
            break
    limit = rollout.guards_told(plan, evidence)[guard]["limit"]
    assert move.reason is reason and told[-2] < limit <= told[-1] < 2 * limit
    shown = {
        Reason.WORSE: f"limit {limit:g}",
        Reason.ERROR_BUDGET: f"more than 70 % (e-value {told[-1]:.4g}, limit 100)",
    }
    assert shown.get(reason, "the candidate's scores are lower than the champion's") in move.message


def test_silence_of_those_who_route_is_told_from_no_traffic():
    state, evidence = begun()
    assert decide(PLAN, state, evidence, at(61, routed_us=60 * US)).reason is Reason.NO_METRICS
    assert decide(PLAN, state, evidence, at(61, routed_us=60 * US, heard_us=30 * US)).reason is Reason.NO_TRAFFIC
    quiet = decide(PLAN, state, evidence, at(61))
    assert (quiet.reason, quiet.message.partition(";")[0]) == (
        Reason.NO_TRAFFIC,
        "0 of 10 requests of this stage have come",
    )
    for known in ({}, {"routed_us": 60 * US}):
        held = decide(PLAN, state, evidence, at(61, **known)).state
        for later in ({}, {"routed_us": 62 * US}):
            assert decide(PLAN, held, evidence, at(63, **later)) is None, "which of the two it is decides nothing"


@pytest.mark.parametrize("status", ["running", "paused", "held"])
def test_proof_takes_it_back_from_every_open_state(status):
    state, evidence = begun()
    state = replace(state, status=Status(status), held=Reason.NO_TRAFFIC if status == "held" else None)
    evidence = taken(evidence, PLAN, news(requests=8, errors=8, champion=80))
    move = decide(PLAN, state, evidence, at(1))
    assert (move.state.status, move.reason, move.state.percentage(PLAN)) == (Status.ROLLED_BACK, Reason.WORSE, 0)
    assert "8 in 8 requests of the candidate, 0 in 80 of the champion" in move.message


def test_without_auto_rollback_it_is_held_for_a_person_until_it_is_overruled():
    plan = replace(PLAN, auto_rollback=False)
    state, evidence = begun(plan)
    evidence = taken(evidence, plan, news(requests=8, errors=8, champion=80))
    move = decide(plan, state, evidence, at(1))
    assert (move.state.status, move.reason, move.state.asks) == (Status.HELD, Reason.WORSE, True)
    assert decide(plan, move.state, evidence, at(2)) is None
    paused = replace(state, status=Status.PAUSED)
    assert decide(plan, paused, evidence, at(2)) is None
    on = rollout.command(plan, move.state, "resume", 2 * US).state
    assert Reason.WORSE in on.overruled
    after = decide(plan, on, evidence, at(3))
    assert after is None or after.reason is not Reason.WORSE


def test_more_errors_than_allowed_hold_it_beside_a_champion_and_take_it_back_without_one():
    state, evidence = begun()
    both = news(requests=40, errors=12, champion=360, champion_errors=108)
    evidence = taken(evidence, PLAN, both)
    move = decide(PLAN, state, evidence, at(1))
    assert (move.state.held, move.state.asks) == (Reason.ERROR_BUDGET, True)
    on = rollout.command(PLAN, move.state, "resume", US).state
    assert decide(PLAN, on, evidence, at(2)) is None
    alone = replace(PLAN, hold_back=0.0, steps=(100.0,))
    state, evidence = begun(alone)
    evidence = taken(evidence, alone, news(requests=40, errors=12, share=1.0))
    move = decide(alone, state, replace(evidence, guards=Evidence.none(alone).guards), at(1))
    assert (move.state.status, move.reason) == (Status.ROLLED_BACK, Reason.ERROR_BUDGET)


def test_keys_that_do_not_reach_the_versions_as_set_hold_it():
    state, evidence = begun()
    evidence = taken(evidence, PLAN, news(requests=300, champion=900, drawn={0.1: (300, 900)}))
    move = decide(PLAN, state, evidence, at(61))
    assert (move.state.held, move.state.percentage(PLAN)) == (Reason.SAMPLE_RATIO_MISMATCH, 10)
    assert "300 of 1200 at 10 %" in move.message


def test_lower_scores_hold_it():
    state, evidence = begun()
    cells = {SCORE: {(True, 0.5): {10: 300}, (False, 0.5): {90: 300}}}
    evidence = taken(evidence, PLAN, news(requests=300, champion=300, cells=cells))
    assert decide(PLAN, state, evidence, at(1)).state.held is Reason.SCORE_WORSE
    assert rollout.guards_told(PLAN, evidence)["score"]["e_value"] > 100


def test_an_ab_test_names_a_winner_and_never_goes_on_by_itself():
    plan = plan_of("ab_test", ab_min_requests=10)
    state, evidence = begun(plan)
    even = {SUCCESS: {(True, 0.5): {100: 80, 0: 20}, (False, 0.5): {100: 80, 0: 20}}}
    evidence = taken(evidence, plan, news(requests=100, champion=100, cells=even))
    assert rollout.winner(plan, evidence) is None
    assert decide(plan, state, evidence, at(10**6)) is None
    alpha = (1 - plan.confidence) / 3
    assert rollout.lifts(plan, evidence) == {SUCCESS: betting.lift(even[SUCCESS], alpha=alpha)}, "three hold together"
    for better, name in ((True, "candidate"), (False, "champion")):
        cells = {SUCCESS: {(better, 0.5): {100: 500}, (not better, 0.5): {0: 500}}}
        told = taken(Evidence.none(plan), plan, news(requests=500, champion=500, cells=cells))
        move = decide(plan, state, told, at(1))
        assert (rollout.winner(plan, told), move.reason, move.state.asks) == (name, Reason.WINNER_KNOWN, True)
        assert f"the {name} is better: success" in move.message


def test_an_ab_test_has_its_winner_from_the_least_requests_on_and_others_name_none():
    plan = plan_of("ab_test", ab_min_requests=500)
    cells = {SUCCESS: {(True, 0.5): {100: 500}, (False, 0.5): {0: 500}}}
    for count, reason in ((499, None), (500, Reason.WINNER_KNOWN)):
        move = decide(plan, begun(plan)[0], taken(Evidence.none(plan), plan, news(requests=count, cells=cells)), at(1))
        assert (None if move is None else move.reason) is reason
    state, evidence = begun()
    assert decide(PLAN, state, taken(evidence, PLAN, news(requests=500, cells=cells)), at(1)) is None


def test_an_ab_test_whose_measures_disagree_has_no_winner():
    plan = plan_of("ab_test")
    cells = {
        SUCCESS: {(True, 0.5): {100: 500}, (False, 0.5): {0: 500}},
        SCORE: {(True, 0.5): {0: 500}, (False, 0.5): {100: 500}},
    }
    assert rollout.winner(plan, taken(Evidence.none(plan), plan, news(requests=500, cells=cells))) is None


def test_a_shadow_serves_nobody_and_ends_by_itself():
    plan = plan_of("shadow", {"monitor_duration_seconds": 60, "min_requests": 10})
    state, evidence = begun(plan)
    assert state.percentage(plan) == 0
    move = decide(plan, state, taken(evidence, plan, news(requests=10)), at(60))
    assert (move.state.status, move.state.percentage(plan), move.reason) == (Status.COMPLETED, 0, Reason.SHADOWED)
    assert move.message == "10 requests were answered beside the champion; roll it out to let it serve"


def test_steps_that_end_below_100_ask_what_comes_next():
    plan = plan_of("gradual_rollout", {"rollout_steps": [20], "monitor_duration_seconds": 0, "min_requests": 1})
    state, evidence = begun(plan)
    evidence = taken(evidence, plan, news(requests=1))
    move = decide(plan, state, evidence, at(1))
    assert (move.state.held, move.state.asks, move.reason) == (Reason.LAST_STEP, True, Reason.LAST_STEP)
    assert move.message == "the last step of 20 % is passed; promote lets it serve everybody, abort ends it"
    assert decide(plan, rollout.command(plan, move.state, "resume", US).state, evidence, at(2)) is None


def test_the_plain_rule_can_be_asked_for_and_is_as_rash_as_it_is():
    plan = plan_of("canary", {"guard": "threshold"})
    state, evidence = begun(plan)
    both_fail = taken(evidence, plan, news(requests=20, errors=2, champion=180, champion_errors=18))
    move = decide(plan, state, both_fail, at(1))
    assert (move.state.status, move.reason) == (Status.ROLLED_BACK, Reason.ABOVE_THRESHOLD)
    assert move.message == "2 errors in 20 requests, above 5 %"
    assert decide(plan, state, taken(evidence, plan, news(requests=19, errors=5, champion=99)), at(1)) is None
    as_many = taken(evidence, plan, news(requests=20, errors=1, champion=180))
    assert decide(plan, state, as_many, at(1)) is None, "as many as are allowed are not too many"


def test_immediate_serves_at_once():
    move = rollout.opened(plan_of("immediate"), State(), 5)
    assert (move.state.status, move.state.percentage(plan_of("immediate"))) == (Status.COMPLETED, 100)


def test_a_hard_failure_ends_it_and_an_ended_one_stays():
    state, _ = begun()
    failed, ended = rollout.failed_hard(state, "NaN"), rollout.run_ended(state, "cancelled")
    assert (failed.state.status, failed.reason, failed.message) == (Status.ROLLED_BACK, Reason.HARD_FAILURE, "NaN")
    assert (ended.state.status, ended.reason, ended.message) == (Status.ABORTED, Reason.RUN_ENDED, "cancelled")
    assert rollout.failed_hard(replace(state, status=Status.COMPLETED), "NaN") is None
    assert rollout.run_ended(replace(state, status=Status.COMPLETED), "cancelled") is None


def test_a_worse_replay_takes_it_back_or_asks():
    back = rollout.replayed_worse(PLAN, State(), "x")
    assert (back.state.status, back.reason, back.message) == (Status.ROLLED_BACK, Reason.REPLAY_WORSE, "x")
    asked = rollout.replayed_worse(replace(PLAN, auto_rollback=False), State(), "x")
    held = asked.state
    assert (asked.reason, asked.message) == (Reason.REPLAY_WORSE, "x")
    assert (held.held, held.asks, held.percentage(PLAN)) == (Reason.REPLAY_WORSE, True, 0)


@pytest.mark.parametrize(
    ("what", "status", "percentage", "says"),
    [
        ("promote", "completed", 100, "serves everybody"),
        ("abort", "aborted", 0, "ended; the champion serves everybody"),
        ("rollback", "rolled_back", 0, "taken back; the champion serves everybody"),
    ],
)
def test_a_person_can_end_it(what, status, percentage, says):
    for before in (State(), begun()[0], replace(begun()[0], status=Status.HELD, held=Reason.NO_TRAFFIC)):
        move = rollout.command(PLAN, before, what, 7)
        assert (move.state.status, move.state.percentage(PLAN), move.reason) == (status, percentage, Reason.BY_HAND)
        assert (move.message, move.state.since_us) == (says, 7 if what == "promote" else before.since_us)


def test_what_is_told_of_the_guards_names_each_limit():
    told = rollout.guards_told(PLAN, Evidence.none(PLAN))
    limits = {name: guard["limit"] for name, guard in told.items()}
    assert all(guard["e_value"] == pytest.approx(1) for guard in told.values())
    assert limits == {
        "errors": 200, "timeouts": 500, "slow": 500, "invalid": 1000, "error_budget": 100, "sample_ratio": 1000
    }  # fmt: skip


def test_without_room_beside_the_champion_a_person_decides_and_nobody_is_served():
    move = rollout.no_room(State(), "too large")
    held = move.state
    assert (move.reason, move.message) == (Reason.NO_ROOM, "too large")
    assert (held.held, held.asks, held.percentage(PLAN)) == (Reason.NO_ROOM, True, 0)
    assert rollout.command(PLAN, held, "promote", 0).state.percentage(PLAN) == 100


def unpaired(**told):
    """Return what requests say that no champion was beside."""
    return replace(news(share=1.0, **told), failures=NOTHING)


def alone(plan=PLAN, before=None):
    return rollout.swapped(plan, before or State(), "no room for both", 0).state


def test_in_the_place_of_the_champion_it_serves_everybody_and_soaks():
    state = alone()
    assert (state.status, state.percentage(PLAN), state.held) == (Status.SOAKING, 100, None)
    evidence = taken(Evidence.none(PLAN), PLAN, unpaired(requests=100, errors=2))
    assert decide(PLAN, state, evidence, at(59)) is None
    move = decide(PLAN, state, evidence, at(60))
    assert (move.state.status, move.reason, move.state.percentage(PLAN)) == (Status.COMPLETED, Reason.SOAKED, 100)
    short = replace(PLAN, steps=(10.0, 50.0))
    assert decide(short, alone(short), evidence, at(60)).state.status is Status.COMPLETED, "there is no half of it"


def test_in_the_place_of_the_champion_too_many_errors_take_it_back():
    evidence = taken(Evidence.none(PLAN), PLAN, unpaired(requests=30, errors=12))
    move = decide(PLAN, alone(), evidence, at(1))
    assert (move.state.status, move.reason) == (Status.ROLLED_BACK, Reason.ERROR_BUDGET)
    assert move.state.percentage(PLAN) == 0


def test_in_the_place_of_the_champion_it_can_be_paused_and_goes_on_there():
    paused = rollout.command(PLAN, alone(), "pause", 0).state
    assert paused.percentage(PLAN) == 100
    on = rollout.command(PLAN, paused, "resume", 7)
    assert (on.state.status, on.state.percentage(PLAN), on.state.since_us) == (Status.SOAKING, 100, 7)
    assert "in the champion's place" in on.message
    # One that was paused before it took that place is still paused there.
    waiting = rollout.command(PLAN, State(), "pause", 0).state
    state = alone(before=waiting)
    assert (state.status, state.percentage(PLAN)) == (Status.PAUSED, 100)
    assert State.from_dict(state.to_dict()) == state
    assert not State.from_dict({name: value for name, value in State().to_dict().items() if name != "alone"}).alone


def test_a_pause_opens_nothing_and_forgets_nothing():
    waiting = rollout.command(PLAN, State(), "pause", 0).state
    assert (waiting.status, waiting.percentage(PLAN)) == (Status.PAUSED, 0)
    assert rollout.command(PLAN, waiting, "resume", 0).state.status is Status.PENDING, "it was not loaded yet"
    loaded = rollout.opened(PLAN, waiting, 0).state
    assert (loaded.status, loaded.percentage(PLAN)) == (Status.PAUSED, 0)
    on = rollout.command(PLAN, loaded, "resume", 0)
    assert (on.state.percentage(PLAN), on.state.overruled) == (10, ()), "nothing was held, and nothing is set aside"
    assert on.message == "goes on; stage 1 of 5: 10 % of the keys"
    careful = replace(PLAN, auto_rollback=False)
    for held in (rollout.no_room(State(), "x").state, rollout.replayed_worse(careful, State(), "x").state):
        paused = rollout.command(PLAN, held, "pause", 0).state
        assert paused.percentage(PLAN) == 0
        assert rollout.command(PLAN, paused, "resume", 0).state == held


def test_counts_of_which_some_were_lost_prove_nothing_until_a_person_says_so():
    state, evidence = begun()
    lost = news(requests=300, errors=14, champion=900, champion_errors=1, drawn={0.1: (300, 900)})
    evidence = taken(evidence, PLAN, lost)
    assert evidence.guards["errors"].value > 200
    move = decide(PLAN, state, evidence, at(1))
    assert (move.state.held, move.state.asks) == (Reason.SAMPLE_RATIO_MISMATCH, True)
    on = rollout.command(PLAN, move.state, "resume", US).state
    assert decide(PLAN, on, evidence, at(2)).reason is Reason.WORSE
    # What breaks the budget has nobody that it can be compared with.
    dead = taken(evidence, PLAN, news(requests=40, errors=40))
    assert decide(PLAN, state, dead, at(1)).state.status is Status.ROLLED_BACK


def test_a_shadow_cannot_be_promoted():
    plan = plan_of("shadow")
    with pytest.raises(InvalidTransition, match="a shadow serves nobody"):
        rollout.command(plan, rollout.opened(plan, State(), 0).state, "promote", 0)


def test_commands_that_change_nothing_are_refused():
    state, _ = begun()
    for what in ("resume", "dance"):
        with pytest.raises((InvalidTransition, UserMistake)):
            rollout.command(PLAN, state, what, 0)
    with pytest.raises(InvalidTransition, match="paused already"):
        rollout.command(PLAN, replace(state, status=Status.PAUSED), "pause", 0)
    for what in COMMANDS:
        with pytest.raises(InvalidTransition, match="rolled_back already"):
            rollout.command(PLAN, replace(state, status=Status.ROLLED_BACK), what, 0)


class Rollout(RuleBasedStateMachine):
    """Anything may happen to a rollout, in any order."""

    @initialize(
        strategy=st.sampled_from(STRATEGIES),
        auto=st.booleans(),
        guard=st.sampled_from(["eprocess", "threshold"]),
        hold_back=st.sampled_from([0.0, 2.0]),
        fits=st.booleans(),
    )
    def begin(self, strategy, auto, guard, hold_back, fits):
        asked = {"auto_rollback": auto, "guard": guard, "hold_back_percentage": hold_back}
        self.plan = plan_of(strategy, {**asked, "monitor_duration_seconds": 60, "min_requests": 10})
        self.state, self.evidence, self.now = State(), Evidence.none(self.plan), 0
        opened = rollout.opened(self.plan, self.state, 0)
        self.move(opened if fits or strategy not in SWAPPING else rollout.swapped(self.plan, self.state, "x", 0))

    def move(self, move):
        if move is None:
            return
        assert not self.state.status.over, "an ended rollout changes no more"
        before = self.state
        self.state = move.state
        assert "\n" not in move.message
        assert State.from_dict(self.state.to_dict()) == self.state
        if move.state.stage > before.stage:
            assert move.state.alone or move.state.stage == before.stage + 1, "no stage is left out"
            assert move.state.alone or self.evidence.of_stage >= self.plan.min_requests
            self.evidence = self.evidence.next_stage()
        grows = self.state.percentage(self.plan) > before.percentage(self.plan)
        assert not grows or move.reason in ("opened", "swapped", "stage_passed", "soaked", "by_hand", "replay_worse")

    @rule(mine=st.integers(0, 40), bad=st.integers(0, 40), theirs=st.integers(0, 40), worse=st.integers(0, 40))
    def outcomes(self, mine, bad, theirs, worse):
        share = 0.5 if self.plan.shadow else self.state.percentage(self.plan) / 100
        bad, worse = min(bad, mine), min(worse, theirs)
        told = news(requests=mine, errors=bad, champion=theirs, champion_errors=worse, share=share)
        if not 0 < share < 1:
            told = replace(told, failures=NOTHING)
        self.evidence = taken(self.evidence, self.plan, told)
        assert Evidence.from_dict(self.evidence.to_dict()) == self.evidence
        self.look()

    @rule(seconds=st.integers(0, 120))
    def time(self, seconds):
        self.now += seconds
        self.look()

    def look(self):
        move = decide(self.plan, self.state, self.evidence, at(self.now))
        assert move == decide(self.plan, self.state, self.evidence, at(self.now)), "the same again"
        for _ in range(8):
            if move is None:
                return
            self.move(move)
            move = decide(self.plan, self.state, self.evidence, at(self.now))
        pytest.fail("it goes round in a circle")

    @rule(what=st.sampled_from(COMMANDS))
    def person(self, what):
        try:
            move = rollout.command(self.plan, self.state, what, self.now * US)
        except InvalidTransition:
            return
        self.move(move)

    @precondition(lambda self: not self.state.status.over)
    @rule()
    def breaks(self):
        self.move(rollout.failed_hard(self.state, "it does not load"))
        assert self.state.status is Status.ROLLED_BACK

    @invariant()
    def a_proven_failure_serves_nobody(self):
        if not hasattr(self, "state") or self.plan.guard == "threshold" or not self.plan.auto_rollback:
            return
        proven = any(wealth.value >= 1 / self.plan.alpha_of(name) for name, wealth in self.evidence.guards.items())
        by_hand = self.state.status in (Status.COMPLETED, Status.ABORTED)
        assert not proven or by_hand or self.state.percentage(self.plan) == 0

    @invariant()
    def it_is_held_for_a_reason(self):
        if hasattr(self, "state"):
            assert (self.state.held is not None) >= (self.state.status is Status.HELD)
            assert self.state.held is None or self.state.status in (Status.HELD, Status.PAUSED)
            assert 0 <= self.state.percentage(self.plan) <= 100


Rollout.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestRollout = Rollout.TestCase


def test_wealth_of_a_rollout_begins_at_one():
    evidence = Evidence.none(PLAN)
    assert all(isinstance(wealth, Wealth) and wealth.value == pytest.approx(1) for wealth in evidence.guards.values())
