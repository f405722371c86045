"""The example's agents learn from real films what the naive baseline does not know, and nothing that they must not."""

import copy
import shutil
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from random import Random

import pytest

import overnight
from overnight.base.config import SourceSettings
from overnight.base.errors import NotMeasured
from overnight.data.records import Origin, flat, record_of
from overnight.data.snapshots import Reason, validate
from overnight.data.sources.local import read_local
from overnight.proof.baselines import Kind, fit_baseline
from overnight.proof.gate import Decision, judge
from overnight.proof.splits import choose_held_out, position
from overnight.training.versions import AgentSpec, score_version, train_version

EXAMPLE = Path(overnight.__file__).parent / "examples" / "music_video"
MANY, FEW = 2000, 150

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, ("sklearn", "skops", "bokeh_sampledata"))), reason="needs the extras ml and demo"
)


@pytest.fixture(scope="module")
def settings():
    return tomllib.loads((EXAMPLE / "overnight.toml").read_text())


@pytest.fixture(scope="module")
def films(settings):
    source = SourceSettings(**settings["sources"]["films"])
    origin = Origin(source="films", platform="films", harvested_at="")
    rows = read_local("films", source, EXAMPLE, variables={})
    records = ({**dict.fromkeys(one.row), **flat(record_of(one.row, origin))} for one in rows)
    return sorted(records, key=lambda film: position(film["id"], salt="test"))


