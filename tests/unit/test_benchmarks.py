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
    for name in ("engine", "engine_peers", "engine_resume", "rig"):
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
