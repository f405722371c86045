"""The benchmarks do not hide what went badly."""

import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import engine as module

    yield module
    for name in ("engine", "engine_peers", "engine_resume", "engine_schedule", "rig"):
        sys.modules.pop(name, None)


def measured(engine, monkeypatch, figures, peers):
    monkeypatch.setattr(engine, "measure", lambda *rest: figures)
    monkeypatch.setattr(engine, "measure_peers", lambda *rest: peers)
    monkeypatch.setattr(sys, "argv", ["engine.py", "--json", "--only", "sqlite"])
    return engine.main()


SLOW_PEERS = {"huey_sqlite_runs_per_s": 500.0, "dbos_sqlite_runs_per_s": 10.0}
GOOD = {"runs_per_s": 1000.0, "ratio": 2.5}


def test_aims_that_are_met_are_a_success(engine, monkeypatch, capsys):
    assert measured(engine, monkeypatch, GOOD, SLOW_PEERS) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["missed"], told["unknown"]) == ([], [])
    assert (told["peers"]["times_huey_sqlite"], told["peers"]["times_dbos_sqlite"]) == (2.0, 100.0)
    assert "load_1min_at_end" in told["machine"]


def test_a_missed_aim_is_a_failure_and_named_in_json_too(engine, monkeypatch, capsys):
    assert measured(engine, monkeypatch, {**GOOD, "ratio": 1.9}, SLOW_PEERS) == 1
    assert json.loads(capsys.readouterr().out)["missed"] == ["sqlite.ratio"]


def test_a_peer_that_fails_is_a_missed_aim_and_one_that_is_not_installed_an_unknown_one(engine, monkeypatch, capsys):
    peers = {"huey_sqlite_runs_per_s": "failed: no such table", "dbos_sqlite_runs_per_s": engine.NOT_INSTALLED}
    assert measured(engine, monkeypatch, GOOD, peers) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["missed"], told["unknown"]) == (["peers.times_huey_sqlite"], ["peers.times_dbos_sqlite"])
    assert told["peers"]["times_huey_sqlite"] == "failed: no such table"


def test_a_peer_that_raises_says_what_in_place_of_a_figure(engine, tmp_path):
    told = sys.modules["engine_peers"].measure_peer("huey_nowhere", str(tmp_path / "none"), "quick")
    assert isinstance(told, str)
    assert told.startswith("failed: ")


QUIET = {"fsync_ms": 0.1, "load_1min": 0.2}


def measured_schedule(engine, monkeypatch, figures, machine, *options):
    monkeypatch.setattr(engine, "measure_schedule", lambda *rest: figures)
    monkeypatch.setattr(engine, "machine", lambda folder: dict(machine))
    monkeypatch.setattr(sys, "argv", ["engine.py", "--only", "schedule", *options])
    return engine.main()


LATE = {"schedule": {"start_error_ms": {"p50": 2.5, "p99": 20.0}, "start_error_commits": {"p50": 6.0}}}


def test_on_a_quiet_machine_with_a_fast_disk_a_late_start_is_a_missed_aim(engine, monkeypatch, capsys):
    assert measured_schedule(engine, monkeypatch, LATE, QUIET, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["missed"], told["absolute_aim_not_applicable"]) == (["schedule.start_error_ms.p50"], [])
    assert "peers" not in told


@pytest.mark.parametrize("machine", [{**QUIET, "fsync_ms": 0.21}, {**QUIET, "load_1min": 0.5}])
def test_elsewhere_absolute_times_are_not_applicable_and_the_ratio_is_told(engine, monkeypatch, capsys, machine):
    assert measured_schedule(engine, monkeypatch, LATE, machine, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["missed"], told["absolute_aim_not_applicable"]) == ([], ["schedule.start_error_ms.p50"])
    assert told["schedule"]["start_error_commits"] == {"p50": 6.0}


