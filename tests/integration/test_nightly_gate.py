"""A nightly training asks of each version what `[gate]` says, as a training job does."""

from pathlib import Path

import pytest

from nightly_fleet import CURVED, PLANE, agent, make_fleet, told, train, write_agents, write_config
from overnight.app.collecting import collect
from overnight.app.project import Project
from overnight.app.training import stats
from overnight.base.errors import ConfigError, InvalidTransition


def ask(folder, more, **changes):
    write_config(folder, {"first": agent(**changes)}, more=f"[gate]\n{more}")


def night(folder, used):
    write_agents(folder, used)
    result = train(folder)
    return result["agents"]["first"], result


def report_of(result):
    return " ".join(Path(result["report"]).read_text().split())


def test_a_gain_below_the_one_that_is_asked_for_does_not_serve_and_is_no_decline(tmp_path):
    folder = make_fleet(tmp_path / "fleet", PLANE)
    ask(folder, 'form = "minimum_gain"\nminimum_gain = 0.9')
    first, _ = night(folder, PLANE)
    assert (first["decision"], first["compared_with"]) == ("ACCEPT", "baseline"), "the first one must only be better"
    better, result = night(folder, CURVED)
    assert (better["decision"], better["serving"]) == ("REJECT", "v1.0.0")
    assert better["reason"].startswith("The candidate is not better by 90 % of the champion's figure")
    assert better["improvement"] > 0 and better["interval"][0] > 0
    assert result["system_quality_delta"] == 0 and better["candidate"] < better["champion"] == better["metric"]
    with Project.open(folder) as project:
        assert stats(project)["agents_needing_attention"] == []

    ask(folder, 'form = "minimum_gain"\nminimum_gain = 0.05')
    enough, result = night(folder, CURVED)
    assert (enough["decision"], enough["serving"]) == ("ACCEPT", "v1.0.2")
    assert enough["improvement"] == better["improvement"] == pytest.approx(result["system_quality_delta"])
    assert "The candidate is better by 5 % of the champion's figure" in report_of(result)


def test_a_version_may_be_a_margin_worse_than_the_best_one_so_far_and_never_more(tmp_path):
    folder = make_fleet(tmp_path / "fleet", CURVED)
    night(folder, CURVED)
    ask(folder, 'form = "non_inferiority"\nmargin = 0.15')
    looser, result = night(folder, PLANE)
    assert (looser["decision"], looser["serving"], looser["compared_with"]) == ("ACCEPT", "v1.0.1", "champion")
    assert looser["improvement"] < 0 and "at most 0.15 worse than the best version so far" in report_of(result)

    # No worse than the champion; but a margin a night would add up.
    ask(folder, 'form = "non_inferiority"\nmargin = 0.05')
    same, result = night(folder, PLANE)
    assert (same["decision"], same["serving"], same["compared_with"]) == ("REJECT", "v1.0.1", "best")
    assert "v1.0.2 against the best version so far: The candidate is not at most 0.05 worse" in report_of(result)
    assert "the best version's 0.163" in report_of(result)
    assert same["metric"] == same["champion"] == same["candidate"] > same["best"], "the figure is the champion's"

    ask(folder, 'form = "non_inferiority"\nmargin = 0.15')
    again, _ = night(folder, PLANE)
    assert (again["decision"], again["serving"], again["compared_with"]) == ("ACCEPT", "v1.0.3", "best")
    with Project.open(folder) as project, pytest.raises(InvalidTransition, match=r"v1\.0\.0 stays: it is the best so"):
        collect(project, "first", "v1.0.0")
    write_config(folder, {"first": agent()})
    with Project.open(folder) as project:
        assert [one.number for one in collect(project, "first", "v1.0.0").versions] == ["v1.0.0"]


def test_where_the_best_version_is_gone_the_next_one_must_be_better_than_the_champion(tmp_path):
    folder = make_fleet(tmp_path / "fleet", CURVED)
    night(folder, CURVED)
    ask(folder, 'form = "non_inferiority"\nmargin = 0.15', **{"class": "agents:Child", "after": []})
    write_agents(folder, PLANE, MORE)
    assert train(folder)["agents"]["first"]["serving"] == "v1.1.0"
    write_agents(folder, PLANE, f"{MORE}\ndel Plain\n")
    same = train(folder)
    line = same["agents"]["first"]
    assert (line["decision"], line["compared_with"], line["serving"]) == ("REJECT", "champion", "v1.1.0")
    assert "score the same on every item" in line["reason"]
    assert "not compared with the best version so far: best version so far v1.0.0 can no longer be" in report_of(same)


MORE = """
class Child(Plain):
    used = USED
"""


@pytest.mark.parametrize(
    ("gate", "changes", "says"),
    [
        ('form = "non_inferiority"', {}, r"^gate\.margin: missing; it says how much worse"),
        (
            'looks = "any_time"',
            {"metric": "absolute_error"},
            r"^gate\.looks = any_time: absolute_error is an error without bounds, and nothing holds for it at any time "
            r"\(agents\.first\.metric = 'absolute_error'\)$",
        ),
        ('looks = "any_time"', {"metric": "spearman"}, r"^gate\.looks = any_time: spearman is no mean over items"),
        (
            'form = "non_inferiority"\nmargin = 1',
            {"metric": "accuracy"},
            r"^gate\.margin must be less than the range of the scores, 0 to 1, got 1(\.0)?: any version would do",
        ),
    ],
)
def test_what_an_agent_can_never_answer_is_refused_before_any_run(tmp_path, gate, changes, says):
    folder = make_fleet(tmp_path / "fleet")
    ask(folder, gate, **changes)
    with pytest.raises(ConfigError, match=says):
        Project.open(folder)
    assert told(folder) == []


def test_what_turns_out_not_to_be_answered_says_so_and_does_not_serve(tmp_path):
    folder = make_fleet(tmp_path / "fleet", PLANE)
    night(folder, PLANE)
    ask(folder, 'looks = "any_time"')
    better, result = night(folder, CURVED)
    assert (better["status"], better["decision"], better["serving"]) == ("trained", None, "v1.0.0")
    assert better["reason"].startswith("not compared with the champion: looks = any_time needs scores of 0 and 1")
    assert better["improvement"] is None and better["metric"] == better["champion"]
    assert "not compared with the champion: looks = any_time" in report_of(result)
