"""The example campaign, on real code: killed three times at random, it ends with exactly its samples, each once."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys

import pytest

from daemons import wait_for
from overnight.cli.app import main

PARTS = {"python_bugs": 8600, "python_predict": 5400, "python_doc": 1500, "sql_tasks": 11500, "regex_tasks": 7500}


def accepted_in(folder):
    """Return how many samples the ledger has; 0 before there is one."""
    try:
        with sqlite3.connect(f"file:{folder}/.overnight/overnight.db?mode=ro", uri=True) as connection:
            query = "SELECT count(*) FROM campaign_samples WHERE reason IS NULL"
            return connection.execute(query).fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.no_cover
@pytest.mark.timeout(3600)
def test_killed_three_times_it_ends_with_exactly_its_samples(tmp_path, long_form, chance):
    target, folder = 2000 if long_form else 150, tmp_path / "p"
    assert main(["init", "--example", "instruct_campaign", str(folder)]) == 0
    toml = folder / "overnight.toml"
    if not long_form:
        # The large packages take longer to read than all the rest.
        few = re.sub(r"packages = \[.*\]", 'packages = ["more-itertools", "packaging"]', toml.read_text())
        toml.write_text(
            few.replace("pilot_size = 190\nmin_pilot_samples = 150", "pilot_size = 90\nmin_pilot_samples = 60")
        )
    command = [sys.executable, "-m", "overnight", "--project", str(folder), "campaign", "auto", "--campaign-target"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(3):
        before = accepted_in(folder)
        more = chance.randint(1, (target - before) // 3)
        with subprocess.Popen(
            [*command, str(target)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as one:
            wait_for(lambda before=before, more=more: accepted_in(folder) >= before + more, 600)
            one.kill()
            assert one.wait() == -signal.SIGKILL
    done = subprocess.run([*command, str(target)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(f"file:{folder}/.overnight/overnight.db?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT domain, digest, skeleton FROM campaign_samples WHERE reason IS NULL"
        ).fetchall()
    assert len(rows) == len({digest for _, digest, _ in rows}) == target
    for domain, part in PARTS.items():
        there = sum(1 for name, _, _ in rows if name == domain)
        assert abs(there - target * part / sum(PARTS.values())) < 1
    assert len({skeleton for _, _, skeleton in rows}) > 0.8 * target
    for name in ("code", "sql", "regex"):
        data_set = folder / ".overnight" / "campaigns" / "instruct" / "datasets" / name
        parts = json.loads((data_set / "manifest.json").read_text())["rows"]
        total = sum(parts.values())
        # Not one large group: each part has about its share.
        assert all(abs(count - {"train": 0.8}.get(part, 0.1) * total) <= 0.05 * total for part, count in parts.items())
