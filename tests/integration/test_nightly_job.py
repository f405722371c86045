"""A training works from files alone: it opens no database, and an agent sees no target of what it is measured on."""

import json
import os
import subprocess
import sys

import pytest

from nightly_fleet import CURVED, PLANE, make_fleet, write_agents
from overnight.base.errors import NotMeasured, PermanentError, TransientError
from overnight.data.snapshots import canonical
from overnight.proof.splits import choose_held_out
from overnight.training.job import HELD_OUT, SNAPSHOT, VERSION, read_answers, train_job

RECORDS = [
    {"id": f"n{n}", "a": n % 17 / 17, "b": n % 5 / 5, "score": n % 17 / 4 + n % 5, "other": n} for n in range(300)
]


class Silent:
    """A run that nobody watches."""

    def progress(self, done, total=None, **figures):
        assert 0 <= done <= total

    def received(self):
        return None


@pytest.fixture
def job(tmp_path, monkeypatch):
    folder = make_fleet(tmp_path / "fleet")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    # Two versions of this file may be written within the same second and have the same size.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def job(work="work", *, records=RECORDS, class_="Plain", more="", used=PLANE, champion=None, share=0.3, **changes):
        write_agents(folder, used, more)
        sys.modules.pop("agents", None)
        lay_out(tmp_path / work, records, share)
        given = {"agent": {**spec(class_), **changes}, "work": str(tmp_path / work), "champion": champion}
        return train_job(Silent(), **given, parents={}, seed=0)

    yield job
    sys.modules.pop("agents", None)


def lay_out(work, records=RECORDS, share=0.3):
    work.mkdir(exist_ok=True)
    (work / SNAPSHOT).write_bytes(canonical(records))
    held_out = choose_held_out([record["id"] for record in records], share=share).held_out
    (work / HELD_OUT).write_text(json.dumps(held_out))


def spec(class_="Plain"):
    return {"name": "x", "class_": f"agents:{class_}", "target": "score", "scale": [0, 10], "inputs": ["a", "b"]}


def champion(tmp_path):
    return {"folder": str(tmp_path / "champion" / VERSION), "number": "v1.0.0"}


