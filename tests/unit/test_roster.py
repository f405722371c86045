"""A fleet that cannot work is refused in one line; one that can is trained in the order of its needs."""

import pytest

from overnight.base.errors import ConfigError
from overnight.base.fleet_settings import AgentSettings
from overnight.fleet.roster import check, check_gate, check_order, descendants, enabled, learners, levels
from overnight.proof.forms import GateSpec, Looks


def agent(**changes):
    return AgentSettings(**{"class_": "a:B", "data": "films", "target": "rating", **changes})


def nothing(category, target):
    return ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"class_": None}, 'agents.a.class: missing; name "module:Class", or the `key` of a service'),
        ({"data": None}, "agents.a.data: missing; name the category whose records it learns from"),
        ({"data": "flims"}, "agents.a.data: there is no category 'flims'; did you mean films?"),
        ({"target": "rating", "inputs": ("year", "rating")}, "agents.a.inputs: 'rating' is the target"),
        ({"scale": (1.0, 1.0)}, "agents.a.scale: [1.0, 1.0] must be the lowest and the highest value of the target"),
        ({"metric": "f1"}, "agents.a.metric: 'f1' is not a metric"),
        ({"after": ("b",)}, "agents.a.after: there is no agent 'b' (agents: a)"),
        ({"after": ("a",)}, "agents: after goes round in a circle: a -> a"),
    ],
)
def test_a_wrong_agent_is_one_line(changes, says):
    with pytest.raises(ConfigError) as refused:
        check({"a": agent(**changes)}, ["films"], nothing)
    assert str(refused.value).startswith(says) and "\n" not in str(refused.value)


def test_no_input_may_be_part_of_the_targets_formula():
    def computed_from(category, target):
        return {"views", "likes"} if (category, target) == ("films", "quality_score") else ()

    wrong = agent(target="quality_score", inputs=("title", "likes"))
    with pytest.raises(ConfigError, match="'likes' may not be learnt from: 'quality_score' is computed from it"):
        check({"a": wrong}, ["films"], computed_from)
    check({"a": agent(target="quality_score", inputs=("title",))}, ["films"], computed_from)


def test_services_objects_and_trainings_need_less():
    check({"a": AgentSettings(key="KEY")}, [], nothing)
    check({"a": agent(class_=None)}, ["films"], nothing, ["a"])
    check({"a": agent(data="trainings")}, [], nothing)
    with pytest.raises(ConfigError, match="the project has no categories yet"):
        check({"a": agent()}, [], nothing)
    assert list(learners({"a": AgentSettings(key="KEY"), "b": agent()})) == ["b"]


def test_disabled_agents_are_out_and_nobody_waits_for_them():
    agents = {"a": agent(enabled=False), "b": agent(after=("a", "c")), "c": agent()}
    assert enabled(agents) == {"b": agent(after=("c",)), "c": agent()}


def test_levels_and_descendants_follow_after():
    agents = {"d": agent(after=("b", "c")), "c": agent(), "b": agent(after=("a",)), "a": agent()}
    assert levels(agents) == [["a", "c"], ["b"], ["d"]]
    assert descendants(agents, "a") == {"b", "d"} and descendants(agents, "d") == set()


def test_an_order_of_work_names_agents():
    check_order({"trend": agent()}, ["trend"])
    with pytest.raises(ConfigError, match=r"production\.order: there is no agent 'tend'; did you mean trend"):
        check_order({"trend": agent()}, ["tend"])


@pytest.mark.parametrize(
    ("metric", "group", "says"),
    [
        ("spearman", None, "gate.looks = any_time: spearman is no mean over items"),
        ("macro_f1", "film", "gate.looks = any_time: macro_f1 is no mean over items"),
        ("ndcg@10", None, "gate.looks = any_time: ndcg@10 is no mean over items"),
        ("absolute_error", None, "gate.looks = any_time: absolute_error is an error without bounds"),
        ("ndcg@10", "film", None),
        ("accuracy", None, None),
        ("reciprocal_rank", None, None),
        ("score", None, None),
        (None, None, None),
    ],
)
def test_bounds_at_any_time_are_for_metrics_that_can_have_them(metric, group, says):
    agents = {"a": agent(metric=metric, group=group), "s": AgentSettings(key="KEY")}
    check_gate(agents, GateSpec())
    if says is None:
        check_gate(agents, GateSpec(looks=Looks.ANY_TIME))
        return
    with pytest.raises(ConfigError) as refused:
        check_gate(agents, GateSpec(looks=Looks.ANY_TIME))
    assert str(refused.value) == f"{says}, and nothing holds for it at any time (agents.a.metric = {metric!r})"