@pytest.fixture(scope="module", autouse=True)
def agents():
    """Put the example's folder where a project's folder is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        patch.delitem(sys.modules, "agents", raising=False)
        import agents

        yield agents
        patch.delitem(sys.modules, "agents")


@pytest.fixture(scope="module")
def spec_of(settings):
    def spec_of(name):
        agent = settings["agents"][name]
        return AgentSpec(
            name=name,
            class_=agent["class"],
            target=agent["target"],
            scale=tuple(agent["scale"]),
            inputs=tuple(agent["inputs"]),
        )

    return spec_of


class Trained:
    """A critic and a metacritic of the same films, and what they did on held-out ones."""

    def __init__(self, folder, films, spec_of):
        self.folder, self.held_out = folder, choose_held_out([film["id"] for film in films]).held_out
        self.items, self.training, self.scores, self.reports = {}, {}, {}, {}
        for name in ("critic", "metacritic"):
            spec = spec_of(name)
            records = validate(films, target=spec.target, scale=spec.scale).kept
            self.items[name] = [film for film in records if film["id"] in self.held_out]
            self.training[name] = [film for film in records if film["id"] not in self.held_out]
            self.reports[name] = train_version(
                spec,
                records,
                held_out=self.held_out,
                folder=folder / name,
                seed=7,
                parents={"critic": folder / "critic"},
            )
            self.scores[name] = score_version(spec, folder / name, self.items[name])


@pytest.fixture(scope="module")
def trained(tmp_path_factory, films, spec_of):
    return Trained(tmp_path_factory.mktemp("versions"), films[:MANY], spec_of)


def baseline_scores(spec, training, items):
    guesses = fit_baseline(training, spec.target, spec.inputs, Kind.REGRESSION).predict(items)
    return [-abs(item[spec.target] - guess) for item, guess in zip(items, guesses, strict=True)]


def train_critic(spec_of, films, folder, *, held_out=(), seed=7):
    spec = spec_of("critic")
    records = validate(films, target=spec.target, scale=spec.scale).kept
    return train_version(spec, records, held_out=held_out, folder=folder, seed=seed, parents={})


def error(scores):
    return -sum(scores) / len(scores)


def test_all_films_have_an_id_and_few_lack_a_rating(films):
    assert len(films) == 17_472
    assert validate(films, target="rating", scale=(0, 10)).counts == {Reason.NO_TARGET: 342}
    assert len(validate(films, target="metacritic", scale=(0, 100)).kept) == 6_811


@pytest.mark.parametrize("name", ["critic", "metacritic"])
def test_an_agent_is_better_than_the_naive_baseline(name, trained, spec_of):
    naive = baseline_scores(spec_of(name), trained.training[name], trained.items[name])
    verdict = judge(trained.scores[name].scores, naive)
    assert verdict.decision is Decision.ACCEPT, verdict.reason
    assert error(trained.scores[name].scores) < 0.95 * error(naive)


@pytest.mark.parametrize("name", ["critic", "metacritic"])
def test_scores_are_minus_the_absolute_errors_of_predictions_on_the_scale(name, trained, spec_of):
    found, (low, high) = trained.scores[name], spec_of(name).scale
    assert all(low <= value <= high for value in found.predictions)
    truths = [item[spec_of(name).target] for item in trained.items[name]]
    assert list(found.scores) == [-abs(a - b) for a, b in zip(truths, found.predictions, strict=True)]


def test_the_critics_own_estimate_is_near_its_error_on_held_out_films(trained):
    claimed = trained.reports["critic"].reported["metrics"]["out_of_fold_error"]
    assert claimed == pytest.approx(error(trained.scores["critic"].scores), rel=0.1)


@pytest.mark.parametrize("name", ["critic", "metacritic"])
def test_a_saved_agent_predicts_the_same_as_the_one_in_memory(name, agents, trained, tmp_path):
    agent = {"critic": agents.Critic, "metacritic": agents.Metacritic}[name]()
    agent.load(trained.folder / name)
    before = agent.predict(trained.items[name])
    agent.save(tmp_path / "again")
    again = type(agent)()
    again.load(tmp_path / "again")
    assert again.predict(trained.items[name]) == before == list(trained.scores[name].predictions)


def test_the_metacritic_stands_without_the_critics_version(trained, spec_of, tmp_path):
    shutil.copytree(trained.folder / "metacritic", tmp_path / "alone")
    found = score_version(spec_of("metacritic"), tmp_path / "alone", trained.items["metacritic"])
    assert found == trained.scores["metacritic"]


def test_the_critics_prediction_is_used_and_never_that_of_a_model_that_knew_the_film(agents, trained):
    agent = agents.Metacritic()
    agent.load(trained.folder / "metacritic")
    films = trained.training["metacritic"][:50]
    fitted, unseen = agent.critic.predict(films), agent.critic.predict_unseen(films)
    assert agent.features(films).numbers[:, -1].tolist() == unseen
    assert all(a != b for a, b in zip(fitted, unseen, strict=True))
    held_out = trained.items["metacritic"]
    assert agent.critic.predict_unseen(held_out) == agent.critic.predict(held_out)
    assert not {film["id"] for film in held_out} & set(agent.critic.unseen)


def test_with_shuffled_targets_nothing_is_left_to_learn(trained, films, spec_of, tmp_path):
    shuffled = [dict(film) for film in films[:MANY] if film["rating"] is not None]
    ratings = [film["rating"] for film in shuffled]
    Random(1).shuffle(ratings)
    for film, rating in zip(shuffled, ratings, strict=True):
        film["rating"] = rating
    train_critic(spec_of, shuffled, tmp_path, held_out=trained.held_out)
    found = score_version(spec_of("critic"), tmp_path, trained.items["critic"])
    naive = baseline_scores(spec_of("critic"), trained.training["critic"], trained.items["critic"])
    mean = sum(ratings) / len(ratings)
    assert error(found.scores) > 0.97 * error([-abs(film["rating"] - mean) for film in trained.items["critic"]])
    assert judge(found.scores, naive).decision is Decision.REJECT


class Few:
    """Few films, a fifth of them held out, and a critic that was trained on the others."""

    def __init__(self, folder, films, spec_of):
        self.films = [film for film in films if film["rating"] is not None][:FEW]
        self.held_out, self.spec_of = [film["id"] for film in self.films[::5]], spec_of
        self.report, self.scores = self.train(self.films, folder)
        self.folder = folder

    def train(self, films, folder, **changes):
        report = train_critic(self.spec_of, films, folder, held_out=self.held_out, **changes)
        return report, score_version(self.spec_of("critic"), folder, self.films)


@pytest.fixture(scope="module")
def few(tmp_path_factory, films, spec_of):
    return Few(tmp_path_factory.mktemp("few"), films, spec_of)


def test_the_same_films_and_seed_give_the_same_agent_in_any_order(few, tmp_path):
    assert few.train(few.films[::-1], tmp_path) == (few.report, few.scores)


def test_another_seed_gives_another_agent(few, tmp_path):
    assert few.train(few.films, tmp_path, seed=8)[1].predictions != few.scores.predictions


def test_poisoned_held_out_films_and_other_columns_change_nothing(few, tmp_path):
    poisoned = [{**film, "metacritic": film["rating"] * 10, "answer": film["rating"]} for film in few.films]
    for film in poisoned[::5]:
        film |= {"rating": 10.0, "genre": "Poison", "director": poisoned[1]["director"], "cast": poisoned[2]["cast"]}
    assert few.train(poisoned, tmp_path) == (few.report, few.scores)


def test_the_same_change_in_the_training_part_is_noticed(few, tmp_path):
    poisoned = copy.deepcopy(few.films)
    poisoned[1]["rating"] = 10.0
    assert few.train(poisoned, tmp_path)[0] != few.report


def test_a_model_file_with_a_foreign_type_is_refused(agents, trained, tmp_path):
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    shutil.copytree(trained.folder / "critic", tmp_path / "critic")
    (tmp_path / "critic" / "trees.skops").write_bytes(skops.io.dumps({"plain": shutil.rmtree, "joined": None}))
    with pytest.raises(UntrustedTypesFoundException, match="shutil"):
        agents.Critic().load(tmp_path / "critic")


def test_too_few_films_are_not_measured(few, spec_of, tmp_path):
    with pytest.raises(NotMeasured, match="39 films are too few to learn from, at least 40 are needed"):
        train_critic(spec_of, few.films[:39], tmp_path)


def test_films_of_unknown_people_and_runtime_can_be_learnt_from(few, tmp_path):
    bare = [{"id": film["id"], "rating": film["rating"], "genre": film["genre"]} for film in few.films[:50]]
    report = train_critic(few.spec_of, bare, tmp_path)
    assert report.records == 50


def test_films_without_any_people_are_predicted_too(few, spec_of):
    bare = [{"id": "x", "rating": 5.0}, {"id": "y", "rating": 5.0, "genre": "", "cast": "", "runtime": None}]
    found = score_version(spec_of("critic"), few.folder, bare)
    assert all(0 < value < 10 for value in found.predictions)
    assert score_version(spec_of("critic"), few.folder, []).scores == ()
