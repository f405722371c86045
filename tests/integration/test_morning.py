"""The morning report of a real project: gathered from what is on record, written, sent, shown."""

import json
from datetime import date

import pytest
from test_loop_rules import NEW, experiences
from test_rollouts import Clock

from daemons import wait_for
from overnight import Project, Task
from overnight.app import morning
from overnight.base.files import write_json
from overnight.cli.app import main
from overnight.registry import store
from overnight.supervisor.watch import STATUS_FILE

HOUR_US = 3_600_000_000


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A project with a day behind it: two versions, a failed task, a paused one, a question."""
    folder = tmp_path_factory.mktemp("morning") / "p"
    folder.mkdir()
    (folder / "overnight.toml").write_text(
        '[project]\nname = "shop"\n[training]\nvalidation = 0.3\n[models.nlu]\ndeploy = "immediate"\n'
        '[tasks.bad]\naction = ["false"]\nmax_retries = 0\n[tasks.later]\naction = ["true"]\nschedule = "30 4 * * *"\n'
    )
    clock = Clock()
    with Project.open(folder, clock=clock) as project:

        def asks(flow):
            return flow.ask("really", "Shall it go on?", choices=("yes", "no")) if hasattr(flow, "ask") else None

        project.add_task(Task(task_id="asks", action=asks))
        for words in (None, NEW):
            some = experiences(80, 1) if words is None else experiences(80, 2, words)
            project.submit_training("nlu", some, epochs=15)
            project.run(until_idle=True)
        project.submit("bad")
        project.submit("asks")
        project.pause("later", "the disk is being replaced")
        project.add_experiences("nlu", experiences(20, 3, right=0.5))
        with project.running():
            wait_for(lambda: project.runs(task_id="bad")[0].state == "FAILED" and project.questions())
        yield project, clock


def said(found, part):
    return [f"{one['what']}: {one.get('why') or one.get('do')}" for one in found[part]]


def test_it_tells_what_is_on_record_and_nothing_else(told):
    project, _ = told
    found = morning.facts_of(project, project.clock.now_us())
    with project.database.read() as connection:
        versions = store.history(connection, "nlu")
    assert found["project"] == "shop"
    assert [line.split(":")[0] for line in said(found, "better")][:2] == [
        "nlu v1.0.0",
        f"nlu {versions[0].number} (ACCEPT)",
    ]
    assert versions[0].verdict["reason"] in said(found, "better")[1], "with its interval"
    needs = "\n".join(said(found, "needs"))
    assert "bad failed (run" in needs and "later is paused: the disk is being replaced" in needs
    assert "Shall it go on?" in needs and "overnight answer" in needs
    ran = {one["task"]: one for one in found["ran"]}
    assert (ran["bad"]["failed"], ran["overnight:job"]["completed"]) == (1, 2)
    runs = [run for run in project.runs(limit=100) if run.started_us is not None and run.state.final]
    measured = [run.usage.cpu_s for run in runs if run.usage.cpu_s is not None]
    assert found["cost"]["cpu_s"] == pytest.approx(sum(measured)) and found["cost"]["runs"] == len(runs)
    assert found["cost"]["energy_kwh"] is None and found["cost"]["usd"] is None
    assert found["trends"]["experiences"][-1] == 20.0 and 0 < found["trends"]["share of right answers"][-1] < 1
    assert found["trends"]["versions accepted"][-1] == 1.0 and len(found["days"]) == 30
    assert "20 unused experiences" in found["next"][0]["why"]


def test_the_day_after_has_only_what_still_stands(told):
    project, clock = told
    clock.ahead_us += 25 * HOUR_US
    try:
        found = morning.facts_of(project, project.clock.now_us())
        assert found["ran"] == [] and found["better"] == []
        assert [line.split(":")[0] for line in said(found, "needs")] == ["question 1", "later is paused"]
        assert sum(found["trends"]["versions accepted"]) == 1.0
    finally:
        clock.ahead_us -= 25 * HOUR_US


def test_a_version_that_was_not_accepted_and_serves_all_the_same_got_nothing_better_and_needs_a_person(
    tmp_path, capsys
):
    (tmp_path / "overnight.toml").write_text("[training]\nvalidation = 0.3\n")
    with Project.open(tmp_path) as project:
        for seed in (1, 2):
            project.submit_training("nlu", experiences(80, seed), epochs=5)
            project.run(until_idle=True)
        with project.database.read() as connection:
            newest = store.history(connection, "nlu")[0]
        assert newest.objection in ("REJECT", "UNDERPOWERED")
        number = newest.number
    assert main(["--project", str(tmp_path), "deploy", "nlu", number, "--strategy", "immediate"]) == 0
    assert f"the gate said {newest.objection} of {number}; `overnight rollback nlu`" in capsys.readouterr().err
    with Project.open(tmp_path) as project:
        project.run(until_idle=True)
        found = morning.facts_of(project, project.clock.now_us())
    assert [one["what"] for one in found["better"]] == ["nlu v1.0.0"]
    need = {"what": f"nlu {number} serves, of which the gate said {newest.objection}"}
    assert found["needs"] == [{**need, "do": "overnight rollback nlu"}]


def test_runs_are_counted_on_the_day_on_which_they_ended(tmp_path, database_url):
    clock = Clock()
    clock.ahead_us = morning.DAY_US - clock.now_us() % morning.DAY_US + 12 * HOUR_US  # at noon: no day ends meanwhile
    good, bad = (f'[tasks.{name}]\naction = ["{name}"]\nmax_retries = 0\n' for name in ("true", "false"))
    (tmp_path / "overnight.toml").write_text(good + bad)
    with Project.open(tmp_path, clock=clock, overrides={"engine.database": database_url}) as project:
        for words in (["true", "true", "false"], ["false"]):
            for word in words:
                project.submit(word)
            project.run(until_idle=True)
            clock.ahead_us += 2 * morning.DAY_US
        clock.ahead_us -= 2 * morning.DAY_US
        found = morning.facts_of(project, clock.now_us())
    assert found["trends"]["runs completed"] == [0.0] * 27 + [2.0, 0.0, 0.0]
    assert found["trends"]["runs failed"] == [0.0] * 27 + [1.0, 0.0, 1.0]
    assert {one["task"]: one["failed"] for one in found["ran"]} == {"false": 1}, "of the last day"


def test_it_is_written_shown_and_opened_and_a_day_that_was_written_stays_as_it_was(told, capsys, monkeypatch):
    project, _ = told
    words = ["--project", str(project.folder), "report", "--morning"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["project"] == "shop"
    assert main(words) == 0
    assert "Morning report of shop" in capsys.readouterr().out
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert main([*words, "--open"]) == 0
    [text] = (project.state_dir / "logs").glob("morning_report_*.txt")
    assert opened == [text.with_suffix(".html").resolve().as_uri()]
    day = text.stem.removeprefix("morning_report_")
    text.write_text("as it was\n")
    assert main([*words, day]) == 0
    assert capsys.readouterr().out.endswith("as it was\n")
    assert main([*words, "2020-01-01"]) == 0
    assert "2019-12-31 07:00 to 2020-01-01 07:00 UTC" in capsys.readouterr().out
    assert main([*words, "yesterday"]) == 2 and "is not a day" in capsys.readouterr().err
    assert main(["--project", str(project.folder), "report", "--json"]) == 2
    assert morning.end_of(project, date(2100, 1, 1)) <= project.clock.now_us()


def test_a_report_of_an_earlier_day_tells_nothing_of_now_and_one_of_a_later_day_is_refused(told, capsys):
    project, _ = told
    before = morning.facts_of(project, project.clock.now_us() - 3 * morning.DAY_US)
    assert not before["current"]
    assert before["needs"] == before["planned"] == before["next"] == before["targets"] == []
    assert not any(value for values in before["trends"].values() for value in values)
    assert main(["--project", str(project.folder), "report", "--morning", "2999-01-01"]) == 2
    assert capsys.readouterr().err.endswith("DATE: 2999-01-01 has not come yet\n")


def test_services_that_nobody_looks_after_need_no_person(tmp_path):
    (tmp_path / "overnight.toml").touch()
    lost = {"status": "given_up", "why": "exited with code 1"}
    with Project.open(tmp_path) as project:
        write_json(project.state_dir / STATUS_FILE, {"mode": "failed", "services": {"web": lost}, "links": []})
        assert morning.facts_of(project, project.clock.now_us())["needs"] == []


def test_a_version_from_elsewhere_that_does_not_serve_got_nothing_better(told, tmp_path):
    project, _ = told
    assert main(["--project", str(project.folder), "models", "export", "nlu", "v1.0.0", str(tmp_path / "out")]) == 0
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "overnight.toml").touch()
    assert main(["--project", str(tmp_path / "p"), "models", "import", str(tmp_path / "out")]) == 0
    with Project.open(tmp_path / "p") as other:
        assert morning.facts_of(other, other.clock.now_us())["better"] == []


def test_all_experiences_are_counted_and_a_share_is_told_only_of_days_that_were_read(tmp_path, monkeypatch):
    monkeypatch.setattr(morning, "_MOST_READ", 30)
    (tmp_path / "overnight.toml").touch()
    clock = Clock()
    clock.ahead_us = morning.DAY_US - clock.now_us() % morning.DAY_US + 12 * HOUR_US
    with Project.open(tmp_path, clock=clock) as project:
        for seed in (1, 2):
            project.add_experiences("nlu", experiences(20, seed))
            clock.ahead_us += morning.DAY_US
        clock.ahead_us -= morning.DAY_US - HOUR_US
        found = morning.facts_of(project, clock.now_us())
    assert found["trends"]["experiences"][-2:] == [20.0, 20.0]
    assert found["trends"]["share of right answers"][-2:] == [None, 1.0]


def test_its_task_writes_it_and_sends_it_where_there_are_addresses(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(morning, "post_of", lambda config: lambda title, text: sent.append((title, text)))
    (tmp_path / "overnight.toml").write_text('[project]\nname = "shop"\n[notify.morning]\nschedule = "0 7 * * *"\n')
    with Project.open(tmp_path) as project:
        run_id = project.submit("notify-morning")
        project.run(until_idle=True)
        result = project.result(run_id)
        assert project.book.get("notify-morning").task.schedule == "0 7 * * *"
    assert result["sent"] is True and sent[0][0] == "Overnight, shop: the morning report"
    assert "Needs a person" in sent[0][1]