def test_a_training_needs_no_database(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    lay_out(folder)
    given = {"agent": spec(), "work": ".", "champion": None, "parents": {}, "seed": 0}
    code = (
        "import sys, json\n"
        "for name in ('sqlalchemy', 'sqlite3', 'psycopg', 'pydantic', 'numpy', 'fsspec'): sys.modules[name] = None\n"
        "from overnight.training.job import train_job\n"
        "class Ctx:\n"
        "    def progress(self, *a, **k): pass\n"
        "    def received(self): pass\n"
        f"print(json.dumps(train_job(Ctx(), **{given!r})))"
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
    assert -0.1 < json.loads(done.stdout)["measured"]["candidate"]["value"] < 0


def test_measured_is_what_is_held_out_and_what_the_champion_has_not_seen(job, tmp_path):
    ids = [record["id"] for record in RECORDS]
    wide, narrow = (set(choose_held_out(ids, share=share).held_out) for share in (0.4, 0.2))
    job("champion", share=0.2)
    measured = job(share=0.4, champion=champion(tmp_path))
    assert set(read_answers(tmp_path / "work")["ids"]) == narrow < wide
    assert set(json.loads((tmp_path / "fleet" / "seen-Plain.json").read_text())) == set(ids) - wide
    assert (measured["records"], measured["held_out"]) == (300 - len(wide), len(narrow))


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
    assert job(class_="Peeking", more=peeking)["measured"]["candidate"]["value"] < -1


def test_the_champion_is_measured_on_the_same_items_and_the_files_of_a_cut_off_attempt_are_gone(job, tmp_path):
    job("champion")
    (tmp_path / "work" / VERSION / "agent").mkdir(parents=True)
    (tmp_path / "work" / VERSION / "agent" / "half").write_text("written")
    measured = job(used=CURVED, champion=champion(tmp_path))
    answers = read_answers(tmp_path / "work")["answers"]
    assert answers["champion"] == read_answers(tmp_path / "champion")["answers"]["candidate"]
    assert set(measured["measured"]) == {"candidate", "champion", "baseline"} and measured["unusable"] is None
    assert [path.name for path in (tmp_path / "work" / VERSION / "agent").iterdir()] == ["weights.json"]


def test_a_champion_whose_class_is_gone_is_left_out_with_the_reason(job, tmp_path):
    job("champion", class_="Gone", more="\nclass Gone(Plain):\n    pass\n")
    measured = job(champion=champion(tmp_path))
    assert measured["unusable"].startswith("champion v1.0.0 can no longer be loaded: agents.x.class")
    assert "champion" not in measured["measured"]


def test_a_champion_that_fails_is_named(job, tmp_path):
    job("champion")
    (tmp_path / "champion" / VERSION / "agent" / "weights.json").write_text("{}")
    with pytest.raises(
        PermanentError, match=r"^version v1\.0\.0 of agent 'x' cannot be measured: KeyError: 'weights';"
    ):
        job(champion=champion(tmp_path))
    (tmp_path / "champion" / VERSION / "agent" / "weights.json").unlink()
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


def test_an_agent_without_save_is_trained_and_measured_as_it_stands(job, tmp_path):
    measured = job(class_="Lacking", more="\nclass Lacking(Plain):\n    save = None\n")
    assert (measured["kept"], measured["metric"]) == (None, "absolute_error")
    assert not (tmp_path / "work" / VERSION).exists()


def test_what_was_saved_is_measured_not_what_was_trained(job):
    more = """
class Forgetting(Plain):
    def save(self, folder):
        self.weights = [0.0 for _ in self.weights]
        super().save(folder)
"""
    assert job(class_="Forgetting", more=more)["measured"]["candidate"]["value"] < -3


SCORING = """
class Scoring:
    def train(self, data):
        self.known = len(data)
        return {"status": "completed", "quality_improvement": 99}

    def evaluate(self, items):
        return [min(1.0, self.known / 1000) for item in items]
"""


def test_an_agent_with_evaluate_alone_is_measured_by_its_own_score_beside_one_that_learnt_nothing(job):
    measured = job(class_="Scoring", more=SCORING, target=None, inputs=[], scale=None)
    assert (measured["metric"], measured["best"]) == ("score", 1.0)
    assert measured["baseline"] == "the agent trained on shuffled columns"
    assert measured["measured"]["candidate"]["value"] == measured["measured"]["baseline"]["value"]
    learning = """
class Learning:
    def train(self, data):
        self.slope = sum(r["b"] * r["score"] for r in data) / sum(r["b"] ** 2 for r in data)
        return {"status": "completed"}

    def evaluate(self, items):
        return [-abs(r["score"] - self.slope * r["b"]) for r in items]
"""
    found = job(class_="Learning", more=learning, inputs=[], target=None, scale=None)["measured"]
    assert found["baseline"]["value"] < found["candidate"]["value"] < 0
    check = "assert all(r['b'] == int(r['id'][1:]) % 5 / 5 for r in data)"
    picky = learning.replace("        self.slope", f"        {check}\n        self.slope", 1)
    found = job(class_="Learning", more=picky, inputs=[], target=None, scale=None)
    assert list(found["measured"]) == ["candidate"] and found["baseline"] is None, "nonsense is no reason to fail"


@pytest.mark.parametrize(("scores", "best"), [("[0.5]", 1.0), ("[-3.0]", 0.0), ("[30.0]", None)])
def test_the_best_value_of_an_own_score_follows_from_its_range_or_is_not_known(job, scores, best):
    more = SCORING.replace("[min(1.0, self.known / 1000) for item in items]", f"{scores} * len(items)")
    assert job(class_="Scoring", more=more, target=None, inputs=[], scale=None)["best"] == best
    assert job(class_="Scoring", more=more, target=None, inputs=[], scale=None, best=50.0)["best"] == 50.0


def test_an_agent_with_train_alone_is_trained_and_not_measured(job):
    more = "\nclass Alone:\n    def train(self, data):\n        return {'status': 'completed', 'accuracy': 1.0}\n"
    measured = job(class_="Alone", more=more)
    assert (measured["metric"], measured["measured"], measured["held_out"]) == (None, {}, 0)
    assert measured["reported"] == {"status": "completed", "accuracy": 1.0}


def test_too_few_records_are_not_measured(job):
    with pytest.raises(NotMeasured, match=r"agent 'x': 3 records are too few: \d to train on and \d to measure with"):
        job(records=RECORDS[:3])


def test_a_constant_prediction_has_no_rank_correlation(job):
    more = "\nclass Level(Plain):\n    def predict(self, items):\n        return [1] * len(items)\n"
    assert job(class_="Level", more=more)["measured"]["candidate"]["spearman"] is None


def test_answers_that_are_gone_are_one_line(tmp_path):
    with pytest.raises(PermanentError, match=r"the answers of the training are gone from .*; train again"):
        read_answers(tmp_path)
