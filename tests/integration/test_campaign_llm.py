"""Campaigns whose samples a language model makes: judged, budgeted, killed, and never paid twice."""

import os
import signal
import subprocess
import sys
import time
import zlib

import pytest

from daemons import wait_for
from llm_model import is_judging, judges, model, with_answers
from llm_server import LlmServer, asked_of, says
from overnight import Project
from overnight.app import campaign_outputs, campaigns
from overnight.base.errors import ConfigError
from overnight.reports.campaign import text

WAIT_S = 60


TOPICS = {"talk": '["sums", "trees"]'}


def write(folder, url, target=40, more="", settings="", topics=TOPICS):
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(
        f"[engine.retry]\nbase_s = 0.05\n[campaigns.talk]\ntarget = {target}\npilot_size = 20\nmin_pilot_samples = 15\n"
        f"workers = 1\n{more}" + "".join(domain(name, url, of, settings) for name, of in topics.items())
    )


def domain(name, url, topics, settings):
    return (
        f'[campaigns.talk.domains.{name}]\ngenerator = "llm"\nper_skeleton = 1000\n'
        # The model here writes the same program each time, with other constants.
        f"[campaigns.talk.domains.{name}.weights]\ndiversity = 0.0\n[campaigns.talk.domains.{name}.settings]\n"
        f'base_url = "{url}"\nmodel = "m"\ntopics = {topics}\nmost_in_flight = 8\n{settings}'
    )


def varied(body, before):
    """Judge samples differently: terms that are the same for all carry no weight."""
    time.sleep(0.01)
    if not is_judging(body):
        return model(body, before)
    scores = judges(body)
    return says(**{**scores, "coherence": scores["coherence"] - 0.1 * (zlib.crc32(asked_of(body).encode()) % 2)})


def see(project, **wish):
    run_id, _ = campaigns.begin(project, "talk", wish)
    assert project.wait(run_id, WAIT_S).state.final
    return campaigns.status(project, "talk")


def test_a_language_model_makes_a_campaign_and_its_report_says_what_it_cost(tmp_path):
    with LlmServer(varied) as server:
        write(tmp_path / "p", server.url, settings="price_in_usd = 1.0\nprice_out_usd = 2.0\n")
        with Project.open(tmp_path / "p") as project, project.running():
            found = see(project)
            assert (found["phase"], found["accepted"]) == ("campaign_complete", 40)
            assert 1 < server.most_in_flight <= 8
            assert max(server.answered.values()) == 1, "nothing was asked twice"
            told = campaign_outputs.report_of(project, "talk", {})
            paid = sum(server.answered.values())
            assert (told.spending.tokens, told.spending.usd) == (15 * paid, pytest.approx(20e-6 * paid))
            assert f"{15 * paid:,} tokens" in text(told)


def test_a_model_whose_samples_are_wrong_is_rejected(tmp_path):
    with LlmServer(with_answers(tests="assert 1 == 0")) as server:
        write(tmp_path / "p", server.url)
        with Project.open(tmp_path / "p") as project, project.running():
            found = see(project)
            assert (found["phase"], found["accepted"]) == ("validation_failed", 0)


def test_a_budget_is_a_hard_stop_and_a_larger_one_goes_on_without_paying_again(tmp_path):
    with LlmServer(varied) as server:
        settings = 'max_tokens = 400\ncheck = "none"\n'
        write(tmp_path / "p", server.url, more="budget_tokens = 15000\n", settings=settings)
        with Project.open(tmp_path / "p") as project, project.running():
            found = see(project, settings={"target": 600})
            assert found["phase"] == "launch_failed"
            assert "budget" in found["reason"]
            assert 15 * sum(server.answered.values()) <= 15_000
            there = found["accepted"]
            assert 20 < there < 600
            found = see(project, settings={"target": there + 10, "budget_tokens": 10_000_000})
            assert (found["phase"], found["accepted"]) == ("campaign_complete", there + 10)
            assert max(server.answered.values()) == 1


def test_two_domains_spend_from_one_budget(tmp_path):
    with LlmServer(varied) as server:
        settings = 'max_tokens = 400\ncheck = "none"\n'
        topics = {**TOPICS, "other": '["graphs"]'}
        write(tmp_path / "p", server.url, 3000, "budget_tokens = 30000\n", settings, topics)
        with Project.open(tmp_path / "p") as project, project.running():
            found = see(project)
            assert found["phase"] == "launch_failed"
            assert "budget" in found["reason"]
            assert min(one["accepted"] for one in found["domains"].values()) > 10
        assert 15_000 < 15 * sum(server.answered.values()) <= 30_000


def test_killed_it_pays_at_most_for_what_was_in_flight_and_ends_with_each_sample_once(tmp_path):
    command = [sys.executable, "-m", "overnight", "--project", str(tmp_path / "p"), "campaign", "auto"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with LlmServer(varied) as server:
        write(tmp_path / "p", server.url, target=150, settings='check = "none"\n')
        for _ in range(2):
            before = sum(server.answered.values())
            with subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as one:
                wait_for(lambda before=before: sum(server.answered.values()) > before + 60)
                one.kill()
                assert one.wait() == -signal.SIGKILL
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=WAIT_S)
        twice = sum(count - 1 for count in server.answered.values())
    assert twice <= 2 * 8, "paid twice is at most what was in flight"
    with Project.open(tmp_path / "p") as project:
        found = campaigns.status(project, "talk")
        assert (found["phase"], found["accepted"]) == ("campaign_complete", 150)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('api_key = "sk-1"\n', "a key does not belong here"),
        ('api_key_env = "NOT_SET_ANYWHERE"\n', "the variable NOT_SET_ANYWHERE is not set"),
        ("max_token = 5\n", "there is no setting 'max_token'; did you mean max_tokens"),
        ("temperature = 9.0\n", "temperature: 9.0 is not from 0 to 2"),
        ("budget_tokens = 5\n", "budget_tokens is one of the campaign"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_sent(tmp_path, settings, why):
    write(tmp_path / "p", "http://127.0.0.1:9/v1", settings=settings)
    with Project.open(tmp_path / "p") as project, pytest.raises(ConfigError) as error:
        campaigns.begin(project, "talk", {})
    assert why in str(error.value)
