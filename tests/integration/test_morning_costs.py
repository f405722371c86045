"""What a day cost beside its runs: energy, by counters that are files here, and what language models were asked."""

import os
import threading

import pytest

from daemons import wait_for
from overnight import Project
from overnight.app import morning
from overnight.app.daemon import Daemon
from overnight.app.energy import EnergyMeter
from overnight.app.signals import Stop
from overnight.app.sweeping import Sweeper
from overnight.base.files import replace_file
from overnight.cli import checks
from overnight.engine.retention import DAY_US
from overnight.llm.budget import Amount, Budget
from overnight.llm.replay import Answer, Replay
from overnight.resources.probes.energy import ZONES
from overnight.server.serving import serve
from overnight.testing.clock import FakeClock


@pytest.fixture
def project(tmp_path, database_url):
    (tmp_path / "overnight.toml").write_text(f'[engine]\ndatabase = "{database_url}"\n')
    with Project.open(tmp_path, clock=FakeClock()) as project:
        yield project


@pytest.fixture
def shows(tmp_path):
    place = tmp_path / "machine" / ZONES / "intel-rapl:0"
    place.mkdir(parents=True)
    (place / "name").write_text("package-0\n")
    (place / "max_energy_range_uj").write_text("262143328850\n")

    def set_to(joules):
        replace_file(place / "energy_uj", f"{round(joules * 1e6)}\n")

    set_to(0)
    return set_to


def told(project):
    return morning.facts_of(project, project.clock.now_us() + 1)["cost"]


def test_what_was_used_is_kept_every_ten_minutes_and_at_the_end_and_told(project, shows, tmp_path):
    meter = EnergyMeter(project, tmp_path / "machine")
    meter.work()
    for minute in range(1, 16):
        project.clock.advance(60)
        shows(minute * 3600.0)
        meter.work()
    assert told(project)["energy_kwh"] == pytest.approx(0.01), "after ten minutes of 60 W"
    shows(16 * 3600.0)
    project.clock.advance(60)
    meter.close()
    found = told(project)
    assert found["energy_kwh"] == pytest.approx(0.016) and found["energy_s"] == pytest.approx(960)


def test_what_is_older_than_runs_are_kept_is_forgotten(project, shows, tmp_path):
    meter = EnergyMeter(project, tmp_path / "machine")
    meter.work()
    project.clock.advance(60)
    shows(60)
    meter.close()
    then_us = project.clock.now_us()
    for days, kept in ((0, True), (project.config.engine.retention.days + 1, False)):
        project.clock.advance(days * DAY_US / 1e6)
        Sweeper(project).work()
        found = morning.facts_of(project, then_us + 1)["cost"]["energy_kwh"]
        assert (found is not None) is kept


def test_what_language_models_were_asked_is_told_by_the_day(project):
    assert told(project)["llm_tokens"] is None
    for name, tokens in (("campaigns/a", 10), ("campaigns/b", 20), ("data", 40)):
        with Replay(project.state_dir / name / "llm.db", project.clock) as replay:
            most = Amount(tokens=100, nano_usd=10**9)
            replay.answered(
                replay.begin("key", most, Budget()), Answer(content="well"), Amount(tokens=tokens, nano_usd=10**8)
            )
    found = told(project)
    assert (found["llm_tokens"], found["llm_usd"], found["llm_unread"]) == (70, pytest.approx(0.3), [])
    (project.state_dir / "campaigns" / "b" / "llm.db").write_bytes(b"no database at all" * 100)
    assert (told(project)["llm_tokens"], told(project)["llm_unread"]) == (50, ["campaigns/b/llm.db"])
    project.clock.advance(86_401)
    assert told(project)["llm_tokens"] == 0


def test_a_daemon_measures_it_until_it_ends(shows, tmp_path):
    (tmp_path / "overnight.toml").write_text("[server]\nport = 0\n")
    with Project.open(tmp_path) as project:
        daemon, stop = Daemon(project), Stop()
        daemon._energy = EnergyMeter(project, tmp_path / "machine")
        living = threading.Thread(target=daemon.run, args=(stop, serve))
        living.start()
        wait_for(lambda: daemon._energy._before is not None)
        shows(360)
        stop.ask()
        living.join()
        assert told(project)["energy_kwh"] == pytest.approx(0.0001)


def test_the_doctor_says_why_nothing_is_measured(shows, tmp_path):
    machine = tmp_path / "machine"
    assert checks._energy(machine).found == "counted by intel-rapl:0"
    (machine / ZONES / "intel-rapl:0" / "energy_uj").unlink()
    assert "may not read" in checks._energy(machine).found
    if not os.environ.get("NVIDIA_VISIBLE_DEVICES"):
        assert "no processor or GPU here counts" in checks._energy(tmp_path).found
