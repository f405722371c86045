"""What `overnight up` says of services that came up, or did not."""

import os
from dataclasses import replace

import pytest

from overnight.app.launch import Daemonic
from overnight.base.files import write_json
from overnight.cli.services import watch
from overnight.processes.table import started_of
from overnight.supervisor.watch import STATUS_FILE


def service(status, why=None, phase=1):
    return {"status": status, "why": why, "phase": phase, "adopted": False, "pid": 7, "log": None}


@pytest.fixture
def daemon():
    return Daemonic(pid=os.getpid(), started=started_of(os.getpid()), url="", since="", level="info")


def test_of_a_daemon_that_has_ended_no_mode_is_told_but_that(tmp_path, daemon, capsys):
    write_json(tmp_path / STATUS_FILE, {"mode": "down", "services": {"web": service("down")}, "links": []})
    assert watch(replace(daemon, started=daemon.started + 1), tmp_path) == "failed"
    assert capsys.readouterr().out == "the daemon has ended while its services came up; `overnight logs` says why\n"


@pytest.fixture
def said(tmp_path, daemon, capsys):
    def look(mode, **services):
        write_json(tmp_path / STATUS_FILE, {"mode": mode, "services": services, "links": []})
        assert watch(daemon, tmp_path) == mode
        return capsys.readouterr().out.splitlines()

    return look


def test_it_fails_for_what_did_not_work_and_not_for_what_is_stopped_for_that(said):
    bad = service("given_up", "exited with code 0")
    lines = said("failed", web=service("stopping"), bad=bad, late=service("waiting"))
    assert lines[2] == "FAILED: bad (exited with code 0)"


def test_one_that_is_restarted_meanwhile_is_named_as_it_stands(said):
    lines = said("degraded", web=service("up"), mail=service("stopping"), db=service("backing_off", "is gone"))
    assert lines[-1] == "DEGRADED: 1 of 3 services are up; missing: mail (stopping); db (is gone)"
