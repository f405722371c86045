"""An agent may answer anything: what is not usable is refused in one line, and it sees only what it may."""

import json
import sys
from pathlib import Path

import pytest

from overnight.base.errors import ConfigError, NotJson, NotMeasured, PermanentError, UserMistake
from overnight.training.agents import TrainContext, evaluate_agent, load_class, predict_agent, train_agent
from overnight.training.versions import AgentSpec, score_version, train_version

CONTEXT = TrainContext(seed=1, target="score", scale=(0.0, 10.0))
RECORDS = [{"id": str(n), "size": n, "secret": 10 * n, "score": n % 10} for n in range(20)]
SPEC = AgentSpec(name="mean", class_="learners:Mean", target="score", scale=(0, 10), inputs=("size",))

LEARNERS = '''
import json

class Mean:
    """Learns the mean, and writes down all that it was shown."""

    shown = None

    def train(self, data, ctx):
        self.mean = sum(record[ctx.target] for record in data) / len(data)
        self.shown = [dict(record) for record in data]
        for record in data:
            record.clear()
        return {"status": "completed", "metrics": {"seed": ctx.seed, "parents": sorted(ctx.parents)}}

    def evaluate(self, items):
        return [-abs(item.pop("score") - self.mean) for item in items]

    def predict(self, items):
        assert all("score" not in item for item in items)
        return [self.mean for item in items]

    def save(self, folder):
        (folder / "mean.json").write_text(json.dumps({"mean": self.mean, "shown": self.shown}))

    def load(self, folder):
        self.mean = json.loads((folder / "mean.json").read_text())["mean"]

class Unsaved:
    def train(self, data):
        return {"status": "completed"}

class Untrained:
    pass

def function(data):
    pass
'''


@pytest.fixture
def learners(tmp_path, monkeypatch):
    (tmp_path / "learners.py").write_text(LEARNERS)
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("learners", None)


class Answering:
    """Answers what the test wants."""

    def __init__(self, answer):
        self.answer = answer

    def train(self, data):
        return self.answer

    def evaluate(self, items):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "Answering.train must return a dict with a status, not None"),
        ([1], r"must return a dict with a status, not \[1\]"),
        ({}, "must return a dict with a text as status, not None"),
        ({"status": 1}, "must return a dict with a text as status, not 1"),
        ({"status": "failed", "error": "no data"}, "Answering.train says 'failed': 'no data'"),
        ({"status": "error"}, "says 'error': 'no reason given'"),
    ],
)
def test_an_unusable_answer_of_train_is_permanent(answer, says):
    with pytest.raises(PermanentError, match=says):
        train_agent(Answering(answer), RECORDS, CONTEXT)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {1, 2}])
def test_a_report_that_is_not_json_is_refused(bad):
    with pytest.raises(NotJson, match=r"what Answering\.train returned is not JSON"):
        train_agent(Answering({"status": "completed", "metrics": {"loss": bad}}), RECORDS, CONTEXT)


def test_what_the_agent_says_is_kept_as_reported():
    answer = {"status": "completed", "quality_improvement": 99, "model_updated": True}
    report = train_agent(Answering(answer), RECORDS, CONTEXT)
    assert (report.records, report.status, report.reported) == (20, "completed", answer)


def test_what_train_raises_passes_through():
    class Raising:
        def train(self, data, ctx):
            raise ConnectionError("try again")

    with pytest.raises(ConnectionError, match="try again"):
        train_agent(Raising(), RECORDS, CONTEXT)


def test_sys_exit_in_a_learner_is_a_failure():
    class Leaving:
        def train(self, data):
            sys.exit(0)

    with pytest.raises(PermanentError, match=r"Leaving\.train called sys\.exit\(0\)"):
        train_agent(Leaving(), RECORDS, CONTEXT)


