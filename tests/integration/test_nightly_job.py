"""A training works from files alone: it opens no database, and an agent sees no target of what it is measured on."""

import json
import os
import subprocess
import sys

import pytest

from nightly_fleet import CURVED, PLANE, make_fleet, write_agents
from overnight.base.errors import ConfigError, NotMeasured, PermanentError, TransientError
from overnight.data.snapshots import canonical
from overnight.proof.splits import choose_held_out
from overnight.training.job import read_scores, train_job

RECORDS = [
    {"id": f"n{n}", "a": n % 17 / 17, "b": n % 5 / 5, "score": n % 17 / 4 + n % 5, "other": n} for n in range(300)
]


class Silent:
    """A run that nobody watches."""

    def progress(self, done, total=None, **figures):
        assert 0 <= done <= total


@pytest.fixture
def job(tmp_path, monkeypatch):
    folder = make_fleet(tmp_path / "fleet")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    # Two versions of this file may be written within the same second and have the same size.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def job(work="work", *, records=RECORDS, class_="Plain", more="", used=PLANE, champion=None, below=(0.3, 0.3)):
        write_agents(folder, used, more)
        sys.modules.pop("agents", None)
        (tmp_path / work).mkdir(exist_ok=True)
        (tmp_path / work / "snapshot.jsonl").write_bytes(canonical(records))
        return train_job(
            Silent(),
            agent=spec(class_),
            snapshot=str(tmp_path / work / "snapshot.jsonl"),
            work=str(tmp_path / work),
            champion=champion,
            parents={},
            seed=0,
            held_out_below=below[0],
            measured_below=below[1],
        )

    yield job
    sys.modules.pop("agents", None)


def spec(class_="Plain"):
    return {"name": "x", "class_": f"agents:{class_}", "target": "score", "scale": [0, 10], "inputs": ["a", "b"]}


def champion(tmp_path, class_="Plain"):
    return {"folder": str(tmp_path / "champion" / "model"), "number": "v1.0.0", "agent": spec(class_)}


def test_a_training_needs_no_database(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    (folder / "snapshot.jsonl").write_bytes(canonical(RECORDS))
    given = {"agent": spec(), "snapshot": "snapshot.jsonl", "work": ".", "champion": None, "parents": {}, "seed": 0}
    code = (
        "import sys, json\n"
        "for name in ('sqlalchemy', 'sqlite3', 'psycopg', 'pydantic', 'numpy', 'fsspec'): sys.modules[name] = None\n"
        "from overnight.training.job import train_job\n"
        "class Ctx:\n"
        "    def progress(self, *a, **k): pass\n"
        f"print(json.dumps(train_job(Ctx(), held_out_below=0.3, measured_below=0.3, **{given!r})))"
    )
    path = os.pathsep.join([str(folder), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["candidate"]["mean_absolute_error"] < 0.1


def test_items_are_held_out_and_measured_by_their_thresholds(job, tmp_path):
    measured = job(below=(0.4, 0.25))
    ids = [record["id"] for record in RECORDS]
    held_out, asked = (set(choose_held_out(ids, share=share).held_out) for share in (0.4, 0.25))
    assert set(read_scores(tmp_path / "work")["ids"]) == asked < held_out
    assert set(json.loads((tmp_path / "fleet" / "seen-Plain.json").read_text())) == set(ids) - held_out
    assert (measured["records"], measured["held_out"]) == (300 - len(held_out), len(asked))


def test_an_agent_that_remembers_targets_it_is_shown_gains_nothing(job):
    peeking = """
class Peeking(Plain):
    known = {}

    def evaluate(self, items):
        Peeking.known.update({item["id"]: item["score"] for item in items})
        return [0.0] * len(items)

    def predict(self, items):
        return [Peeking.known.get(item["id"], 0.0) for item in items]
"""
    assert job(class_="Peeking", more=peeking)["metrics"]["candidate"]["mean_absolute_error"] > 1


def test_the_champion_is_measured_on_the_same_items_and_the_files_of_a_cut_off_attempt_are_gone(job, tmp_path):
    job("champion")
    (tmp_path / "work" / "model").mkdir(parents=True)
    (tmp_path / "work" / "model" / "half").write_text("written")
    measured = job(used=CURVED, champion=champion(tmp_path))
    scores = read_scores(tmp_path / "work")
    assert scores["champion"] == read_scores(tmp_path / "champion")["candidate"]
    assert set(measured["metrics"]) == {"candidate", "champion", "baseline"} and measured["champion_unusable"] is None
    assert [path.name for path in (tmp_path / "work" / "model").iterdir()] == ["weights.json"]


def test_a_champion_whose_class_is_gone_is_left_out_with_the_reason(job, tmp_path):
    measured = job(champion=champion(tmp_path, "Gone"))
    assert measured["champion_unusable"].startswith("champion v1.0.0 can no longer be loaded: agents.x.class")
    assert "champion" not in measured["metrics"]


def test_a_champion_that_fails_is_named(job, tmp_path):
    job("champion")
    (tmp_path / "champion" / "model" / "weights.json").write_text("{}")
    with pytest.raises(
        PermanentError, match=r"^champion v1\.0\.0 of agent 'x' cannot be measured: KeyError: 'weights';"
    ):
        job(champion=champion(tmp_path))
    (tmp_path / "champion" / "model" / "weights.json").unlink()
    with pytest.raises(FileNotFoundError):
        job(champion=champion(tmp_path))


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        ("ValueError('two\\nlines')", PermanentError, "^ValueError: two lines$"),
        ("AssertionError()", PermanentError, "^AssertionError$"),
        ("KeyError(1)", PermanentError, "^KeyError: 1$"),
        ("OSError(28, 'No space left')", OSError, "No space left"),
        ("MemoryError()", MemoryError, "^$"),
        ("TransientError('the model server is away')", TransientError, "is away"),
    ],
)
def test_what_an_agent_raises_is_final_and_what_the_machine_does_is_not(job, error, kind, says):
    more = f"""
from overnight.base.errors import TransientError
class Failing(Plain):
    def train(self, data, ctx):
        raise {error}
"""
    with pytest.raises(kind, match=says):
        job(class_="Failing", more=more)


@pytest.mark.parametrize("method", ["predict", "save", "load"])
def test_an_agent_that_cannot_be_measured_or_kept_is_not_trained_at_all(job, tmp_path, method):
    with pytest.raises(ConfigError, match=rf"^agents\.x\.class: 'agents:Lacking' has no method {method}\("):
        job(class_="Lacking", more=f"\nclass Lacking(Plain):\n    {method} = None\n")
    assert not (tmp_path / "fleet" / "told.log").exists()


def test_too_few_records_are_not_measured(job):
    with pytest.raises(NotMeasured, match=r"agent 'x': 3 records are too few: \d to train on and \d to measure with"):
        job(records=RECORDS[:3])


def test_a_constant_prediction_has_no_rank_correlation(job):
    more = "\nclass Level(Plain):\n    def predict(self, items):\n        return [1] * len(items)\n"
    assert job(class_="Level", more=more)["metrics"]["candidate"]["spearman"] is None


def test_scores_that_are_gone_are_one_line(tmp_path):
    with pytest.raises(PermanentError, match=r"the scores of the training are gone from .*; train again"):
        read_scores(tmp_path)
