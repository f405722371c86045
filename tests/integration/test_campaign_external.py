"""Campaigns whose generator is a program of its own: real programs, followed by their logs, through the flow."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemons import wait_for
from overnight import Project
from overnight.app import campaigns
from overnight.base.errors import ConfigError
from overnight.campaigns.gate import NOT_PLANTED
from overnight.campaigns.making import CAMPAIGN_PID, ORCHESTRATOR_PID
from overnight.campaigns.pidfile import alive, claim, owner_of
from overnight.engine.model import State
from overnight.processes.table import same_process, started_of

WAIT_S = 60
GENERATOR = Path(__file__).parents[1] / "external_generator.py"
PILOT, FULL = 40, 90


@pytest.fixture(autouse=True)
def python_as_it_is(monkeypatch):
    """What a Python generator prints comes at once because Overnight says so, not because this machine does."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


def command(how, *more):
    return [sys.executable, str(GENERATOR), how, "{target}", *more]


def table(pilot="good", full=None, *more, **settings):
    values = {
        "target": FULL, "pilot_size": PILOT, "min_pilot_samples": 30, "workers": 2, "poll_pilot_s": 0.05,
        "poll_full_s": 0.05, "start_s": 30, "stall_s": 30, "pilot_command": command(pilot, *more),
        "full_command": command(full or pilot, *more), **settings,
    }  # fmt: skip
    return "[campaigns.code]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def write(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(f"[engine.retry]\nbase_s = 0.05\n{text}")


@contextmanager
def project_of(folder, text, **overrides):
    write(folder, text)
    with Project.open(folder, overrides=overrides) as project, project.running():
        yield project


def see(project, **wish):
    run_id, _ = campaigns.begin(project, "code", wish)
    run = project.wait(run_id, WAIT_S)
    assert run.state.final, "it goes on and on"
    return campaigns.status(project, "code")


def folder_of(project):
    return project.state_dir / "campaigns" / "code"


def read(project, name):
    return json.loads((folder_of(project) / name).read_text())


def starts(project, target):
    path = project.folder / f"started-{target}"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_campaign_goes_from_its_pilot_to_its_end_by_what_the_log_tells(tmp_path, database_url):
    with project_of(tmp_path / "p", table(), **{"engine.database": database_url}) as project:
        found = see(project)
        assert (found["phase"], found["reason"]) == ("campaign_complete", None)
        assert (found["judged"], found["accepted"], found["skeletons"]) == (FULL, 81, None)
        assert found["followed"]["domains"]["code"]["made"] == FULL
        pilot, full = read(project, "pilot_monitor_status.json"), read(project, "campaign_monitor_status.json")
        assert (pilot["progress"], pilot["total"], pilot["is_complete"]) == (PILOT, PILOT, True)
        assert (pilot["accepted"], pilot["rejected"], len(pilot["quality_scores"])) == (36, 4, PILOT)
        assert pilot["estimated_quality"] == pytest.approx(0.9)
        assert (full["progress"], full["total"], full["is_running"]) == (FULL, FULL, False)
        state = read(project, "orchestrator_state.json")
        assert state["phase"] == "campaign_complete"
        assert (state["pilot_result"]["progress"], state["campaign_result"]["progress"]) == (PILOT, FULL)
        assert not list(folder_of(project).glob("*.pid"))
        printed = (folder_of(project) / "pilot_campaign.log").read_text().splitlines()
        assert printed[-1] == f"[code] {PILOT}/{PILOT}" and len(printed) == 2 * PILOT + 1


def test_no_verdict_of_an_external_pilot_says_that_planted_samples_were_found(tmp_path):
    with project_of(tmp_path / "p", table()) as project:
        verdict = see(project, launch=False)["verdict"]
        assert verdict["decision"] == "APPROVED"
        assert verdict["unchecked"] == [NOT_PLANTED] and NOT_PLANTED in verdict["reason"]
        assert not [one for one in verdict["checks"] if "planted" in one["name"]]
        assert campaigns.status(project, "code")["gate"]["planted"] is False
        assert NOT_PLANTED in read(project, "campaign_validation.json")["reason"]


