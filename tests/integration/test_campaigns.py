"""Campaigns from the pilot to the last sample: judged, launched, stopped, killed and gone on with."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from daemons import wait_for
from overnight import Project
from overnight.app import campaigns
from overnight.base.campaigns import SAMPLES
from overnight.base.errors import ConfigError, InvalidTask, InvalidTransition, UnknownName, UserMistake
from overnight.campaigns import gate, ledger, record
from overnight.campaigns.handed import FAILED
from overnight.campaigns.intake import NOT_TEXT, REPLACED, SAME, TOO_LONG
from overnight.campaigns.making import CAMPAIGN_PID, ORCHESTRATOR_PID
from overnight.campaigns.phases import Phase
from overnight.campaigns.pidfile import owner_of
from overnight.campaigns.pool import LOST
from overnight.campaigns.spool import Spool, Try
from overnight.campaigns.tables import samples
from overnight.engine import store as flow_store
from overnight.engine.model import State
from overnight.flows.campaign import flow as program

WAIT_S = 60


def table(target=120, settings="", **more):
    rest = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
    return (
        f"[campaigns.sums]\ntarget = {target}\npilot_size = 40\nmin_pilot_samples = 30\nworkers = 2\n{rest}"
        f'[campaigns.sums.domains.sums]\ngenerator = "small_generator:Sums"\nsettings = {{ {settings} }}\n'
    )


def write(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(f"[engine.retry]\nbase_s = 0.05\n{text}")


@contextmanager
def project_of(folder, text=None, **overrides):
    if text is not None:
        write(folder, text)
    with Project.open(folder, overrides=overrides) as project, project.running():
        yield project


def see(project, name="sums", **wish):
    run_id, _ = campaigns.begin(project, name, wish)
    run = project.wait(run_id, WAIT_S)
    assert run.state.final, "it goes on and on"
    return campaigns.status(project, name)


def rows(project, *columns, **where):
    query = sa.select(*(samples.c[name] for name in columns))
    for name, value in where.items():
        query = query.where(samples.c[name] == value)
    with project.database.read() as connection:
        return connection.execute(query).fetchall()


def read(project, name):
    return json.loads((project.state_dir / "campaigns" / "sums" / name).read_text())


def test_a_campaign_goes_from_its_pilot_to_exactly_its_target(tmp_path, database_url):
    with project_of(tmp_path / "p", table(), **{"engine.database": database_url}) as project:
        found = see(project)
        assert (found["phase"], found["accepted"], found["reason"]) == ("campaign_complete", 120, None)
        assert found["verdict"]["decision"] == "APPROVED"
        there = rows(project, "digest", "pilot", "reason", "number")
        good = [row for row in there if row.reason is None]
        assert len(good) == len({row.digest for row in good}) == 120
        assert sum(row.pilot for row in there) == 40
        assert found["skeletons"] == 120
        pilot, state = read(project, "pilot_monitor_status.json"), read(project, "orchestrator_state.json")
        assert (pilot["progress"], pilot["total"], pilot["is_complete"], pilot["quality_pass"]) == (40, 40, True, True)
        assert state["phase"] == "campaign_complete" and state["completed"] is not None
        assert state["validation_result"]["approved"] is True
        full = read(project, "campaign_monitor_status.json")
        assert (full["progress"], full["total"], full["is_running"]) == (120, 120, False)
        folder = project.state_dir / "campaigns" / "sums"
        assert not list((folder / "spool").iterdir()) and not list(folder.glob("*.pid"))
        assert "[PilotQualityMonitor] INFO: Progress: 40/40 (100.0%)" in (folder / "pilot_campaign.log").read_text()
        again = see(project)
        assert (again["phase"], again["accepted"], len(rows(project, "number"))) == (
            "campaign_complete",
            120,
            len(there),
        )


@pytest.mark.parametrize(
    ("settings", "why"),
    [("wrong = 3", "it is not at least 0.75"), ("blind = true", "planted wrong samples were let through")],
)
def test_a_generator_that_is_degraded_is_rejected_after_the_pilot(tmp_path, settings, why):
    with project_of(tmp_path / "p", table(settings=settings)) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert why in found["reason"]
        assert found["judged"] == 40, "nothing beyond the pilot was made"
        said = read(project, "campaign_validation.json")
        assert said["approved"] is False and why in said["reason"]
        assert see(project, pilot=False)["phase"] == "launch_failed"


def test_a_generator_that_was_mended_makes_the_pilot_anew_and_what_the_rejected_one_left_is_out(tmp_path):
    with project_of(tmp_path / "p", table(settings="wrong = 3")) as project:
        assert see(project)["phase"] == "validation_failed"
        before = len(rows(project, "number", reason=None))
        assert 20 < before < 40
        assert see(project)["judged"] == 40, "the same generator is judged by the same candidates"
    with project_of(tmp_path / "p", table(settings="version = 2")) as project:
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 120)
        made = Counter((row.generator, row.pilot, row.reason) for row in rows(project, "generator", "pilot", "reason"))
        assert made["sums/1", 0, REPLACED] == before
        assert made["sums/1", 0, None] == 0 and made["sums/2", 1, None] == 40 and made["sums/2", 0, None] == 80
        # Nothing of its numbers is left out because another version has made them.
        assert {row.number for row in rows(project, "number", generator="sums/2", cell="c0")} >= set(range(40))
        # Its texts are those of the rejected one, where that was right.
        assert not [key for key in made if key[2] == SAME]


def test_another_version_of_a_generator_needs_a_pilot_of_its_own_and_what_was_approved_stays(tmp_path):
    with project_of(tmp_path / "p", table()) as project:
        assert see(project, settings={"target": 60})["accepted"] == 60
    with project_of(tmp_path / "p", table(settings="version = 2")) as project:
        refused = see(project, pilot=False)
        assert refused["phase"] == "launch_failed"
        assert "sums/2 makes sums, and sums/1 made its pilot: `overnight campaign pilot sums`" in refused["reason"]
        assert len(rows(project, "number")) == 60, "nothing was made"
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 120)
        made = Counter((row.generator, row.pilot) for row in rows(project, "generator", "pilot", reason=None))
        assert made["sums/1", 0] == 60 and made["sums/1", 1] == 0
        assert len(rows(project, "number", generator="sums/2", pilot=1)) == 40
    with project_of(tmp_path / "p", table(settings="version = 3")) as project:
        forced = see(project, pilot=False, force="it is the same", settings={"target": 130})
        assert (forced["phase"], forced["accepted"], forced["reason"]) == ("campaign_complete", 130, None)
        assert forced["launches"][-1]["forced"] == "it is the same"


@pytest.mark.parametrize("active", [True, False])
def test_a_cell_that_alone_reaches_rare_regions_is_asked_more_often(tmp_path, active):
    text = table(target=300, settings="cells = 4, pause_s = 0.02", active_learning=active).replace(":Sums", ":Uneven")
    near = "[campaigns.sums.domains.sums]\nnear_duplicates = 0.99\n"
    with project_of(tmp_path / "p", text.replace("[campaigns.sums.domains.sums]\n", near)) as project:
        assert see(project)["phase"] == "campaign_complete"
        cells = Counter(row.cell for row in rows(project, "cell", reason=None))
    share = cells["c3"] / 300
    assert share > 0.5 if active else 0.15 < share < 0.4, cells


def test_terms_that_are_the_same_for_all_of_the_pilot_carry_no_weight_there_and_from_then_on(tmp_path):
    with project_of(tmp_path / "p", table(target=80)) as project:
        found = see(project)
        assert (found["phase"], found["verdict"]["constant"]) == (
            "campaign_complete",
            ["diversity", "consistency", "coherence"],
        )
        mean = found["verdict"]["quality"]["mean"]
        there = rows(project, "terms", "quality", "pilot")
    measured = [(json.loads(row.terms)["groundedness"], row) for row in there]
    of_pilot = [value for value, row in measured if row.pilot]
    assert mean == pytest.approx(sum(of_pilot) / len(of_pilot)) and len(of_pilot) == 40
    assert all(row.quality == pytest.approx(value) for value, row in measured if not row.pilot)
    assert read(project, "pilot_monitor_status.json")["estimated_quality"] == pytest.approx(mean)


def test_a_check_that_says_the_same_of_all_samples_measures_nothing(tmp_path):
    with project_of(tmp_path / "p", table(settings="grounded = 1.0")) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert "quality is unmeasured: each of its terms is the same for all" in found["reason"]


def test_a_domain_of_which_the_pilot_has_little_is_planted_all_the_same(tmp_path):
    head, _, domain = table(target=100).partition("[campaigns.sums.domains.sums]\n")
    blind = domain.replace("settings = {  }", "settings = { blind = true, cells = 9 }")
    text = f"{head}[campaigns.sums.domains.a]\n{domain}[campaigns.sums.domains.b]\ntarget = 3\n{blind}"
    with project_of(tmp_path / "p", text) as project:
        found = see(project)
        assert found["phase"] == "validation_failed"
        assert "b: 12 of 12 planted wrong samples were let through" in found["reason"]


def test_a_launch_needs_a_verdict_of_the_gate_of_now_or_somebody_who_says_why(tmp_path):
    with project_of(tmp_path / "p", table(target=60)) as project:
        found = see(project, pilot=False)
        assert (found["phase"], found["judged"]) == ("launch_failed", 0)
        assert "no pilot was judged" in found["reason"]
        assert see(project, launch=False)["phase"] == "validation_complete"
        stricter = {"settings": {"quality_threshold": 0.8}}
        assert "has changed since it was judged" in see(project, pilot=False, **stricter)["reason"]
        with project.database.read() as connection:
            versions = connection.execute(sa.text("SELECT version, by FROM campaign_gates ORDER BY gate_id")).fetchall()
        assert len(versions) == 2, "what was asked for before stays"
        found = see(project, pilot=False, force="a person has read it", **stricter)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 60)
        [launch] = found["launches"]
        assert launch["forced"] == "a person has read it" and launch["by"]
        assert see(project, launch=False, **stricter)["verdict"]["decision"] == "APPROVED"
        assert see(project, pilot=False, **stricter)["launches"][-1]["forced"] is None


def test_a_campaign_that_runs_dry_says_of_what(tmp_path):
    with project_of(tmp_path / "p", table(settings="numbers = 41, none_at = [0]")) as project:
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 120)
        found = see(project, settings={"target": 121})
        assert (found["phase"], found["accepted"]) == ("launch_failed", 120)
        assert found["reason"] == "sums: 120 of 121 accepted: its generator has no more to give"
        found = see(project, settings={"target": 124})
        assert "124 samples are wanted, and its generator has 123 at the most" in found["reason"]


def test_a_campaign_ends_at_the_most_candidates_that_it_may_judge(tmp_path):
    with project_of(tmp_path / "p", table(settings="wrong = 2", max_candidates=100, quality_threshold=0.6)) as project:
        found = see(project)
        assert (found["phase"], found["judged"]) == ("launch_failed", 100)
        assert found["reason"].endswith("accepted: no further candidate may be made")


def test_a_candidate_that_takes_its_process_with_it_is_one_with_a_fault(tmp_path):
    with project_of(tmp_path / "p", table(settings="dies_at = 5, none_at = [3, 8]")) as project:
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 120)
        there = {(row.cell, row.number): row.reason for row in rows(project, "cell", "number", "reason")}
        assert there["c0", 5] == LOST
        assert {number for cell, number in there if cell == "c0"} >= {4, 6} and ("c0", 3) not in there
        assert Counter(there.values()) == {None: 120, LOST: 1}


def test_whatever_a_generator_hands_over_is_a_fault_of_that_candidate_alone(tmp_path, database_url):
    text = table(quality_threshold=0.3, settings="numbers = 60").replace(
        "small_generator:Sums", "poison_generator:Poison"
    )
    with project_of(tmp_path / "p", text, **{"engine.database": database_url}) as project:
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 120), found["reason"]
        there = {row.number: row for row in rows(project, "number", "reason", "detail", "quality", cell="c0")}
    reasons = {number: row.reason for number, row in there.items()}
    assert [number for number in range(17) if reasons[number] is None] == [3, 9]
    assert {number for number in reasons if reasons[number] == TOO_LONG} == {0, 7}
    assert {number for number in reasons if reasons[number] == NOT_TEXT} == {1, 2}
    assert {number for number in reasons if reasons[number] == FAILED} == {4, 5, 6, 8, 10, 11, 12, 13, 15}
    assert reasons[16] == LOST and reasons[14].startswith("\\ud800 half") and len(reasons[14]) == 200
    assert all(there[number].quality == 0 for number in range(17) if reasons[number] is not None)
    assert [there[number].detail for number in (4, 8, 11, 13)] == [
        "it made a str where a draft is wanted",
        "ZeroDivisionError: integer division or modulo by zero",
        "its check gave beauty = 1.0",
        "its check returned nothing",
    ]


def test_a_generator_that_cannot_be_made_says_so_at_once(tmp_path):
    with project_of(tmp_path / "p", table(settings="spelt = true")) as project:
        found = see(project)
        assert found["phase"] == "launch_failed"
        assert "cannot be made" in found["reason"] and "spelt" in found["reason"]


def test_a_text_that_two_domains_make_is_accepted_once_also_after_one_was_renamed(tmp_path):
    head, _, domain = table(target=60).partition("[campaigns.sums.domains.sums]\n")
    two = head + "".join(f"[campaigns.sums.domains.{name}]\n{domain}" for name in ("a", "b"))
    with project_of(tmp_path / "p", two) as project:
        found = see(project)
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 60)
        assert {row.reason for row in rows(project, "reason")} == {None, SAME}
    renamed = head + f"[campaigns.sums.domains.c]\n{domain}"
    with project_of(tmp_path / "p", renamed) as project:
        found = see(project, pilot=False, force="another name", settings={"target": 30})
        assert (found["phase"], found["domains"]["c"]["accepted"]) == ("campaign_complete", 30)


@pytest.mark.parametrize("file", [CAMPAIGN_PID, ORCHESTRATOR_PID])
def test_sigterm_to_a_process_of_a_campaign_stops_it_and_not_the_daemon(tmp_path, file):
    with project_of(tmp_path / "p", table(target=5000, settings="pause_s = 0.005")) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        path = project.state_dir / "campaigns" / "sums" / file
        wait_for(lambda: campaigns.status(project, "sums")["accepted"] > 60)
        os.kill(owner_of(path).pid, signal.SIGTERM)
        assert project.wait(run_id, WAIT_S).state is State.COMPLETED
        found = campaigns.status(project, "sums")
        assert (found["phase"], found["reason"]) == ("stopped", "the generator was stopped by SIGTERM")
        assert not path.exists() and 60 < found["accepted"] < 5000
        there = found["accepted"]
        assert see(project, settings={"target": there + 20})["accepted"] == there + 20


@pytest.mark.parametrize("file", [CAMPAIGN_PID, ORCHESTRATOR_PID, None])
def test_a_campaign_is_stopped_also_while_bad_samples_are_planted(tmp_path, file):
    planting = tmp_path / "planting"
    with project_of(tmp_path / "p", table(settings=f'waits_for = "{planting}"')) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        wait_for(planting.exists)
        if file is None:
            campaigns.stop(project, "sums")
        else:
            os.kill(owner_of(project.state_dir / "campaigns" / "sums" / file).pid, signal.SIGTERM)
        assert project.wait(run_id, WAIT_S).state is State.COMPLETED
        found = campaigns.status(project, "sums")
        assert (found["phase"], found["judged"], found["verdict"]) == ("stopped", 40, None)


def test_who_stops_a_campaign_keeps_what_was_made_and_may_go_on(tmp_path):
    with project_of(tmp_path / "p", table(target=5000, settings="pause_s = 0.005")) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        assert campaigns.begin(project, "sums", {}) == (run_id, True)
        wait_for(lambda: campaigns.status(project, "sums")["accepted"] > 40)
        assert "is stopping" in campaigns.stop(project, "sums")
        assert project.wait(run_id, WAIT_S).state is State.COMPLETED
        found = campaigns.status(project, "sums")
        assert (found["phase"], found["stopping"]) == ("stopped", False)
        with pytest.raises(InvalidTransition, match="is not running: stopped"):
            campaigns.stop(project, "sums")
        there = len(rows(project, "number"))
        assert not list((project.state_dir / "campaigns" / "sums" / "spool").glob("*.batch"))
        assert campaigns.last_wish(project, "sums") == {"settings": {}}
        found = see(project, settings={"target": there + 10})
        assert (found["phase"], found["accepted"]) == ("campaign_complete", there + 10)


def test_what_a_run_leaves_just_before_it_ends_is_taken(tmp_path, monkeypatch):
    with project_of(tmp_path / "p", table(target=50)) as project:
        see(project, launch=False)
        folder = project.state_dir / "campaigns" / "sums" / "spool"
        late = [["late", "sums", "sums/1", "c9", 7, 0, "late", None, 0.0, "{}", "", "", "{}"]]
        look, before = flow_store.get, set(rows(project, "sample_id"))

        def get(connection, run_id):
            run = look(connection, run_id)
            if run is not None and run.task_id == SAMPLES and run.state.final and not folder.joinpath("done").exists():
                Spool(folder).put(Try(run_id=run_id, token=9), 9, late)
                folder.joinpath("done").touch()
            return run

        monkeypatch.setattr(flow_store, "get", get)
        see(project, pilot=False)
        assert folder.joinpath("done").exists() and not list(folder.glob("*.batch"))
        assert ("late",) in set(rows(project, "sample_id")) - before


def test_a_batch_that_a_disk_has_damaged_is_put_aside_and_its_samples_are_made_again(tmp_path):
    with project_of(tmp_path / "p", table(target=5000, settings="pause_s = 0.005")) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        wait_for(lambda: campaigns.status(project, "sums")["judged"])
        spool = project.state_dir / "campaigns" / "sums" / "spool"
        (spool / "000000000000-000000001.batch").write_text('[["half')
        assert project.wait(run_id, WAIT_S).state is State.FAILED
        found = campaigns.status(project, "sums")
        assert found["phase"] == "launch_failed"
        assert found["reason"].startswith("000000000000-000000001.batch in the spool is damaged and was put aside")
        assert not list(spool.glob("*.batch")), "what was made beside it is kept"
        found = see(project, settings={"target": found["accepted"] + 5})
        assert found["phase"] == "campaign_complete"


def test_who_stops_a_campaign_before_it_has_begun_is_heard(tmp_path, monkeypatch):
    begin = program._begin

    def stopped_meanwhile(*args):
        assert "is stopping" in campaigns.stop(project, "sums")
        return begin(*args)

    with project_of(tmp_path / "p", table(target=5000, settings="pause_s = 0.005")) as project:
        monkeypatch.setattr(program, "_begin", stopped_meanwhile)
        found = see(project)
        assert (found["phase"], found["stopping"]) == ("stopped", False)
        assert found["judged"] < 200


def test_a_campaign_that_nobody_works_on_is_stopped_at_once(tmp_path):
    write(tmp_path / "p", table())
    with Project.open(tmp_path / "p") as project:
        with pytest.raises(UnknownName, match="was never begun"):
            campaigns.stop(project, "sums")
        campaigns.begin(project, "sums", {})
        with project.running():
            wait_for(lambda: campaigns.status(project, "sums")["phase"] == "monitoring_pilot")
        assert campaigns.stop(project, "sums") == "campaign 'sums' is stopped"
        assert campaigns.status(project, "sums")["phase"] == "stopped"


def test_a_campaign_whose_run_was_cancelled_or_broke_is_not_said_to_go_on(tmp_path, monkeypatch):
    with project_of(tmp_path / "p", table(target=5000, settings="pause_s = 0.005")) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        wait_for(lambda: campaigns.status(project, "sums")["phase"] == "campaign_launched")
        project.cancel(run_id)
        project.wait(run_id, WAIT_S)
        assert campaigns.status(project, "sums")["phase"] == "stopped"
        with pytest.raises(InvalidTransition, match="is not running: stopped"):
            campaigns.stop(project, "sums")
        monkeypatch.setattr(gate, "judge", lambda *_: 1 // 0)
        found = see(project)
        assert found["phase"] == "launch_failed" and "division" in found["reason"]


def test_a_second_run_of_a_campaign_is_told_of_the_first(tmp_path):
    text = (
        table(target=5000, settings="pause_s = 0.005") + '[tasks.nights]\naction = "campaign:sums"\nmax_retries = 0\n'
    )
    with project_of(tmp_path / "p", text) as project:
        run_id, _ = campaigns.begin(project, "sums", {})
        wait_for(lambda: campaigns.status(project, "sums")["judged"])
        other = project.wait(project.submit("nights"), WAIT_S)
        assert other.state is State.FAILED
        assert other.error.message == (
            f"campaign 'sums' is already running (run {run_id}); `overnight campaign stop sums` stops it"
        )
        campaigns.stop(project, "sums")
        project.wait(run_id, WAIT_S)


def test_a_task_runs_a_campaign(tmp_path):
    text = table(target=50) + '[tasks.nights]\naction = "campaign:sums"\n'
    with project_of(tmp_path / "p", text) as project:
        run = project.wait(project.submit("nights"), WAIT_S)
        assert json.loads(run.result)["phase"] == "campaign_complete"
    write(tmp_path / "p", table() + '[tasks.nights]\naction = "campaign:sms"\n')
    with pytest.raises(InvalidTask, match=r"there is no campaign 'sms'; did you mean sums"):
        Project.open(tmp_path / "p")


def test_a_launch_that_is_noted_again_after_a_crash_is_there_once(tmp_path):
    with project_of(tmp_path / "p", table(target=50)) as project:
        see(project)
        for _ in range(2):
            project.database.writer.do(lambda tx: record.launch(tx, 1, 77, by="me", forced="why"))
        assert [one["forced"] for one in campaigns.status(project, "sums")["launches"]] == [None, "why"]


def test_a_campaign_asks_for_memory_by_its_workers_where_nothing_else_is_set(tmp_path):
    with project_of(tmp_path / "p", table()) as project:
        assert project.campaigns.plan("sums", {})[2] == 1.5
        assert project.campaigns.plan("sums", {"workers": 16})[2] == 8.5
    with project_of(tmp_path / "p", table(memory_gb=3.0)) as project:
        assert project.campaigns.plan("sums", {"workers": 16})[2] == 3.0


def test_a_campaign_that_needs_more_memory_than_it_may_have_says_which_setting_that_is(tmp_path):
    with project_of(tmp_path / "p", table(memory_gb=0.02)) as project:
        found = see(project)
    assert found["phase"] == "launch_failed"
    assert "reserved 0.02 GB; set campaigns.sums.memory_gb, or take fewer workers" in found["reason"], found["reason"]


def test_killed_again_and_again_a_campaign_ends_with_each_sample_once(tmp_path, chance):
    target, log = 600, tmp_path / "drafted"
    write(tmp_path / "p", table(target=target, settings="pause_s = 0.002, wrong = 1"))
    command = [sys.executable, "-m", "overnight", "--project", str(tmp_path / "p"), "campaign", "auto"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DRAFTED": str(log)}
    for _ in range(3):
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as one:
            before = log.stat().st_size if log.exists() else 0
            more = chance.randint(100, 800)
            wait_for(lambda before=before, more=more: log.exists() and log.stat().st_size > before + more)
            one.kill()
            assert one.wait() == -signal.SIGKILL, "it was killed before its end"
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=WAIT_S)
    with Project.open(tmp_path / "p") as project:
        found = campaigns.status(project, "sums")
        assert (found["phase"], found["accepted"]) == ("campaign_complete", target)
        there = rows(project, "cell", "number", "digest", "reason")
    assert len({row.digest for row in there if row.reason is None}) == target
    for cell in ("c0", "c1", "c2"):
        numbers = sorted(row.number for row in there if row.cell == cell)
        # What is made but surplus at the very end is not judged.
        assert numbers[: len(numbers) - 64] == list(range(len(numbers) - 64)), "none was left out"
    drafted = Counter(log.read_text().split("\n")[:-1])
    twice = sum(count - 1 for count in drafted.values())
    # Drafted again: what was in the processes or in no batch yet, at each kill.
    assert twice <= 3 * (2 * 2 * 8 + 50 + 64), twice


class TestSettings:
    def test_targets_of_domains_make_up_that_of_the_campaign(self, tmp_path):
        write(
            tmp_path / "p",
            "[campaigns.a]\ntarget = 100\n[campaigns.a.domains.python_bugs]\ntarget = 50\n"
            "[campaigns.a.domains.sql_tasks]\nper_skeleton = 5\n[campaigns.a.domains.regex_tasks]\nper_skeleton = 5\n",
        )
        with Project.open(tmp_path / "p") as project:
            found = campaigns.status(project, "a")["domains"]
            assert {name: one["target"] for name, one in found.items()} == {
                "python_bugs": 50, "sql_tasks": 25, "regex_tasks": 25,
            }  # fmt: skip

    def test_a_run_with_a_target_of_its_own_keeps_the_parts(self, tmp_path):
        write(
            tmp_path / "p",
            "[campaigns.a]\ntarget = 1000\n[campaigns.a.domains.python_bugs]\ntarget = 700\n"
            "[campaigns.a.domains.sql_tasks]\ntarget = 300\n",
        )
        with Project.open(tmp_path / "p") as project:
            campaigns.begin(project, "a", {"settings": {"target": 90}})
            found = campaigns.status(project, "a")["domains"]
        assert {name: one["target"] for name, one in found.items()} == {"python_bugs": 63, "sql_tasks": 27}

    @pytest.mark.parametrize(
        ("target", "domains", "why"),
        [
            (10, {"sql_tasks": 20}, "together, and its own is 10"),
            (100, {"sql_tasks": None, "python_bugs": 30}, "at least 40% of a mixture"),
            (100, {"python_doc": 20, "python_bugs": None}, "at most 10% may be"),
            (10, {"sql_task": None}, "there is no generator 'sql_task'; did you mean sql_tasks"),
        ],
    )
    def test_domains_that_do_not_go_together_are_refused_with_a_reason(self, tmp_path, target, domains, why):
        text = f"[campaigns.a]\ntarget = {target}\n"
        for name, of_domain in domains.items():
            text += f"[campaigns.a.domains.{name}]\nper_skeleton = 5\n"
            text += "" if of_domain is None else f"target = {of_domain}\n"
        self.refused(tmp_path, text, why)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('packages = ["nowhere-to-be-found"]', "'nowhere-to-be-found' is not installed here"),
            ("min_pilot_samples = 200", "min_pilot_samples: 200 is not from 2 to pilot_size"),
            ("[campaigns.a.domains.sql_tasks.weights]\nbeauty = 1.0", "weights.beauty: there is no such term"),
        ],
    )
    def test_settings_that_mean_nothing_are_refused_with_a_reason(self, tmp_path, text, why):
        self.refused(tmp_path, f"[campaigns.a]\ntarget = 34500\n{text}\n", why)

    def refused(self, tmp_path, text, why):
        write(tmp_path / "p", text)
        with Project.open(tmp_path / "p") as project, pytest.raises((ConfigError, UserMistake)) as error:
            campaigns.begin(project, "a", {})
        assert why in str(error.value)

    @pytest.mark.parametrize(
        ("wish", "why"),
        [
            ({"target": 0}, "target: 0 is below 1"),
            ({"pilot": 5}, "no setting 'pilot' of its own; did you mean pilot_size"),
        ],
    )
    def test_wishes_of_one_run_are_checked_too(self, tmp_path, wish, why):
        write(tmp_path / "p", table())
        with Project.open(tmp_path / "p") as project, pytest.raises((ConfigError, UserMistake)) as error:
            campaigns.begin(project, "sums", {"settings": wish})
        assert why in str(error.value)

    def test_three_variables_without_a_prefix_count_and_the_prefixed_ones_win(self, tmp_path, monkeypatch):
        write(tmp_path / "p", table())
        monkeypatch.setenv("QUALITY_THRESHOLD", "0.8")
        monkeypatch.setenv("CAMPAIGN_TARGET", "77")
        monkeypatch.setenv("AUTO_LAUNCH", "false")
        with Project.open(tmp_path / "p") as project:
            found = campaigns.with_environment(project, "sums", {"settings": {"target": 9}})
            assert found == {"launch": False, "settings": {"target": 9, "quality_threshold": 0.8, "auto_launch": False}}
        monkeypatch.setenv("OVERNIGHT_CAMPAIGNS__SUMS__QUALITY_THRESHOLD", "0.6")
        monkeypatch.setenv("AUTO_LAUNCH", "perhaps")
        with Project.open(tmp_path / "p") as project:
            with pytest.raises(UserMistake, match="AUTO_LAUNCH: 'perhaps' is not true or false"):
                campaigns.with_environment(project, "sums", {})
            monkeypatch.delenv("AUTO_LAUNCH")
            assert campaigns.with_environment(project, "sums", {})["settings"] == {"target": 77}
            assert project.config.campaigns["sums"].quality_threshold == 0.6


def test_phases_and_files_survive_in_the_database(tmp_path):
    with project_of(tmp_path / "p", table(target=50)) as project:
        see(project)
        with project.database.read() as connection:
            [stand] = record.every(connection)
            assert (stand.name, stand.phase, stand.phase.ended) == ("sums", Phase.CAMPAIGN_COMPLETE, True)
            assert ledger.gate_of(connection, stand.campaign_id).pilot_size == 40
