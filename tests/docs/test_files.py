"""The reference of files and metrics is what a daemon really writes."""

import json
import re
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from overnight import Project
from overnight.app import campaign_outputs, campaigns

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def rows(name: str) -> list[list[str]]:
    lines = (REFERENCE / name).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def words(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = Daemon(tmp_path_factory.mktemp("files") / "p", '[tasks.t]\naction = ["true"]\nevery = "1s"\n')
    try:
        made.up()
        wait_for(lambda: "task=t event=completed" in made.log())
        yield made
    finally:
        made.end()


JSON = [row for row in rows("files.md") if words(row[0])[0].startswith("data/") and ".json" in row[0]]
JSON += [row for row in rows("files.md") if words(row[0])[0] in ("daemon.json", "server_state.json")]


@pytest.mark.parametrize("row", JSON, ids=[words(row[0])[0] for row in JSON])
def test_each_file_for_others_has_the_documented_keys(daemon, row):
    pattern = words(row[0])[0].replace("YYYYMMDD", "????????")
    [path] = wait_for(lambda: list(daemon.state.glob(pattern)))
    assert list(json.loads(path.read_text())) == words(row[2])


def test_at_least_the_files_that_are_promised_are_documented():
    assert len(JSON) == 5


def test_each_metric_is_documented_and_each_documented_one_is_there(daemon):
    text = daemon.get("/metrics")[1]
    shown = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (\S+)", text, re.M)}
    documented = {words(row[0])[0].partition("{")[0].removesuffix("_total") for row in rows("metrics.md")}
    assert shown == documented


def pattern_of(name):
    """What matches the files that a name of the reference stands for."""
    stands_for = {"YYYYMMDD": r"\d{8}", "ID": r"\d+", "NAME": "[^/]+", r"\*": ".*"}
    return re.sub(r"YYYYMMDD|ID|NAME|\\\*", lambda found: stands_for[found[0]], re.escape(name))


DOCUMENTED = [word for row in rows("files.md") for word in words(row[0])]
INNER = re.compile(r"(lock|daemon\.lock|bells/.*|workers/.*|overnight\.db-(wal|shm)|blobs/.*)")


def strange_in(written):
    """Those of the files that stand nowhere in the reference."""
    patterns = [pattern_of(name) for name in DOCUMENTED]
    return [name for name in written if not INNER.fullmatch(name) and not any(re.fullmatch(p, name) for p in patterns)]


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_no_other_file_of_a_daemon_goes_undocumented(daemon):
    assert strange_in(files_in(daemon.state)) == []


CAMPAIGN = """
[campaigns.sums]
target = 60
pilot_size = 40
min_pilot_samples = 30
workers = 1
domains.sums = { generator = "small_generator:Sums", settings = { pause_s = 0.01 } }
then.export = { all = [] }
"""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """The state folder of a campaign that is complete, and all files that were there while it was made."""
    folder = tmp_path_factory.mktemp("campaign")
    (folder / "overnight.toml").write_text(CAMPAIGN)
    with Project.open(folder) as project, project.running():
        run_id, _ = campaigns.begin(project, "sums", {})
        own = project.state_dir / "campaigns" / "sums"
        wait_for(lambda: {"orchestrator.pid", "campaign.pid"} <= files_in(own))
        meanwhile = files_in(project.state_dir)
        assert project.wait(run_id, 60).error is None
        campaign_outputs.write_report(project, "sums", {})
        yield project.state_dir, meanwhile | files_in(project.state_dir)


OF_CAMPAIGNS = [row for row in rows("files.md") if words(row[0])[0].startswith("campaigns/")]
STATUSES = [row for row in OF_CAMPAIGNS if words(row[0])[0].endswith(".json")]


@pytest.mark.parametrize("row", STATUSES, ids=[words(row[0])[0] for row in STATUSES])
def test_each_status_file_of_a_campaign_has_the_documented_keys(campaign, row):
    state, _ = campaign
    path = state / words(row[0])[0].replace("NAME", "sums")
    assert list(json.loads(path.read_text())) == words(row[2])


def test_the_files_of_a_campaign_are_those_that_are_documented(campaign):
    _, seen = campaign
    assert strange_in(seen) == []
    # Batches have gone, and this campaign's generator is neither one of Python code nor a language model.
    elsewhere = ("campaigns/NAME/spool/*", "campaigns/NAME/python.db", "campaigns/NAME/llm.db")
    promised = [word for row in OF_CAMPAIGNS for word in words(row[0]) if word not in elsewhere]
    absent = [name for name in promised if not any(re.fullmatch(pattern_of(name), one) for one in seen)]
    assert (len(STATUSES), absent) == (5, [])
    assert "logs/training_orchestrator.log" in seen
