"""What may be asked of a rollout."""

import pytest

from overnight.base.errors import UserMistake
from overnight.registry.plans import STRATEGIES, Plan, plan_of


def test_a_gradual_rollout_is_what_the_defaults_say():
    plan = plan_of("gradual_rollout")
    assert plan.steps == (10, 25, 50, 75, 100)
    assert [plan.percentage(stage) for stage in range(5)] == [10, 25, 50, 75, 98]
    assert (plan.dwell_s, plan.min_requests, plan.allowed, plan.auto_rollback) == (300, 100, 0.05, True)
    assert sum(plan.alpha_of(name) for name in ("errors", "timeouts", "slow", "invalid")) == pytest.approx(0.01)
    assert plan.alpha_of("errors") == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("strategy", "config", "steps", "last"),
    [
        ("gradual_rollout", {"initial_percentage": 30}, (30, 50, 75, 100), 98),
        ("gradual_rollout", {"rollout_steps": [1, 100], "hold_back_percentage": 0}, (1, 100), 100),
        ("gradual_rollout", {"rollout_steps": [1, 20]}, (1, 20), 20),
        ("canary", {}, (10, 100), 98),
        ("canary", {"initial_percentage": 5}, (5, 100), 98),
        ("blue_green", {}, (100,), 98),
        ("immediate", {}, (100,), 100),
        ("ab_test", {}, (50,), 50),
        ("ab_test", {"initial_percentage": 20}, (20,), 20),
        ("shadow", {}, (0,), 0),
    ],
)
def test_each_strategy_has_its_steps(strategy, config, steps, last):
    plan = plan_of(strategy, config)
    assert (plan.steps, plan.percentage(len(steps) - 1)) == (steps, last)
    assert Plan.from_dict(plan.to_dict()) == plan


def test_all_that_is_asked_for_is_in_the_plan():
    config = {
        "initial_percentage": 5,
        "rollout_steps": [20, 60],
        "rollback_on_error_rate": 0.1,
        "auto_rollback": False,
        "monitor_duration_seconds": 30,
        "min_requests": 7,
        "hold_back_percentage": 3,
        "guard": "threshold",
        "alpha": 0.02,
        "latency_objective_ms": 250,
        "replay": False,
        "confidence": 0.9,
    }
    assert plan_of("gradual_rollout", config) == Plan(
        strategy="gradual_rollout",
        steps=(20, 60),
        dwell_s=30,
        min_requests=7,
        allowed=0.1,
        auto_rollback=False,
        hold_back=3,
        guard="threshold",
        alpha=0.02,
        slow_ms=250,
        replay=False,
        confidence=0.9,
    )
    at_once = plan_of("immediate", {"monitor_duration_seconds": 30, "min_requests": 7})
    assert (at_once.dwell_s, at_once.min_requests) == (0, 0), "nothing is waited for"


def test_what_lies_at_the_edge_of_a_range_is_taken_where_it_can_be():
    assert plan_of("gradual_rollout", {"initial_percentage": 25}).steps == (25, 50, 75, 100)
    assert plan_of("ab_test", {"initial_percentage": 100}).steps == (100,)
    assert plan_of("gradual_rollout", {"rollout_steps": list(range(1, 21))}).steps[-1] == 20
    assert plan_of("gradual_rollout", {"rollout_steps": [89, 100], "hold_back_percentage": 10}).percentage(1) == 90


def test_an_ab_test_has_a_number_of_its_own():
    assert plan_of("ab_test", ab_min_requests=7).min_requests == 7
    assert plan_of("ab_test", {"min_requests": 9}, ab_min_requests=7).min_requests == 9
    assert [plan_of(strategy).replay for strategy in STRATEGIES] == [one != "immediate" for one in STRATEGIES]


@pytest.mark.parametrize(
    ("strategy", "config", "words"),
    [
        ("sudden", {}, "strategy: 'sudden' is not one of immediate"),
        ("canary", {"steps": [1]}, "config.steps: there is no such setting"),
        ("gradual_rollout", {"rollout_steps": [10, 10]}, "10 does not rise above 10"),
        ("gradual_rollout", {"rollout_steps": [50, 10]}, "10 does not rise above 50"),
        ("gradual_rollout", {"rollout_steps": []}, "give 1 to 20 percentages"),
        ("gradual_rollout", {"rollout_steps": list(range(1, 22))}, "give 1 to 20 percentages"),
        ("gradual_rollout", {"rollout_steps": [97, 100], "hold_back_percentage": 50}, "does not rise above 97"),
        ("gradual_rollout", {"rollout_steps": [0, 100]}, "0 is not a percentage above 0"),
        ("gradual_rollout", {"rollout_steps": [10, 101]}, "101 is not a percentage"),
        ("gradual_rollout", {"rollout_steps": ["ten"]}, "'ten' is not a percentage"),
        ("gradual_rollout", {"rollout_steps": 10}, "not a list"),
        ("canary", {"initial_percentage": 0}, "above 0 and up to 100"),
        ("canary", {"initial_percentage": 101}, "above 0 and up to 100"),
        ("canary", {"rollback_on_error_rate": 1.5}, "config.rollback_on_error_rate: 1.5"),
        ("canary", {"rollback_on_error_rate": float("nan")}, "config.rollback_on_error_rate: nan"),
        ("canary", {"auto_rollback": "yes"}, "neither true nor false"),
        ("canary", {"monitor_duration_seconds": -1}, "config.monitor_duration_seconds"),
        ("canary", {"min_requests": 1.5}, "not a whole number"),
        ("canary", {"min_requests": True}, "config.min_requests: True"),
        ("canary", {"guard": "luck"}, "config.guard: 'luck' is not one of eprocess, threshold"),
        ("canary", {"alpha": 0}, "config.alpha: 0"),
        ("canary", {"without_room": "hope"}, "config.without_room: 'hope' is not one of replay, swap"),
        ("ab_test", {"without_room": "swap"}, "swap goes with gradual_rollout, canary, blue_green; ab_test is none"),
        ("canary", {"alpha": 0.5}, "config.alpha: 0.5 is not a number above 0"),
        ("canary", {"hold_back_percentage": 51}, "config.hold_back_percentage: 51 is not a number from 0 and up to 50"),
        ("canary", {"replay": "no"}, "config.replay: 'no' is neither true nor false"),
        (
            "gradual_rollout",
            {"rollout_steps": [90, 100], "hold_back_percentage": 10},
            "config.hold_back_percentage: with 10 the last step would be 90 %, which does not rise above 90",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(strategy, config, words):
    with pytest.raises(UserMistake) as caught:
        plan_of(strategy, config)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