def test_what_was_seen_to_its_end_is_not_made_once_more(tmp_path):
    with project_of(tmp_path / "p", table()) as project:
        see(project)
        assert see(project)["phase"] == "campaign_complete"
        assert (starts(project, PILOT), starts(project, FULL)) == (1, 1)
        see(project, settings={"target": FULL + 10})
        assert (starts(project, PILOT), starts(project, FULL + 10)) == (1, 1)


def test_a_pilot_that_is_rejected_by_its_quality_is_made_anew_the_next_time_unless_it_is_judged_alone(tmp_path):
    with project_of(tmp_path / "p", table("bad")) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert found["reason"].startswith("quality 0.500 (95 % interval 0.500 to 0.500): it is not at least 0.75")
        lower = see(project, launch=False, judge=True, settings={"quality_threshold": 0.4})
        assert lower["phase"] == "validation_complete" and starts(project, PILOT) == 1
        assert see(project, launch=False, judge=True)["phase"] == "validation_failed" and starts(project, PILOT) == 1
        (project.folder / f"made-code-{PILOT}").unlink()
        assert see(project)["phase"] == "validation_failed" and starts(project, PILOT) == 2
        assert len(read(project, "pilot_monitor_status.json")["quality_scores"]) == PILOT
        assert starts(project, FULL) == 0


def test_a_sample_without_a_quality_leaves_the_pilot_unmeasured(tmp_path):
    with project_of(tmp_path / "p", table("unmeasured")) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert found["reason"].startswith(f"quality is unmeasured in 1 of {PILOT} samples")


@pytest.mark.parametrize(
    ("how", "settings", "why", "last"),
    [
        ("fails", {}, "the generator exited with code 1, at 5 of 40 (code 5 of 40)", "OSError: no room is left"),
        ("stalls", {"stall_s": 0.3}, "the generator stalled: no further sample in", "[code] 5/40"),
        ("chatters", {"stall_s": 0.5}, "the generator loops: no further sample in", "trying again"),
        ("first domain", {}, "the generator exited with code 0 before it was done, at 8 of 40", "[python] 8/8"),
    ],
)
def test_a_generator_that_does_not_get_to_its_end_ends_the_phase_with_the_reason_and_its_last_lines(
    tmp_path, how, settings, why, last
):
    with project_of(tmp_path / "p", table(how, **settings)) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert found["reason"].startswith(why)
        assert "; its last lines: " in found["reason"] and found["reason"].endswith(last)
        assert found["verdict"]["decision"] == "REJECTED"
        assert read(project, "pilot_monitor_status.json")["is_complete"] is False
        assert starts(project, FULL) == 0 and not list(folder_of(project).glob("*.pid"))


def test_a_whole_campaign_that_fails_says_so_too(tmp_path):
    with project_of(tmp_path / "p", table("good", "fails")) as project:
        found = see(project)
        assert found["phase"] == "launch_failed"
        assert found["reason"].startswith(f"the generator exited with code 1, at 5 of {FULL}")
        assert found["reason"].endswith("OSError: no room is left")


def test_a_program_that_is_not_there_ends_the_phase(tmp_path):
    text = table(pilot_command=["no-such-generator"])
    with project_of(tmp_path / "p", text) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert "could not be started" in found["reason"] and "'no-such-generator'" in found["reason"]


def test_all_domains_have_to_be_done(tmp_path):
    with project_of(tmp_path / "p", table("domains")) as project:
        found = see(project)
        assert found["phase"] == "campaign_complete"
        assert {name: one["made"] for name, one in found["followed"]["domains"].items()} == dict.fromkeys(
            ("python", "sql", "regex", "text", "math"), FULL // 5
        )


