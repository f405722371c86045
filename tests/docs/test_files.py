"""The reference of files and metrics is what a daemon really writes."""

import json
import re
from pathlib import Path

import pytest

from daemons import Daemon, wait_for

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


def test_no_other_file_of_a_daemon_goes_undocumented(daemon):
    written = {path.relative_to(daemon.state).as_posix() for path in daemon.state.rglob("*") if path.is_file()}
    known = [word for row in rows("files.md") for word in words(row[0])]
    digits = {"YYYYMMDD": r"\d{8}", "ID": r"\d+", r"\*": ".*"}
    patterns = [re.sub(r"YYYYMMDD|ID|\\\*", lambda found: digits[found[0]], re.escape(name)) for name in known]
    inner = re.compile(r"(lock|daemon\.lock|bells/.*|workers/.*|overnight\.db-(wal|shm)|blobs/.*)")
    strange = [
        name for name in written if not inner.fullmatch(name) and not any(re.fullmatch(one, name) for one in patterns)
    ]
    assert strange == []
