"""An agent may answer anything: what is not usable is refused in one line, and it sees only what it may."""

import json
import sys

import pytest

from overnight.base.errors import ConfigError, NotJson, NotMeasured, PermanentError, UserMistake
from overnight.training.agents import (
    TrainContext,
    evaluate_agent,
    exemplars_of,
    label_agent,
    load_class,
    predict_agent,
    rank_agent,
    train_agent,
)
from overnight.training.versions import ABOUT, AGENT, AgentSpec, Trained, context_of, save_version, train_version

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
        ("learners", "agents.mean.class: 'learners' is neither \"module:Class\" nor an entry point of the group"),
        (":Mean", 'is neither "module:Class" nor an entry point'),
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


def test_an_installed_package_can_offer_agents_by_name(learners, monkeypatch):
    from importlib.metadata import EntryPoint

    def entry_points(*, group, name):
        known = EntryPoint(name="averaging", group="overnight.agents", value="learners:Mean")
        return [known] if (group, name) == (known.group, known.name) else []

    monkeypatch.setattr("overnight.training.agents.entry_points", entry_points)
    assert load_class("mean", "averaging") is load_class("mean", "learners:Mean")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "must return a list of labels, not None"),
        (["a"], "returned 1 labels for 2 items"),
        (["a", None], "Labelling.predict returned None for item '1'; allowed are labels"),
        (["a", ["b"]], "for item '1'; allowed are labels"),
    ],
)
def test_unusable_labels_are_permanent(answer, says):
    class Labelling:
        def predict(self, items):
            return answer

    with pytest.raises(PermanentError, match=says):
        label_agent(Labelling(), RECORDS[:2])


def test_labels_are_texts_whatever_they_were():
    numpy = pytest.importorskip("numpy")

    class Labelling:
        def predict(self, items):
            return [numpy.int64(3), True, "a", numpy.str_("b")]

    assert label_agent(Labelling(), RECORDS[:4]) == ["3", "True", "a", "b"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ([[1.0, 2.0]], "returned 1 lists of scores for 2 items"),
        ([[1.0, 2.0], [1.0]], "returned 1 scores for 2 items"),
        ([[1.0, 2.0], 3.0], "must return a list of scores, not 3.0"),
        ([[1.0, 2.0], [1.0, float("nan")]], "returned nan for item '1'"),
    ],
)
def test_an_unusable_ranking_is_permanent(answer, says):
    class Ranking:
        def rank(self, queries, documents):
            return answer

    with pytest.raises(PermanentError, match=says):
        rank_agent(Ranking(), RECORDS[:2], ["one", "two"])


@pytest.mark.parametrize("answer", [None, [], [1], "records"])
def test_exemplars_are_records(answer):
    class Showing:
        def exemplars(self):
            return answer

    with pytest.raises(PermanentError, match=r"Showing\.exemplars must return a list of records"):
        exemplars_of(Showing())
    with pytest.raises(NotMeasured, match=r"Answering has no exemplars\(\)"):
        exemplars_of(Answering([]))


def version(folder, seen=("x1",)):
    """Make the folder of a version that has seen some items."""
    (folder / AGENT).mkdir(parents=True)
    about = {"spec": AgentSpec(name="other", class_="learners:Mean").to_dict(), "learnt": [], "seen": list(seen)}
    (folder / ABOUT).write_text(json.dumps(about))
    return folder


def train(tmp_path, spec=SPEC, **changes):
    arguments = {"held_out": ["3", "4"], "parents": {}, **changes}
    return train_version(spec, RECORDS, **arguments, context=context_of(spec, arguments["parents"], 7))


def test_a_training_never_sees_held_out_items_or_other_columns(learners, tmp_path):
    trained, report = train(tmp_path, parents={"other": version(tmp_path / "other")})
    shown = trained.agent.shown
    assert report.records == 18
    assert {record["id"] for record in shown} == {record["id"] for record in RECORDS} - {"3", "4"} == trained.learnt
    assert trained.seen == trained.learnt | {"x1"}, "what a parent has seen counts as seen"
    assert all(set(record) == {"id", "size", "score"} for record in shown)
    assert report.reported["metrics"] == {"seed": 7, "parents": ["other"]}