@pytest.mark.parametrize(
    ("how", "file"), [("waits", CAMPAIGN_PID), ("graceful", CAMPAIGN_PID), ("waits", ORCHESTRATOR_PID)]
)
def test_sigterm_to_either_process_stops_the_campaign_and_leaves_nothing_running(tmp_path, how, file):
    with project_of(tmp_path / "p", table(how)) as project:
        run_id, _ = campaigns.begin(project, "code", {})
        wait_for(lambda: (campaigns.status(project, "code")["followed"] or {}).get("made") == 5)
        owners = [owner_of(folder_of(project) / name) for name in (CAMPAIGN_PID, ORCHESTRATOR_PID)]
        assert owners[0].pid != owners[1].pid and os.getpid() not in {one.pid for one in owners}
        os.kill(owner_of(folder_of(project) / file).pid, signal.SIGTERM)
        assert project.wait(run_id, WAIT_S).state is State.COMPLETED
        found = campaigns.status(project, "code")
        assert found["phase"] == "stopped" and "by SIGTERM" in found["reason"]
        assert not same_process(owners[0].pid, owners[0].started)
        assert not list(folder_of(project).glob("*.pid"))


def test_who_stops_a_campaign_ends_its_generator_and_may_go_on(tmp_path):
    with project_of(tmp_path / "p", table("waits")) as project:
        run_id, _ = campaigns.begin(project, "code", {})
        wait_for(lambda: (campaigns.status(project, "code")["followed"] or {}).get("made") == 5)
        owner = owner_of(folder_of(project) / CAMPAIGN_PID)
        campaigns.stop(project, "code")
        assert project.wait(run_id, WAIT_S).state is State.COMPLETED
        assert campaigns.status(project, "code")["phase"] == "stopped"
        assert not same_process(owner.pid, owner.started)
        assert read(project, "pilot_monitor_status.json")["progress"] == 5


@pytest.mark.parametrize(("how", "started"), [("resumes", 2), ("begins anew", 2)])
def test_one_that_is_started_again_counts_each_sample_once(tmp_path, how, started):
    with project_of(tmp_path / "p", table(how)) as project:
        assert see(project, launch=False)["reason"].startswith("the generator exited with code 3, at 20 of 40")
        found = see(project, launch=False)
        assert (found["phase"], starts(project, PILOT)) == ("validation_complete", started)
        pilot = read(project, "pilot_monitor_status.json")
        assert pilot["quality_scores"] == [0.9] * PILOT


def test_a_generator_that_writes_a_log_of_its_own_is_followed_by_that(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "own.log").write_text(f"[code] {PILOT}/{PILOT}\nquality: 0.1\n")
    with project_of(tmp_path / "p", table("good", "good", "own.log", log="own.log")) as project:
        found = see(project)
        assert found["phase"] == "campaign_complete"
        assert read(project, "pilot_monitor_status.json")["quality_scores"] == [0.9] * PILOT, (
            "what was there is of others"
        )
        assert (folder_of(project) / "pilot_campaign.log").read_text() == ""
        assert read(project, "campaign_status.json")["log_path"] == str(project.folder / "own.log")
        assert project.folder / "own.log" in campaigns.log_files(project, "code")


def test_patterns_of_the_project_are_those_that_count(tmp_path):
    text = table(min_pilot_samples=2) + "[campaigns.code.patterns]\nquality = ['worth (?P<score>[\\d.]+)']\n"
    with project_of(tmp_path / "p", text) as project:
        assert see(project)["reason"].startswith(f"quality is unmeasured in {PILOT} of {PILOT} samples")


def test_a_generator_that_runs_already_is_not_started_once_more(tmp_path):
    with project_of(tmp_path / "p", table() + "[tasks.x]\naction = 'campaign:code'\n") as project:
        claim(folder_of(project) / CAMPAIGN_PID, os.getpid(), started_of(os.getpid()), name="code")
        found = see(project)
        assert found["phase"] == "launch_failed"
        assert f"Campaign already running: process {os.getpid()} since " in found["reason"]
        assert found["reason"].endswith("stop it with `overnight campaign stop code`")
        assert not (folder_of(project) / "pilot_campaign.log").exists(), "nothing was started"
        assert alive(folder_of(project) / CAMPAIGN_PID).pid == os.getpid()


