"""Experiences come into a real daemon: over HTTP, as files, by the command line; and are trained on by themselves."""

import http.client
import json
import urllib.parse
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from overnight import Project
from overnight.base.files import replace_file
from overnight.cli.app import main
from served import batch, served, some

TOML = """
[engine.retry]
base_s = 0.05

[training]
validation = 0.3
min_experiences = 10
training_check_interval_s = 1

[training.models.line]
trainer = "small_trainer:Line"

[training.models.twin]
trainer = "small_trainer:Line"

[training.models.other]
trainer = "small_trainer:Line"

[training.models.fresh]
trainer = "small_trainer:Line"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiences") / "project"
    made = Daemon(folder, TOML)
    (folder / "small_trainer.py").write_text((Path(__file__).parents[1] / "small_trainer.py").read_text())
    try:
        made.up()
        yield made
    finally:
        made.end()


def post(daemon, body, *, raw=None):
    url = urllib.parse.urlsplit(daemon.about["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        content = json.dumps(body) if raw is None else raw
        connection.request("POST", "/api/experiences", content, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def say(daemon, capsys, *arguments):
    """Run a command in this process; return its exit code and what it printed."""
    code = main(["--project", str(daemon.folder), *arguments])
    return code, *capsys.readouterr()


def jobs(daemon, model_type):
    with Project.open(daemon.folder) as project:
        return project.jobs(model_type=model_type)


def test_a_batch_over_http_is_on_disk_when_it_is_answered(daemon):
    status, answer = post(daemon, batch("fresh-1", some(1, 2, 2), "fresh"))
    assert status == 200, answer
    assert (status, answer) == (
        200,
        {"accepted": 2, "duplicates": 1, "batch_id": "fresh-1", "buffer_size": 2, "job_id": None},
    )
    with Project.open(daemon.folder) as project:
        [held] = [one for one in project.experience_buffer() if one.model_type == "fresh"]
    assert held.unused == 2
    assert post(daemon, batch("fresh-1", some(1, 2, 2), "fresh"))[1]["accepted"] == 0
    assert post(daemon, {"model_type": "fresh", "experiences": some(2, 3)})[1]["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "error", "details"),
    [
        (batch("h1", some(9), "other"), "batch_id: 'h1' was sent before with other experiences", 0),
        (batch("h2", some(9), "nothing"), "model_type: no trainer is known for 'nothing'", 0),
        (batch("h3", [served(1), served(2, input="x"), 5], "other"), "2 of 3 experiences cannot be used", 2),
        (batch("h4", [served(n, confidence=7) for n in range(150)], "other"), "150 of 150 experiences", 100),
        ([], "list is not an object", 0),
        (None, "NoneType is not an object", 0),
    ],
)
def test_what_does_not_fit_is_answered_with_400_and_the_places(daemon, body, error, details):
    post(daemon, batch("h1", some(1, 2, 2), "other"))
    status, answer = post(daemon, body)
    assert status == 400 and answer["error"].startswith(error)
    assert len(answer["details"]) == details and all(one.startswith("experiences[") for one in answer["details"])


@pytest.mark.parametrize("raw", ["", "{", b"\xff", '{"a": NaN', "[" * 100_000])
def test_a_body_that_is_not_json_is_answered_with_400(daemon, raw):
    status, answer = post(daemon, None, raw=raw)
    assert status == 400 and answer["error"].startswith("the body is not JSON")


def test_a_body_that_is_too_large_is_answered_with_413(daemon):
    url = urllib.parse.urlsplit(daemon.about["url"])
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    try:
        connection.putrequest("POST", "/api/experiences")
        connection.putheader("Content-Length", "64000001")
        connection.endheaders()
        # Answered before any of it is read.
        answer = connection.getresponse()
        assert answer.status == 413 and "server.max_body_mb" in json.loads(answer.read())["error"]
    finally:
        connection.close()


def test_enough_over_http_and_in_files_are_a_job_that_trains_on_all_of_them(daemon):
    folder = daemon.state / "experiences"
    replace_file(folder / "experiences_points_1.json", json.dumps(batch("f1", some(*range(6)))))
    wait_for(lambda: (folder / "processed" / "experiences_points_1.json").exists())
    answer = post(daemon, batch("f2", some(*range(4, 12))))[1]
    assert (answer["accepted"], answer["duplicates"], answer["buffer_size"]) == (6, 2, 0)
    [job] = wait_for(lambda: [one for one in jobs(daemon, "line") if one.status == "completed"])
    assert (job.job_id, job.items, job.submitted_by) == (answer["job_id"], 12, "experiences")


def test_files_alone_are_a_job_too_and_the_next_one_follows_by_itself(daemon):
    folder = daemon.state / "experiences"
    for number in range(5):
        content = json.dumps(batch(f"t{number}", some(*range(7 * number, 7 * number + 7)), "twin"))
        replace_file(folder / f"experiences_points_t{number}.json", content)
    # Whatever part of them the first job took: the rest is enough for another one, or stays.
    wait_for(lambda: len(list((folder / "processed").glob("*_t?.json"))) == 5)

    def settled():
        found = jobs(daemon, "twin")
        with Project.open(daemon.folder) as project:
            left = next(one.unused for one in project.experience_buffer() if one.model_type == "twin")
        ended = bool(found) and all(one.status == "completed" for one in found)
        return ended and left < 10 and (sum(one.items for one in found), left)

    items, left = wait_for(settled)
    assert items + left == 35


def test_a_file_that_does_not_fit_is_put_aside_and_shown(daemon, capsys):
    folder = daemon.state / "experiences"
    replace_file(folder / "experiences_points_bad.json", json.dumps(batch("g", [served(1, input=None)])))
    (folder / "notes.json").write_text("{}")
    reason = folder / "failed" / "experiences_points_bad.json.reason.txt"
    wait_for(reason.exists)
    said = "1 of 1 experiences cannot be used: experiences[0]: input: None is not a number"
    assert reason.read_text() == f"{said}\n"
    code, out, err = say(daemon, capsys, "experiences", "list")
    assert code == 0 and f"failed/experiences_points_bad.json: {said}" in out and "notes.json" in err
    found = json.loads(say(daemon, capsys, "experiences", "list", "--json")[1])
    assert list(found) == ["model_types", "waiting", "not_read", "failed"]
    assert found["failed"] == [{"name": "experiences_points_bad.json", "reason": said}]


def test_a_batch_is_added_by_the_command_line(daemon, tmp_path, capsys):
    path = tmp_path / "any name.json"
    path.write_text(json.dumps(batch("c", some(*range(700, 703)), "other")))
    add = ("experiences", "add", str(path))
    assert "batch c: 3 new, 0 there before" in say(daemon, capsys, *add)[1]
    assert "batch c: 0 new, 3 there before" in say(daemon, capsys, *add)[1] and path.exists()
    path.write_text(json.dumps({"model_type": "other", "experiences": [{}]}))
    code, _, err = say(daemon, capsys, *add)
    assert code == 2 and "experiences[0]: type: missing" in err
    for content, error in (("{", "is not JSON"), (None, "cannot be read")):
        path.write_text(content) if content else path.unlink()
        code, _, err = say(daemon, capsys, *add)
        assert code == 2 and error in err


def test_a_job_without_data_takes_the_buffer(daemon, capsys):
    post(daemon, batch("last", some(900, 901, 902), "other"))
    shown = json.loads(say(daemon, capsys, "experiences", "list", "--json")[1])["model_types"]
    [unused] = [one["unused"] for one in shown if one["model_type"] == "other"]
    code, out, _ = say(daemon, capsys, "jobs", "submit", "other", "--epochs", "1")
    assert code == 0 and f"{unused} experiences, 1 epochs" in out
    code, _, err = say(daemon, capsys, "jobs", "submit", "other")
    assert code == 2 and "no experience of 'other' is unused" in err


def test_a_daemon_that_is_killed_takes_up_the_files_that_came_meanwhile(daemon):
    daemon.kill()
    folder = daemon.state / "experiences"
    replace_file(folder / "experiences_points_late.json", json.dumps(batch("late", some(990), "other")))
    daemon.up()
    wait_for(lambda: (folder / "processed" / "experiences_points_late.json").exists())
    assert post(daemon, batch("late", some(990), "other"))[1]["duplicates"] == 1