def test_without_inputs_an_agent_sees_all_but_the_target(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Mean", target="score")
    trained, _ = train(tmp_path, spec)
    assert set(trained.agent.shown[0]) == {"id", "size", "secret", "score"}
    assert set(trained.show(RECORDS)[0]) == {"id", "size", "secret"}


def test_the_records_of_a_limit_are_chosen_by_their_ids_alone(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Mean", target="score", inputs=("size",), records=5)
    chosen = train(tmp_path, spec)[0].learnt
    assert len(chosen) == 5 and not chosen & {"3", "4"}
    again, _ = train_version(spec, RECORDS[::-1], held_out=["3", "4"], parents={}, context=context_of(spec, {}, 7))
    assert again.learnt == chosen != {record["id"] for record in RECORDS[:5]}


def test_an_agent_cannot_change_the_records(learners, tmp_path):
    before = [dict(record) for record in RECORDS]
    trained, _ = train(tmp_path)
    evaluate_agent(trained.agent, trained.show(RECORDS, with_target=True))
    assert before == RECORDS


def test_a_saved_version_comes_back_with_what_it_is_and_has_seen(learners, tmp_path):
    trained, _ = train(tmp_path)
    assert save_version(trained, tmp_path / "version", {})
    found = Trained.load(tmp_path / "version")
    assert (found.spec, found.learnt, found.seen) == (SPEC, trained.learnt, trained.seen)
    mean = sum(n % 10 for n in range(20) if n not in (3, 4)) / 18
    assert found.output(RECORDS[3:5], unseen=False) == [mean, mean]


def test_the_predictions_of_a_parent_are_a_column_and_come_along_with_the_version(learners, tmp_path):
    parent, _ = train(tmp_path)
    save_version(parent, tmp_path / "parent", {})
    (tmp_path / "users.py").write_text(USER)
    spec = AgentSpec(name="user", class_="users:User", target="score", inputs=("size", "mean"), uses=("mean",))
    with pytest.raises(NotMeasured, match="no record is left to train on"):
        train(tmp_path, spec, parents={"mean": tmp_path / "parent"})
    few = AgentSpec(name="mean", class_="learners:Mean", target="score", inputs=("size",), records=4)
    parent, _ = train(tmp_path, few)
    save_version(parent, tmp_path / "parent", {})
    trained, report = train(tmp_path, spec, parents={"mean": tmp_path / "parent"})
    assert report.records == 14, "what the parent was trained on it cannot predict honestly"
    assert {record["mean"] for record in trained.agent.shown} == {parent.agent.mean}
    save_version(trained, tmp_path / "version", {"mean": tmp_path / "parent"})
    for path in (tmp_path / "parent").rglob("*.json"):
        path.unlink()
    alone = Trained.load(tmp_path / "version")
    assert alone.show(RECORDS[:1]) == [{"id": "0", "size": 0, "mean": parent.agent.mean}]
    with pytest.raises(NotMeasured, match="agent 'mean', which it comes after, has no version that serves"):
        train(tmp_path, spec)
    sys.modules.pop("users", None)


def test_a_parent_that_can_tell_what_it_would_have_said_unseen_is_asked_for_that(learners, tmp_path):
    (tmp_path / "users.py").write_text(USER)
    honest = AgentSpec(name="honest", class_="users:Honest", target="score", inputs=("size",))
    parent, _ = train(tmp_path, honest)
    save_version(parent, tmp_path / "parent", {})
    spec = AgentSpec(name="user", class_="users:User", target="score", inputs=("honest",), uses=("honest",))
    trained, report = train(tmp_path, spec, parents={"honest": tmp_path / "parent"})
    assert report.records == 18 and {record["honest"] for record in trained.agent.shown} == {-1.0}
    assert {item["honest"] for item in trained.show(RECORDS)} == {parent.agent.mean}
    sys.modules.pop("users", None)


USER = """
from learners import Mean

class User(Mean):
    pass

class Honest(Mean):
    def predict_unseen(self, items):
        return [-1.0 for item in items]
"""


def test_the_target_is_no_input(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Mean", target="score", scale=(0, 10), inputs=("size", "score"))
    with pytest.raises(UserMistake, match=r"agents\.mean\.inputs must not contain the target 'score'"):
        train(tmp_path, spec)


def test_nothing_to_train_on_is_not_measured(learners, tmp_path):
    with pytest.raises(NotMeasured, match="no record is left to train on beside 20 held-out ones"):
        train(tmp_path, held_out=[record["id"] for record in RECORDS])


def test_the_state_of_an_agent_that_cannot_be_saved_is_not_kept(learners, tmp_path):
    spec = AgentSpec(name="mean", class_="learners:Unsaved", target="score")
    trained, report = train(tmp_path, spec)
    assert report.records == 18
    assert not save_version(trained, tmp_path / "version", {}) and not (tmp_path / "version").exists()
