"""`overnight train` and `overnight stats` as a person uses them: twice, killed, interrupted, with nothing to train."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from nightly_fleet import CURVED, agent, make_fleet, timeless, told, write_agents

LIMIT_S = 60
PAUSE = threading.Event()


def command(folder, *words):
    return [sys.executable, "-m", "overnight", "--project", str(folder), *words]


def overnight(folder, *words):
    return subprocess.run(
        command(folder, *words), cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def begun(folder, *words):
    """Start the command and return it when the first training has begun."""
    child = subprocess.Popen(
        command(folder, *words), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(LIMIT_S * 20):
        if told(folder):
            return child
        assert child.poll() is None, child.communicate()
        PAUSE.wait(0.05)
    child.kill()
    raise AssertionError("no training has begun")


@pytest.fixture
def fleet(tmp_path):
    return make_fleet(tmp_path / "fleet", first=agent(), second=agent("Child", after=["first"]))


def test_two_nights_show_reports_and_stats_that_agree(fleet):
    first = overnight(fleet, "train")
    assert first.returncode == 0, first.stderr
    assert "ACCEPT" in first.stdout and "v1.0.0 against the baseline" in first.stdout
    assert max(map(len, first.stdout.splitlines()[:-1])) <= 78
    write_agents(fleet, CURVED)
    second = overnight(fleet, "train", "--json")
    result = json.loads(second.stdout)
    assert result["agents"]["first"]["compared_with"] == "champion"
    assert list(result["phases"]) == [
        "harvesting",
        "validation",
        "training",
        "production",
        "monitoring",
        "cleanup",
    ]
    assert result["phases"]["production"]["status"] == "skipped"
    stats = json.loads(overnight(fleet, "stats", "--json").stdout)
    assert stats["agents"]["first"]["quality"] == result["agents"]["first"]["quality"]
    assert stats["trend"] == "UP"
    shown = overnight(fleet, "stats").stdout
    lines = [line.partition(":")[0] for line in shown.splitlines()[:6]]
    assert lines == [
        "Overall Quality",
        "Trend",
        "Improvement",
        "Agents Online",
        "Agents Needing Attention",
        "Next Training",
    ]
    assert f"Overall Quality:          {stats['overall_quality']:.2f}/10" in shown
    assert "Agents Online:            2 of 2" in shown and stats["agents_online"] == ["first", "second"]


def test_killed_in_the_middle_the_same_command_ends_like_an_unkilled_one(fleet, tmp_path):
    undisturbed = make_fleet(tmp_path / "other", first=agent(), second=agent("Child", after=["first"]))
    expected = json.loads(overnight(undisturbed, "train", "--json").stdout)
    (fleet / "slow").write_text("1.5")
    child = begun(fleet, "train")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (fleet / "slow").unlink()
    again = overnight(fleet, "train", "--json")
    assert again.returncode == 0, again.stderr
    assert "going on with training run 1" in again.stderr
    assert timeless(json.loads(again.stdout)) == timeless(expected)
    assert told(fleet).count("end Plain") == told(fleet).count("end Child") == 1


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(fleet):
    (fleet / "slow").write_text("30")
    child = begun(fleet, "train")
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=LIMIT_S)
    assert child.returncode == 130
    assert "interrupted; `overnight train` goes on with run 1" in said
    (fleet / "slow").unlink()
    assert overnight(fleet, "train").returncode == 0
    assert told(fleet).count("end Plain") == 1


def test_a_project_without_agents_is_told_how_to_get_some(tmp_path):
    (tmp_path / "overnight.toml").write_text('[project]\nname = "bare"\n')
    done = overnight(tmp_path, "train")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("overnight: there are no agents to train")
    assert "none yet" in overnight(tmp_path, "stats").stdout


def test_a_night_in_which_nothing_was_trained_is_a_failure(tmp_path):
    fleet = make_fleet(tmp_path / "fleet", first=agent("Raising"))
    done = overnight(fleet, "train")
    assert done.returncode == 1
    assert "no such key" in done.stdout
    assert "1\n  first: " in overnight(fleet, "stats").stdout
    assert (fleet / ".overnight" / "holistic_training_result.json").exists()


def test_the_report_of_a_day_is_shown_again_and_a_wrong_day_is_one_line(fleet):
    assert "there is no report; `overnight train` writes one" in overnight(fleet, "report").stderr
    trained = overnight(fleet, "train")
    shown = overnight(fleet, "report")
    assert shown.returncode == 0 and shown.stdout.strip() in trained.stdout
    day = trained.stdout.strip()[-len("2026-11-26.txt") : -len(".txt")]
    assert overnight(fleet, "report", day).stdout == shown.stdout
    for wrong, says in (("1999-01-01", f"there is no report of 1999-01-01; there are {day}"), ("soon", "is not a day")):
        refused = overnight(fleet, "report", wrong)
        assert refused.returncode == 2 and says in refused.stderr and refused.stderr.count("\n") == 1


def test_open_shows_the_page_in_the_browser_or_says_where_it_is(fleet, tmp_path):
    overnight(fleet, "train")
    (tmp_path / "browser").write_text('#!/bin/sh\necho "$1" > "$(dirname "$0")/opened"\n')
    (tmp_path / "browser").chmod(0o755)
    environment = {**os.environ, "BROWSER": str(tmp_path / "browser")}
    child = subprocess.run(
        command(fleet, "report", "--open"), env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout == ""
    [page] = (fleet / ".overnight" / "logs").glob("daily_report_*.html")
    assert (tmp_path / "opened").read_text().strip() == page.as_uri()
    nowhere = {**environment, "BROWSER": str(tmp_path / "missing"), "PATH": "/nowhere"}
    child = subprocess.run(
        command(fleet, "report", "--open"), env=nowhere, capture_output=True, text=True, timeout=60, check=True
    )
    assert child.stdout.strip() == page.as_uri()


def test_one_agent_is_trained_and_each_change_is_a_line_where_that_is_wished(fleet):
    done = overnight(fleet, "train", "--agent", "first", "--verbose", "--json")
    assert list(json.loads(done.stdout)["agents"]) == ["first"]
    assert "of train:first is in progress" in done.stderr
    wrong = overnight(fleet, "train", "--agent", "frist")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1) and "did you mean first" in wrong.stderr


def test_a_training_of_one_agent_leaves_the_report_of_the_day_as_it_is(fleet):
    overnight(fleet, "train")
    before = overnight(fleet, "report").stdout
    told = overnight(fleet, "train", "--agent", "first").stdout
    assert "agents_report_" in told and "of all 2 agents" in told
    assert overnight(fleet, "report").stdout == before


def test_force_asks_the_sources_anew(fleet):
    overnight(fleet, "train")
    (fleet / "numbers.db").unlink()
    assert overnight(fleet, "train").returncode == 0
    forced = overnight(fleet, "train", "--force")
    assert forced.returncode == 1 and "no source gave anything" in forced.stdout
