"""Each built-in learner beats the naive baseline on real records that it never saw, and nothing else does."""

import json
import subprocess
import sys
from functools import cache
from random import Random

import pytest

from films import agent, rows_of, with_target
from overnight.base.errors import ConfigError, NotMeasured
from overnight.proof.metrics import judge_answers, measure
from overnight.proof.splits import choose_held_out
from overnight.training.agents import load_class, train_agent
from overnight.training.measuring import answers_of, groups_of, metric_of, rival_of, truths_of
from overnight.training.trainers.features import TEXT_WEIGHT, Features, Texts
from overnight.training.trainers.nearest import Nearest, random_exemplars, similarities
from overnight.training.tuning.space import space_of
from overnight.training.versions import AgentSpec, context_of, save_version, train_version

pytest.importorskip("sklearn")
LEARNERS = (
    "trend_detective",
    "audio_curator",
    "screenplay_generator",
    "influencer_matcher",
    "distribution_metadata",
    "sound_designer",
    "master_distributor",
)
"""The example's agents with a built-in learner and real records; their numbers of training records are small."""


def spec_of(name: str, **changes: object) -> AgentSpec:
    table = {
        key: value for key, value in agent(name).items() if key not in ("data", "after", "quality_target", "class")
    }
    table["inputs"] = [column for column in table["inputs"] if column != "trend_detective"]
    return AgentSpec.from_dict({"name": name, "class_": agent(name)["class"], **table, **changes})


def records_of(name: str) -> list[dict]:
    return with_target(agent(name)["data"], agent(name)["target"])


def fitted(name, records, held_out, **changes):
    spec = spec_of(name, **changes)
    return train_version(spec, records, held_out=held_out, parents={}, context=context_of(spec, {}, 0))[0]


def compared(name, records, **changes):
    """Train on what is not held out and return the gate's verdict against the naive baseline, and both values."""
    held_out = frozenset(choose_held_out([one["id"] for one in records], share=0.2, minimum=200).held_out)
    trained = fitted(name, records, held_out, **changes)
    training = [one for one in records if one["id"] in trained.learnt]
    items = [one for one in records if one["id"] in held_out]
    metric = metric_of(trained, training)
    ours = answers_of(trained, metric, items)
    rival = rival_of(trained, metric, training, items, lambda rows: None)
    truths, groups = truths_of(trained, metric, items), groups_of(trained, items)
    verdict = judge_answers(metric, truths, ours, rival.answers, groups=groups, random=Random(0))
    return verdict, measure(metric, truths, ours, groups), measure(metric, truths, rival.answers, groups)


@cache
def honest_of(name):
    """Return what the example's agent comes to on its own inputs."""
    return compared(name, records_of(name))


@pytest.mark.no_cover
@pytest.mark.parametrize("name", LEARNERS)
def test_few_records_are_enough_to_beat_the_naive_baseline(name):
    verdict, ours, naive = honest_of(name)
    assert verdict.decision == "ACCEPT" and ours > naive
    assert agent(name)["records"] <= 100


def some_of(name, seed):
    """Return 1,000 of an agent's records: 200 and more are held out, and what learns from 50 to 100 learns the same."""
    records = records_of(name)
    return Random(seed).sample(records, min(1000, len(records)))


@pytest.mark.no_cover
@pytest.mark.parametrize("name", LEARNERS)
def test_with_shuffled_targets_nothing_is_learnt(name):
    """The right answers are dealt out at random, so that what is left to gain is chance."""
    target = agent(name)["target"]
    accepted = 0
    for seed in range(3):
        records = some_of(name, seed)
        values = Random(seed).sample([one[target] for one in records], len(records))
        dealt = [{**one, target: value} for one, value in zip(records, values, strict=True)]
        verdict, _, _ = compared(name, dealt)
        accepted += verdict.decision == "ACCEPT"
    assert accepted <= 1


def told(name, record):
    """Return a column that the target could be computed from."""
    value = record[agent(name)["target"]]
    return value if isinstance(value, str) else 2 * value + 1