def test_killed_with_its_daemon_a_campaign_starts_its_generator_anew_and_counts_each_sample_once(tmp_path):
    write(tmp_path / "p", table("dies"))
    words = [sys.executable, "-m", "overnight", "--project", str(tmp_path / "p"), "campaign", "auto", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pid = tmp_path / "p" / ".overnight" / "campaigns" / "code" / CAMPAIGN_PID
    half = tmp_path / "p" / f"made-code-{PILOT}"
    with subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as one:
        wait_for(lambda: pid.exists() and half.exists() and half.read_text() == str(PILOT // 2))
        owner = owner_of(pid)
        one.kill()
    wait_for(lambda: not same_process(owner.pid, owner.started))
    done = subprocess.run(words, env=environment, capture_output=True, timeout=WAIT_S, check=True)
    assert json.loads(done.stdout)["phase"] == "campaign_complete"
    with Project.open(tmp_path / "p") as project:
        assert read(project, "pilot_monitor_status.json")["quality_scores"] == [0.9] * PILOT
        assert starts(project, PILOT) == 2


def test_what_an_earlier_run_has_followed_is_not_told_of_one_that_has_not_begun(tmp_path):
    with project_of(tmp_path / "p", table("bad")) as project:
        see(project)
        assert read(project, "pilot_monitor_status.json")["progress"] == PILOT
        claim(folder_of(project) / ORCHESTRATOR_PID, os.getpid(), started_of(os.getpid()), name="code")
        assert "Campaign already running" in see(project)["reason"]
        assert read(project, "pilot_monitor_status.json")["progress"] is None


class TestCommands:
    def test_words_are_filled_and_stay_one_each(self, tmp_path):
        text = table(
            pilot_command=["make", "{target}", "--to={output_name}", '{"a": {workers}}'],
            full_command=["make", "{target}", "{output_name}"], output_name="my samples",
        )  # fmt: skip
        write(tmp_path / "p", text)
        with Project.open(tmp_path / "p") as project:
            plan, _, _ = project.campaigns.plan("code", {})
            assert plan.external.pilot == ["make", str(PILOT), "--to=my samples", '{"a": 2}']
            assert plan.external.full == ["make", str(FULL), "my samples"]
            assert type(plan).from_dict(json.loads(json.dumps(plan.to_dict()))).external.pilot == plan.external.pilot
            named, _, _ = project.campaigns.plan("code", {"output_name": "other"})
            assert named.external.full[-1] == "other"
        write(tmp_path / "p", table(full_command=["make", "{output_name}"]))
        with Project.open(tmp_path / "p") as project:
            assert project.campaigns.plan("code", {})[0].external.full[-1] == f"full_campaign_{FULL}"

    @pytest.mark.parametrize(
        ("settings", "more", "why"),
        [
            ({"pilot_command": ["make", "{traget}"]}, "", "pilot_command: there is no {traget}; did you mean target"),
            ({"full_command": []}, "", "pilot_command and full_command go together; full_command is missing"),
            ({}, "[campaigns.code.domains.sql]\ntarget = 5\n", "has no domains of its own; take out [campaigns.code."),
            ({}, "[campaigns.code.patterns]\nprogress = ['made']\n", "campaigns.code.patterns.progress: 'made' has no"),
        ],
    )
    def test_what_does_not_go_together_is_refused_in_one_line(self, tmp_path, settings, more, why):
        write(tmp_path / "p", table(**settings) + more)
        with Project.open(tmp_path / "p") as project, pytest.raises(ConfigError) as error:
            campaigns.begin(project, "code", {})
        assert why in str(error.value)
