"""The trainer of intents: on a few made texts always, on real queries where the data is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

from model_driving import batches, resumed_at, same, trained  # noqa: E402
from overnight.base.errors import ConfigError, NotMeasured, PermanentError, UserMistake  # noqa: E402
from overnight.training.models.nlu import Nlu  # noqa: E402
from overnight.training.models.terms import Terms  # noqa: E402

EPOCHS = 3
OPENINGS = ("please", "can you", "i want you to", "hey there", "would you kindly", "now", "my friend", "quick")
ASKED = {
    "lights": ("switch the {} lamp on", "turn off the lights in the {}", "make the {} brighter", "dim the {} lamps"),
    "music": ("play some {} songs", "put {} music on", "i would hear a {} album", "next {} track"),
    "weather": ("will it rain in {}", "what is the forecast for {}", "is it cold in {} today", "how warm is {}"),
    None: ("who won the {} cup", "write {} a poem", "sell all my {} shares", "how tall is the {} tower"),
}
THINGS = ("kitchen", "paris", "jazz", "berlin", "garden", "rock", "hall", "oslo", "folk", "rome")


def text_item(number: int, asked: str | None) -> dict:
    chance = np.random.default_rng([number, list(ASKED).index(asked)])
    opening, form, thing = (some[chance.integers(len(some))] for some in (OPENINGS, ASKED[asked], THINGS))
    return {"id": f"{asked} {number}", "input": f"{opening} {form.format(thing)}", "expected_output": asked}


TRAINING = [text_item(number, asked) for number in range(50) for asked in ASKED]
VALIDATION = [text_item(number, asked) for number in range(1000, 1020) for asked in ASKED]


def new() -> Nlu:
    return Nlu({"batch_size": 32}, seed=7)


@pytest.fixture(scope="module")
def whole() -> Nlu:
    return trained(new(), TRAINING, VALIDATION, seed=3, epochs=EPOCHS)


def test_it_learns_what_is_asked_and_what_is_out_of_scope(whole):
    found = whole.validate()
    assert found.metric > 0.9 and found.loss < 1
    answers = whole.predict([item["input"] for item in VALIDATION])
    right = [answer["intent"] == item["expected_output"] for answer, item in zip(answers, VALIDATION, strict=True)]
    assert sum(right) / len(right) == found.metric
    assert all((answer["intent"] is None) == (answer["confidence"] < 0.52) for answer in answers)


def test_scores_name_an_intent_for_every_text_and_order_them(whole):
    intents, sure = whole.score(["turn off the lights in the hall", "how tall is the paris tower", "zzz"])
    assert intents[0] == "lights" and set(intents) <= {"lights", "music", "weather"}
    assert sure[0] > 0.8 > 0.5 > sure[1]
    assert whole.predict(["how tall is the paris tower"]) == [{"intent": None, "confidence": sure[1]}]


@settings(max_examples=6)
@given(st.integers(0, 3 * 7))
def test_a_training_that_was_cut_after_any_batch_ends_with_the_same_bits(whole, cut):
    assert same(resumed_at(new, TRAINING, VALIDATION, cut, epochs=EPOCHS), whole.state())


def test_measuring_changes_nothing(whole):
    before = whole.state()
    first, again = whole.validate(), whole.validate()
    assert first == again and same(before, whole.state())


def test_without_items_to_validate_on_nothing_is_measured():
    trainer = new()
    trainer.prepare(TRAINING, [], 1)
    assert trainer.validate().loss is None and trainer.validate().metric is None


def test_without_examples_out_of_scope_a_text_of_unknown_words_is_still_rejected():
    inside = [item for item in TRAINING if item["expected_output"]]
    trainer = trained(Nlu({"reject_below": 0.75}, seed=7), inside, VALIDATION, seed=3, epochs=6)
    assert trainer.outside is False
    assert trainer.predict(["bitte öffnen"])[0]["intent"] is None
    assert trainer.predict(["play some jazz songs"])[0]["intent"] == "music"
    assert trainer.validate().metric > 0.75  # the loss is of the intents alone


def test_an_intent_that_only_the_validation_part_has_is_never_right():
    trainer = new()
    trainer.prepare(TRAINING, [{**item, "expected_output": "stranger"} for item in VALIDATION], 1)
    assert trainer.validate().loss is None and trainer.validate().metric == 0


def test_another_seed_gives_other_weights(whole):
    other = trained(Nlu({"batch_size": 32}, seed=8), TRAINING, VALIDATION, seed=3, epochs=EPOCHS)
    assert not same(other.state(), whole.state())


def test_what_was_saved_answers_as_before(whole, tmp_path):
    inputs = [item["input"] for item in VALIDATION] + ["zzz", "ÄÖ ß", "!"]
    before = whole.predict(inputs), whole.score(inputs)
    outputs = {"type": "class", "classes": whole.intents, "none": whole.outside}
    assert whole.schema() == {"inputs": {"type": "text"}, "outputs": outputs}
    whole.save(tmp_path)
    loaded = Nlu.load(tmp_path)
    assert (loaded.predict(inputs), loaded.score(inputs)) == before
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"input": "play"}, "expected_output: missing; the name of the intent, or null"),
        ({"input": "play", "expected_output": 3}, "expected_output: 3 is neither the name of an intent nor null"),
        ({"input": "play", "expected_output": " "}, "expected_output: ' ' is neither"),
        ({"expected_output": "music"}, "input: missing; a text"),
        ({"input": ["play"], "expected_output": "music"}, "input: ['play'] is not a text"),
        ({"input": " ", "expected_output": "music"}, "input: an empty text"),
        ({}, "input: missing; a text; expected_output: missing"),
    ],
)
def test_what_is_wrong_with_an_item_is_one_line(item, said):
    line = Nlu.check(item)
    assert line is not None and line.startswith(said) and "\n" not in line


@pytest.mark.parametrize("expected", ["music", None])
def test_a_good_item_is_left_alone(expected):
    assert Nlu.check({"input": "play", "expected_output": expected}) is None


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"drop_out": 0.1}, "did you mean dropout?"),
        ({"dropout": 1.5}, "settings.dropout: 1.5 is not below 1"),
        ({"reject_below": -0.1}, "settings.reject_below: -0.1 is not a number of at least 0"),
        ({"batch_size": 0}, "settings.batch_size: 0 is not a number above 0"),
        ({"learning_rate": "fast"}, "settings.learning_rate: 'fast' is not a number above 0"),
    ],
)
def test_a_wrong_setting_is_named(given_settings, said):
    with pytest.raises(ConfigError) as caught:
        Nlu(given_settings, seed=0)
    assert said in str(caught.value)


SAME = [{**item, "expected_output": "music"} for item in TRAINING]
NONE = [{**item, "expected_output": None} for item in TRAINING]
APART = [{"input": letter * 3, "expected_output": f"intent {place % 3}"} for place, letter in enumerate("!?.,;:-+*#<>")]


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (TRAINING[:9], "9 texts are too few to learn from, at least 10 are needed"),
        (SAME, "the texts have only the intent 'music'; there is nothing to learn"),
        (NONE, "the texts have no intent; there is nothing to learn"),
        (APART, "no two texts have a word or a part of one in common"),
    ],
)
def test_too_little_to_learn_from_is_one_line(items, said):
    with pytest.raises(NotMeasured, match=said):
        new().prepare(items, [], 1)


def test_the_state_of_another_model_is_refused(whole):
    trainer = new()
    trainer.prepare(TRAINING[:60], [], 1)
    with pytest.raises(PermanentError, match=r"the state does not fit these items and settings: 'weight\.terms"):
        trainer.restore(whole.state())


def test_what_is_no_text_is_not_answered(whole):
    with pytest.raises(UserMistake, match="text 1: input: 3 is not a text"):
        whole.predict(["play", 3])
    assert whole.predict([]) == []


def test_terms_that_are_not_known_make_a_row_shorter():
    terms = Terms.fit(["red wine"] * 4 + ["white wine"])
    lengths = [float(np.sqrt(terms.rows([text]).power(2).sum())) for text in ("red wine", "red beer", "beer")]
    assert lengths[0] == pytest.approx(np.sqrt(3), rel=1e-6)  # one for each kind of term
    assert lengths[0] > lengths[1] > lengths[2]
    assert terms.rows(["?!"]).nnz == 0


RECALLS = [tenth / 10 for tenth in range(1, 10)]


def curve(right: "np.ndarray", inside: "np.ndarray", outside: "np.ndarray") -> list[float]:
    """In-scope accuracy where so much of what is out of scope is rejected, and with it all that is not surer."""
    ordered = np.sort(outside)
    least = [ordered[int(np.ceil(recall * len(ordered))) - 1] for recall in RECALLS]
    return [float((right & (inside > one)).mean()) for one in least]


@pytest.mark.no_cover
@pytest.mark.needs_data
@pytest.mark.timeout(300)
def test_real_queries_are_told_from_those_out_of_scope_better_than_by_linear_svc(test_data, long_form):
    parts = json.loads((test_data / "nlu" / "clinc150_small.json").read_text())
    items = {
        part: [{"input": text, "expected_output": None if intent == "oos" else intent} for text, intent in rows]
        for part, rows in parts.items()
    }
    training = items["train"] + items["oos_train"]
    trainer = trained(Nlu({}, seed=0), training, items["val"] + items["oos_val"], seed=0, epochs=10)
    assert len(batches(trainer, len(training), seed=0, epochs=1)) == 119
    assert trainer.validate().metric > 0.9
    queries, strange = ([item["input"] for item in items[part]] for part in ("test", "oos_test"))
    truths = np.array([item["expected_output"] for item in items["test"]])
    intents, sure = trainer.score(queries)
    ours = curve(np.array(intents) == truths, np.array(sure), np.array(trainer.score(strange)[1]))
    print("in-scope accuracy at out-of-scope recalls .1 to .9:", " ".join(f"{one:.3f}" for one in ours))
    assert ours[4] >= 0.9, "in-scope accuracy at an out-of-scope recall of 0.5"
    if not long_form:
        return  # the rival takes as long as the training
    theirs = linear_svc(items["train"], queries, truths, strange)
    print("LinearSVC:", " ".join(f"{one:.3f}" for one in theirs))
    assert all(mine > other for mine, other in zip(ours, theirs, strict=True)), (ours, theirs)


def linear_svc(training: list[dict], queries: list[str], truths: "np.ndarray", strange: list[str]) -> list[float]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    baseline = make_pipeline(make_union(words, letters), LinearSVC(random_state=0))
    baseline.fit([item["input"] for item in training], [item["expected_output"] for item in training])
    margins = baseline.decision_function(queries)
    right = baseline[-1].classes_[margins.argmax(axis=1)] == truths
    return curve(right, margins.max(axis=1), baseline.decision_function(strange).max(axis=1))
