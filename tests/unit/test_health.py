"""Health is what was measured last; an agent needs attention only after a failure or a proven decline."""

import pytest

from overnight.reports.health import health, lines
from overnight.reports.history import BAND, LOOK_BACK, fleet_qualities, trend
from overnight.reports.nightly import weighted_mean


def line(quality=2.0, interval=(1.0, 3.0), **changes):
    known = {"status": "trained", "quality": quality, "interval": list(interval), "metric": 0.8, "decision": "ACCEPT"}
    return {**known, "metric_name": "mean absolute error", "reason": "because", **changes}


def result(run=1, **agents):
    about = {"run": run, "status": "success", "timestamp": f"2026-10-{run:02d}", "next_scheduled": None}
    overall = weighted_mean([(agent.get("quality"), 1.0) for agent in agents.values()])
    return {**about, "system_quality_delta": 5.0, "overall_quality": overall, "agents": agents}


def attention(agent):
    found = health(["critic"], {}, [result(critic=agent)])["agents_needing_attention"]
    return [entry["reason"] for entry in found]


def test_before_the_first_night_nothing_is_measured():
    empty = health(["critic"], {}, [])
    keys = ("version", "quality", "quality_target", "metric", "metric_name", "decision", "status", "measured_at")
    nothing = dict.fromkeys(keys)
    assert empty == {
        "overall_quality": None,
        "trend": None,
        "improvement_percent": None,
        "agents_online": [],
        "agents": {"critic": nothing},
        "agents_serving": 0,
        "agents_needing_attention": [],
        "last_training": None,
        "next_training": None,
        "estimated_video_quality": None,
    }


def test_health_is_that_of_the_last_night():
    seen = health(
        ["critic", "new"],
        {"critic": "v1.0.0"},
        [result(1, critic=line(2.0)), result(2, critic=line(3.0), gone=line(9.0))],
    )
    assert (seen["overall_quality"], seen["trend"], seen["improvement_percent"]) == (3.0, "UP", 5.0)
    assert seen["agents"]["critic"] == {
        "version": "v1.0.0",
        "quality": 3.0,
        "quality_target": None,
        "status": "trained",
        "metric": 0.8,
        "metric_name": "mean absolute error",
        "decision": "ACCEPT",
        "measured_at": "2026-10-02",
    }
    assert seen["agents"]["new"]["quality"] is None and "gone" not in seen["agents"]
    assert (seen["agents_serving"], seen["last_training"]["run"]) == (1, 2)


def test_a_night_without_a_measurement_leaves_the_last_quality_and_counts_for_no_trend():
    nights = [result(1, critic=line(2.0)), result(2, critic={"status": "failed", "error": "no", "run": None})]
    seen = health(["critic"], {}, nights)
    assert (seen["overall_quality"], seen["trend"]) == (2.0, None)
    assert fleet_qualities(nights) == [2.0]
    assert fleet_qualities([result(a=line(None), b=line(4.0), c=line(0.0))]) == [2.0]


def test_a_training_of_one_agent_says_nothing_of_the_others():
    nights = [result(1, a=line(1.0), b=line(3.0)), result(2, b=line(3.0))]
    seen = health(["a", "b"], {}, nights)
    assert (seen["overall_quality"], seen["trend"]) == (2.0, "STABLE")
    assert [(one["quality"], one["measured_at"]) for one in seen["agents"].values()] == [
        (1.0, "2026-10-01"),
        (3.0, "2026-10-02"),
    ]
    assert lines(seen)[-2:] == [
        "  a  no version serves quality 1.00/10, mean absolute error 0.800 (measured 2026-10-01 UTC)",
        "  b  no version serves quality 3.00/10, mean absolute error 0.800",
    ]


def test_one_that_failed_keeps_the_figures_of_before_and_needs_attention():
    nights = [result(1, a=line(1.0)), result(2, a={"status": "failed", "error": "no", "run": None})]
    seen = health(["a"], {}, nights)
    assert (seen["agents"]["a"]["quality"], seen["agents"]["a"]["status"]) == (1.0, "failed")
    assert [one["reason"] for one in seen["agents_needing_attention"]] == ["no"]
    assert health(["a"], {}, [nights[1], result(3, b=line(2.0))])["agents_needing_attention"], "and until it is trained"


def test_the_trend_compares_the_same_agents_and_weighs_them():
    nights = [result(1, a=line(1.0, weight=3.0), b=line(3.0)), result(2, a=line(2.0, weight=3.0), late=line(9.0))]
    assert fleet_qualities(nights) == [1.5, 2.25]
    many = [result(1, a=line(5.0)), *[result(1, a=line(1.0))] * LOOK_BACK]
    assert fleet_qualities(many) == [1.0] * LOOK_BACK


@pytest.mark.parametrize(
    ("qualities", "says"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 1.0], "STABLE"),
        ([2.0, 2.0 * (1 + 0.9 * BAND)], "STABLE"),
        ([2.0, 2.0 * (1 + 1.1 * BAND)], "UP"),
        ([2.0, 2.0 * (1 - 1.1 * BAND)], "DOWN"),
        ([0.0, 0.0], "STABLE"),
        ([0.0, 0.001], "UP"),
        ([1.0, 9.0, 1.0], "STABLE"),
        ([9.0, *[1.0] * (LOOK_BACK - 1)], "DOWN"),
    ],
)
def test_the_trend_goes_from_the_first_to_the_last_of_the_newest_nights(qualities, says):
    assert trend(qualities) == says


def test_an_agent_that_failed_needs_attention_with_its_reason():
    assert attention({"status": "failed", "error": "KeyError: 'x'", "run": 1}) == ["KeyError: 'x'"]


def test_a_proven_decline_needs_attention():
    assert attention(line(interval=(-3.0, -0.1))) == ["proven decline of the last training: because"]


@pytest.mark.parametrize("interval", [(-3.0, 0.0), (-3.0, 0.1), (1.0, 2.0), (None, None), ()])
def test_what_is_not_proven_is_no_reason_for_attention(interval):
    assert attention(line(interval=interval, decision="REJECT")) == []


def test_what_is_printed_says_what_was_measured_and_what_was_not():
    found = health(
        ["critic", "new"],
        {"critic": "v1.0.0"},
        [result(1, critic=line(2.0)), result(2, critic=line(3.0, interval=(-3.0, -1.0)))],
        online=["critic"],
        next_training="2026-10-03 03:00",
    )
    assert lines(found) == [
        "Overall Quality:          3.00/10",
        "Trend:                    UP",
        "Improvement:              +5.00 %",
        "Agents Online:            1 of 2",
        "Agents Needing Attention: 1",
        "  critic: proven decline of the last training: because",
        "Next Training:            2026-10-03 03:00",
        "Last Training:            2026-10-02 UTC, run 2: success",
        "  critic  v1.0.0   quality 3.00/10, mean absolute error 0.800",
        "  new     no version serves not measured",
    ]


def test_without_a_training_nothing_is_printed_as_measured():
    said = lines(health([], {}, []))
    assert said[0] == "Overall Quality:          not measured"
    assert said[4] == "Agents Needing Attention: not measured"
    assert said[-2:] == [
        "Next Training:            not scheduled",
        "Last Training:            none yet; `overnight train` starts one",
    ]