@pytest.mark.no_cover
@pytest.mark.parametrize("name", LEARNERS)
def test_what_the_target_is_made_of_is_what_makes_it_easy(name):
    """With a source of the target among the inputs each learner is nearly perfect; without it, it is honest again."""
    records = [{**one, "source_field": told(name, one)} for one in records_of(name)]
    inputs = spec_of(name).inputs
    _, easy, _ = compared(name, records, inputs=[*inputs, "source_field"])
    _, honest, naive = honest_of(name)
    assert easy > honest + 0.05 and easy > 0.7
    assert naive < honest < 0.9


def test_chosen_exemplars_beat_random_ones_over_20_seeds():
    records = records_of("screenplay_generator")
    held_out = frozenset(choose_held_out([one["id"] for one in records], share=0.2, minimum=200).held_out)
    trained = fitted("screenplay_generator", records, held_out)
    items = [one for one in records if one["id"] in held_out]
    training = [one for one in records if one["id"] in trained.learnt]
    nearest = Nearest(items, trained.spec.inputs, "language")

    def accuracy(exemplars):
        labels = nearest.labels(exemplars)
        return sum(label == item["language"] for label, item in zip(labels, items, strict=True)) / len(items)

    chosen = accuracy(trained.agent.exemplars())
    by_chance = [accuracy(random_exemplars(training, "language", 3, seed)) for seed in range(20)]
    assert chosen > sum(by_chance) / 20
    assert sum(chosen > one for one in by_chance) >= 15


ELSEWHERE = """
import json, sys
from pathlib import Path
from overnight.proof.metrics import metric_named
from overnight.training.measuring import answers_of
from overnight.training.versions import Trained
for name, (metric, items) in json.loads(Path("asked.json").read_text()).items():
    print(name, json.dumps(answers_of(Trained.load(Path(name)), metric_named(metric), items)))
"""


def test_saved_learners_answer_the_same_in_another_process_whatever_the_order_of_their_records(tmp_path):
    said, asked = {}, {}
    for name in LEARNERS:
        records = sorted(records_of(name), key=lambda one: one["id"])[:400]
        items = records[:20]
        one, other = (fitted(name, some, {item["id"] for item in items}) for some in (records, records[::-1]))
        metric = metric_of(one, records)
        said[name] = answers_of(one, metric, items)
        assert answers_of(other, metric, items) == said[name], name
        assert save_version(one, tmp_path / name, {})
        asked[name] = (metric.name, items)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    assert {name: json.loads(answers) for name, answers in lines} == said


