"""A real daemon answers with the versions that serve, while they change."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemons import wait_for
from http_daemon import ask, prepared
from lines import add_version
from overnight import Project

TOML = """
[training.models.line]
trainer = "small_trainer:Line"

[training.models.swapped]
trainer = "small_trainer:Line"

[training.models.other]
trainer = "small_trainer:Line"

[models.line]
record = 0.5
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = prepared(tmp_path_factory.mktemp("predict") / "p", TOML)
    with Project.open(made.folder) as project:
        add_version(project, 2.0, serve=True)
        add_version(project, 2.0, serve=True, model="swapped")
        add_version(project, 2.0, model="other")
    try:
        made.up()
        yield made
    finally:
        made.end()


def test_one_input_and_several_are_answered(daemon):
    status, told = ask(daemon, "POST", "/api/models/line/predict", {"input": 3})
    assert (status, told["outputs"], told["model_version"]) == (200, [6.0], "v1.0.0")
    status, told = ask(daemon, "POST", "/api/models/line/predict", {"inputs": [1, 2], "key": "user-1"})
    assert (status, told["outputs"], len(set(told["request_ids"]))) == (200, [2.0, 4.0], 2)


@pytest.mark.parametrize(
    ("model", "body", "code", "said"),
    [
        ("lime", {"input": 1}, 404, "there is no model 'lime'; did you mean line?"),
        ("other", {"input": 1}, 404, "no version of 'other' serves yet; `overnight deploy` lets one serve"),
        ("line", {}, 400, "input, or inputs: one of the two, the latter a list"),
        ("line", {"input": 1, "inputs": [1]}, 400, "input, or inputs: one of the two, the latter a list"),
        ("line", {"inputs": []}, 400, "inputs: 0; 1 to 1,000 can be answered at a time"),
        ("line", {"inputs": 3}, 400, "the request cannot be used"),
        ("line", {"input": 1, "key": 3}, 400, "the request cannot be used"),
        ("line", {"input": 1, "keys": "a"}, 400, "the request cannot be used"),
        ("line", {"input": "x"}, 500, "line v1.0.0 failed: "),
    ],
)
def test_what_cannot_be_answered_is_said(daemon, model, body, code, said):
    status, told = ask(daemon, "POST", f"/api/models/{model}/predict", body)
    assert (status, told["error"][: len(said)]) == (code, said)


def test_versions_change_while_requests_come_and_none_fails(daemon):
    over, seen = threading.Event(), set()

    def work():
        while not over.is_set():
            status, told = ask(daemon, "POST", "/api/models/swapped/predict", {"input": 1})
            assert status == 200, told
            # The answer is that of the version that is named.
            assert told["outputs"] == [2.0 + int(told["model_version"].rpartition(".")[2])]
            seen.add(told["model_version"])

    with ThreadPoolExecutor(4) as pool, Project.open(daemon.folder) as project:
        futures = [pool.submit(work) for _ in range(4)]
        try:
            wait_for(lambda: seen or any(future.done() for future in futures))
            for number in range(1, 6):
                version = add_version(project, 2.0 + number, serve=True, model="swapped")
                wait_for(lambda version=version: version in seen or any(future.done() for future in futures))
        finally:
            over.set()
        for future in futures:
            future.result()
    assert seen >= {f"v1.0.{number}" for number in range(6)}