def test_the_context_is_given_to_those_who_take_it():
    class Any:
        def train(self, *arguments):
            return {"status": "completed", "got": len(arguments)}

    class Keyword:
        def train(self, data, *, verbose=False):
            return {"status": "completed", "got": 1}

    assert train_agent(Any(), RECORDS, CONTEXT).reported["got"] == 2
    assert train_agent(Keyword(), RECORDS, CONTEXT).reported["got"] == 1


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "Answering.evaluate must return a list of numbers, not None"),
        (0.5, "must return a list of numbers, not 0.5"),
        ("12", "must return a list of numbers, not '12'"),
        ({0: 1.0, 1: 2.0}, "must return a list of numbers"),
        ([1.0], "returned 1 numbers for 2 items"),
        ([1.0, 2.0, 3.0], "returned 3 numbers for 2 items"),
        ([1.0, float("nan")], "returned nan for item '1'; allowed are finite numbers"),
        ([float("-inf"), 1.0], "returned -inf for item '0'"),
        ([1.0, None], "returned None for item '1'"),
        ([1.0, "2"], "returned '2' for item '1'"),
        ([True, 1.0], "returned True for item '0'"),
        ([10**400, 1.0], "for item '0'; allowed are finite numbers"),
    ],
)
def test_unusable_scores_are_permanent(answer, says):
    with pytest.raises(PermanentError, match=says) as refused:
        evaluate_agent(Answering(answer), RECORDS[:2])
    assert len(str(refused.value)) < 300


def test_scores_of_any_sequence_of_numbers_become_floats():
    numpy = pytest.importorskip("numpy")
    assert evaluate_agent(Answering(numpy.array([1, 2])), RECORDS[:2]) == [1.0, 2.0]
    assert evaluate_agent(Answering(iter((1, -2.5))), RECORDS[:2]) == [1.0, -2.5]


def test_an_agent_without_evaluate_is_not_measured():
    with pytest.raises(NotMeasured, match=r"Answering has no predict\(items\)"):
        predict_agent(Answering([]), [])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("learners", "agents.mean.class: 'learners' is not \"module:Class\""),
        (":Mean", 'is not "module:Class"'),
        ("no_such_module:Mean", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("broken:Mean", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("learners:Median", "cannot be imported: AttributeError"),
        ("learners:function", "is not a class"),
        ("learners:Untrained", "has no method train(data)"),
    ],
)
def test_a_class_that_cannot_learn_is_refused(learners, spec, says):
    with pytest.raises(ConfigError) as refused:
        load_class("mean", spec)
    assert says in str(refused.value)


def train(tmp_path, **changes):
    arguments = {"held_out": ["3", "4"], "folder": tmp_path / "version", "seed": 7, "parents": {"other": Path("x")}}
    return train_version(SPEC, RECORDS, **{**arguments, **changes})


def test_a_training_never_sees_held_out_items_or_other_columns(learners, tmp_path):
    report = train(tmp_path)
    shown = json.loads((tmp_path / "version" / "mean.json").read_text())["shown"]
    assert report.records == 18
    assert {record["id"] for record in shown} == {record["id"] for record in RECORDS} - {"3", "4"}
    assert all(set(record) == {"id", "size", "score"} for record in shown)
    assert report.reported["metrics"] == {"seed": 7, "parents": ["other"]}


def test_an_agent_cannot_change_the_records(learners, tmp_path):
    before = [dict(record) for record in RECORDS]
    train(tmp_path)
    score_version(SPEC, tmp_path / "version", RECORDS)
    assert before == RECORDS


def test_a_saved_version_scores_held_out_items(learners, tmp_path):
    train(tmp_path)
    found = score_version(SPEC, tmp_path / "version", RECORDS[3:5])
    mean = sum(n % 10 for n in range(20) if n not in (3, 4)) / 18
    assert found.ids == ("3", "4")
    assert found.predictions == (mean, mean)
    assert found.scores == (-abs(3 - mean), -abs(4 - mean))


def test_a_version_without_predict_has_no_predictions(learners, tmp_path, monkeypatch):
    train(tmp_path)
    monkeypatch.delattr(sys.modules["learners"].Mean, "predict")
    assert score_version(SPEC, tmp_path / "version", RECORDS[3:5]).predictions is None


def test_the_target_is_no_input(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Mean", target="score", scale=(0, 10), inputs=("size", "score"))
    with pytest.raises(UserMistake, match=r"agents\.mean\.inputs must not contain the target 'score'"):
        train_version(spec, RECORDS, held_out=(), folder=tmp_path, seed=1, parents={})


def test_nothing_to_train_on_is_not_measured(learners, tmp_path):
    with pytest.raises(NotMeasured, match="no record is left to train on beside 20 held-out ones"):
        train(tmp_path, held_out=[record["id"] for record in RECORDS])


def test_an_agent_that_cannot_be_saved_is_refused_before_it_is_trained(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Unsaved", target="score", scale=(0, 10), inputs=())
    with pytest.raises(ConfigError, match=r"agents\.mean\.class: 'learners:Unsaved' has no method save\(folder\)"):
        train_version(spec, RECORDS, held_out=(), folder=tmp_path / "version", seed=1, parents={})
    assert not (tmp_path / "version").exists()