@pytest.mark.needs_data
def test_prompts_are_found_by_their_role(test_data):
    import csv

    with (test_data / "media" / "prompts_cc0.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    records = [{"id": str(place), "title": row["act"], "text": row["prompt"]} for place, row in enumerate(rows)]
    verdict, ours, naive = compared("prompt_refiner", records)
    assert verdict.decision == "ACCEPT" and ours > naive + 0.05


TRAININGS = [
    {
        "id": f"training-{n}",
        "agent": f"a{n % 3}",
        "learner": "x:Y",
        "records": 50 + 10 * (n % 7),
        "improvement": 5.0 * (n % 3) + (n % 7),
    }
    for n in range(80)
]


def test_the_meta_learner_learns_which_trainings_pay_off_and_ranks_options():
    spec = AgentSpec(
        name="meta",
        class_="overnight.training.trainers.meta:MetaLearner",
        target="improvement",
        inputs=("agent", "learner", "records"),
    )
    held_out = {f"training-{n}" for n in range(0, 80, 4)}
    trained, _ = train_version(spec, TRAININGS, held_out=held_out, parents={}, context=context_of(spec, {}, 0))
    items = [one for one in TRAININGS if one["id"] in held_out]
    errors = [abs(a - item["improvement"]) for a, item in zip(trained.output(items, unseen=False), items, strict=True)]
    assert sum(errors) / len(errors) < 1
    options = [{"agent": "a0", "records": 50}, {"agent": "a2", "records": 110}]
    best, worst = trained.agent.act({"options": options})["ranked"]
    assert (best["agent"], worst["agent"]) == ("a2", "a0")
    assert best["expected_improvement"] > worst["expected_improvement"]


def learner(name):
    return load_class("x", agent(name)["class"])()


@pytest.mark.parametrize("name", LEARNERS)
def test_too_little_to_learn_from_is_one_line(name):
    spec = spec_of(name)
    context = context_of(spec, {}, 0)
    records = records_of(name)
    with pytest.raises(NotMeasured, match=r"^9 records are too few to learn from, at least 10 are needed$"):
        train_agent(learner(name), records[:9], context)
    same = [{**one, spec.target: records[0][spec.target]} for one in records[:30]]
    with pytest.raises(NotMeasured, match=rf"^every record has the same '{spec.target}'; there is nothing to "):
        train_agent(learner(name), same, context)
    for settings, says in (
        ({"stength": 1}, r"settings: there is no 'stength'"),
        *(
            [({"per_class": 0}, "0 is not a number above 0"), ({"per_class": 2.5}, "2.5 is not a whole number")]
            if name == "screenplay_generator"
            else []
        ),
    ):
        wrong = context_of(spec_of(name, settings=settings), {}, 0)
        with pytest.raises(ConfigError, match=says):
            train_agent(learner(name), records[:30], wrong)
    with pytest.raises(ConfigError, match="target: missing"):
        train_agent(learner(name), records[:30], context_of(spec_of(name, target=None), {}, 0))


@pytest.mark.parametrize("name", LEARNERS)
def test_cells_may_be_empty_of_another_kind_or_missing(name):
    target = agent(name)["target"]
    records = [dict(one) for one in records_of(name)[:60]]
    for place, one in enumerate(records):
        for column in agent(name)["inputs"]:
            if place % 4 == 1:
                one[column] = None
            elif place % 4 == 2:
                one.pop(column, None)
            elif place % 4 == 3:
                one[column] = ["a", 1, None] if place % 8 == 3 else 3.5
    trained = fitted(name, records, frozenset())
    metric = metric_of(trained, records)
    assert len(answers_of(trained, metric, records)) == 60
    assert target not in trained.show(records)[0]


def test_what_an_agent_does_for_one_input_follows_from_what_it_learnt():
    classifier = fitted("distribution_metadata", records_of("distribution_metadata"), frozenset())
    item = classifier.show(records_of("distribution_metadata"))[0]
    assert classifier.agent.act(item) == {"label": classifier.agent.predict([item])[0]}
    ranker = fitted("trend_detective", records_of("trend_detective"), frozenset())
    assert ranker.agent.act(item) == {"prediction": ranker.agent.predict([item])[0]}
    retriever = fitted("audio_curator", records_of("audio_curator"), frozenset())
    tunes = records_of("audio_curator")
    endings = [one["ending"] for one in tunes[:30]]
    ranked = retriever.agent.act({"opening": tunes[3]["opening"], "documents": endings})["ranked"]
    assert len(ranked) == 10 and set(ranked) < set(endings)
    known = retriever.agent.act({"opening": tunes[3]["opening"]})
    assert set(known["ranked"]) < retriever.learnt
    assert known["text"] == next(tune["ending"] for tune in tunes if tune["id"] == known["ranked"][0])
    writer = fitted("screenplay_generator", records_of("screenplay_generator"), frozenset())
    found = writer.agent.act(records_of("screenplay_generator")[0])
    assert {one["language"] for one in found["exemplars"]} == {found["label"]}


def test_similarity_is_1_for_the_same_and_0_for_nothing_in_common():
    near = similarities(
        [{"id": "a", "x": "one two"}, {"id": "b", "x": "one two"}, {"id": "c", "x": 7}, {"id": "d"}], ["x"]
    )
    assert near[0, 1] == pytest.approx(1) and near[0, 2] == near[0, 3] == near[3, 3] == 0


def test_the_tunes_of_the_example_are_whole():
    tunes = rows_of("tunes")
    assert len(tunes) == 1059
    dances = {one["dance"].lower() for one in tunes if one.get("dance")}
    assert dances == {"reel", "jig", "hornpipe", "strathspey", "clog"}
    assert not any("R:" in (one.get("notes") or "") for one in tunes)


def test_of_many_records_exemplars_are_chosen_from_a_sample_that_does_not_follow_their_order():
    spec = spec_of("screenplay_generator", target="kind", inputs=["text"])
    records = [
        {"id": f"{place:04}", "kind": f"k{place // 400}", "text": f"w{place // 400} x{place % 7}"}
        for place in range(1200)
    ]
    trained, _ = train_version(spec, records, held_out=(), parents={}, context=context_of(spec, {}, 0))
    assert {one["kind"] for one in trained.agent.exemplars()} == {"k0", "k1", "k2"}


def test_weights_are_fitted_only_where_that_helps_on_other_pairs():
    noise = Random(3)
    records = [
        {"id": str(n), "good": f"word{n}", "bad": f"word{noise.randrange(200)}", "text": f"a word{n}"}
        for n in range(200)
    ]
    spec = spec_of("audio_curator", target="text", inputs=["good", "bad"], records=None)
    trained, _ = train_version(spec, records, held_out=(), parents={}, context=context_of(spec, {}, 0))
    weights = trained.agent.weights
    good, bad = (max(weights[column, units] for units in ("words", "trigrams")) for column in ("good", "bad"))
    assert bad < good
    random = [{**one, "good": f"word{noise.randrange(200)}"} for one in records]
    trained, _ = train_version(spec, random, held_out=(), parents={}, context=context_of(spec, {}, 0))
    assert set(trained.agent.weights.values()) == {1.0}, "what tells nothing changes nothing"


@pytest.mark.parametrize(("name", "penalty"), [("trend_detective", 7.0), ("sound_designer", 4.0)])
def test_a_penalty_and_the_weight_of_texts_that_are_set_are_those_that_are_learnt_with(name, penalty, tmp_path):
    records = records_of(name)[:120]
    texts = {"penalty": penalty, "text_weight": 2.5}
    trained = fitted(name, records, frozenset(), settings=texts)
    model = trained.agent.model
    assert getattr(model, "alpha", None) == penalty or pytest.approx(1 / penalty) == model.C
    weights = {one["weight"] for one in trained.agent.features.to_dict().values() if one["kind"] == "texts"}
    assert weights <= {2.5}
    with_defaults = fitted(name, records, frozenset())
    items = trained.show(records)
    trained.agent.save(tmp_path)
    other = type(trained.agent)()
    other.load(tmp_path)
    assert other.predict(items) == trained.agent.predict(items)
    assert trained.agent.predict(items) != with_defaults.agent.predict(items)


def test_texts_of_a_version_from_before_their_weight_could_be_set_count_as_they_did():
    cells = ["a dog ran home", "the dog sat", "a cat ran"]
    texts = Texts.fit(cells, TEXT_WEIGHT)
    told = {"synopsis": {key: value for key, value in texts.to_dict().items() if key != "weight"}}
    rows = [{"synopsis": cell} for cell in cells]
    assert (Features.from_dict(told).rows(rows) != Features({"synopsis": texts}).rows(rows)).nnz == 0
    heavy = Features({"synopsis": Texts.fit(cells, 1.0)}).rows(rows)
    assert (heavy != 2 * Features({"synopsis": texts}).rows(rows)).nnz == 0


def test_sharpness_changes_which_exemplars_are_chosen():
    records = records_of("screenplay_generator")[:150]
    chosen = [
        [one["id"] for one in fitted("screenplay_generator", records, frozenset(), settings=settings).agent.chosen]
        for settings in ({}, {"sharpness": 16}, {"sharpness": 2})
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_all_that_the_shipped_learners_say_may_be_tuned_is_a_setting_of_theirs():
    for name in ("trend_detective", "screenplay_generator", "sound_designer"):
        learner = load_class(name, agent(name)["class"])
        space = space_of(name, learner)
        low = {key: one.low for key, one in space.items()}
        high = {key: one.high for key, one in space.items()}
        for settings in (low, high):
            fitted(name, records_of(name)[:60], frozenset(), settings=settings)