def test_the_printed_line_has_the_aim_what_became_of_it_and_what_peers_took(engine, monkeypatch, capsys):
    assert measured_schedule(engine, monkeypatch, LATE, {**QUIET, "load_1min": 3.0}) == 0
    lines = capsys.readouterr().out.splitlines()
    [median] = [line for line in lines if "start_error_ms.p50" in line]
    assert "2.500   aim <= 2: ABSOLUTE AIM NOT APPLICABLE" in median
    assert "Huey 340, DBOS 600" in median
    [worst] = [line for line in lines if "start_error_ms.p99" in line]
    assert worst.endswith("aim <= 20: MET")


def test_memory_cpu_time_and_lost_instants_count_on_every_machine(engine, monkeypatch, capsys):
    figures = {
        "schedule": {"instants_without_run": 1, "many_cpu_percent": 1.1},
        "idle": {"idle_cpu_percent": 0.6, "idle_pss_mb": 70.1},
    }
    busy = {"fsync_ms": 5.0, "load_1min": 9.0}
    assert measured_schedule(engine, monkeypatch, figures, busy, "--json") == 1
    assert json.loads(capsys.readouterr().out)["missed"] == [
        "schedule.instants_without_run",
        "schedule.many_cpu_percent",
        "idle.idle_cpu_percent",
        "idle.idle_pss_mb",
    ]


def test_an_instant_without_a_run_is_counted_and_starts_are_told_in_raw_commits_too(engine):
    told = {"errors_ms": [1.0, 2.0, 3.0, 4.0, 9.0], "instants": 2}
    figures = sys.modules["engine_schedule"].punctuality(told, raw_ms=0.5)
    assert (figures["firings"], figures["instants_without_run"]) == (5, 1)
    assert figures["start_error_ms"] == {"p50": 3.0, "p99": 9.0, "worst": 9.0}
    assert figures["start_error_commits"] == {"p50": 6.0, "p99": 18.0}


def test_memory_is_read_in_megabytes(engine):
    rollup = "00400000-7ffe ---p 00000000 00:00 0    [rollup]\nRss:      2000 kB\nPss:      1000 kB\nPss_Dirty:  5 kB\n"
    memory = sys.modules["engine_schedule"].memory_mb(rollup)
    assert (memory["Rss"], memory["Pss"]) == (2.048, 1.024)


def test_a_part_in_a_process_of_its_own_gives_what_it_printed_last(engine):
    text = "print('words first'); print('{\"figure\": 1.5}')"
    assert sys.modules["engine_schedule"].child("-c", text) == {"figure": 1.5}


@pytest.fixture
def router(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import router as module

    yield module
    for name in ("router", "rig"):
        sys.modules.pop(name, None)


def test_a_router_that_is_slow_or_drops_requests_misses_its_aims(router, monkeypatch, tmp_path):
    costs = {"choose_ns": 1500.0, "update_us": 2.0}
    monkeypatch.setattr(router, "router_figures", lambda *rest: costs)
    monkeypatch.setattr(
        router, "peer_figures", lambda *rest: {"growthbook_ns": 3000.0, "unleashclient_ns": "failed: x"}
    )
    monkeypatch.setattr(router, "swap_figures", lambda *rest: {"swap_failed": 0, "swap_dropped": 1})
    found = router.figures(tmp_path, quick=True)
    assert found["missed"] == ["choose_ns", "swap_dropped"]
    assert (found["times_growthbook"], found["times_unleashclient"]) == (2.0, "failed: x")


def test_a_peer_that_splits_nothing_off_is_not_measured(router, monkeypatch, tmp_path):
    monkeypatch.setattr(router.importlib.util, "find_spec", lambda name: name == "growthbook" or None)
    monkeypatch.setitem(router.PEERS, "growthbook", lambda folder: lambda key: "v1.0.0")
    assert router.peer_figures(tmp_path, 1) == {
        "growthbook_ns": "failed: 0 of 1000 split off",
        "unleashclient_ns": router.NOT_INSTALLED,
    }


def test_no_swap_of_the_benchmark_drops_or_fails_a_request(router, tmp_path):
    found = router.swap_figures(tmp_path, 5)
    assert (found["swap_dropped"], found["swap_failed"]) == (0, 0)
