"""What versions are compared by: scores of independent units, or predictions; versions are loaded one by one."""

import json

import numpy as np
import pytest

from model_driving import trained
from overnight.base.errors import NotMeasured, PermanentError, UserMistake
from overnight.training.comparing import Contender, Seeds, compare_versions, evidence_of, two_seeds
from overnight.training.experiences import Parting, identified, parted, unseen
from overnight.training.models.embedding import Embedding
from overnight.training.models.nlu import Nlu
from overnight.training.models.vision import Vision
from overnight.training.models.voice import Voice
from small_trainer import Line, points

ITEMS = [item for _, item in identified(points(40))]
KINDS = """
from small_trainer import Line


class Mute(Line):
    scores = None


class Strange(Line):
    score_title = "strangeness"


class Bad(Line):
    def scores(self, items):
        return {item["id"]: float("nan") for item in items}


class Ordered(Line):
    compared_by, metric = "spearman", "Spearman"


class Lazy(Line):
    def scores(self, items):
        return {items[0]["id"]: 1.0}


class Odd(Line):
    @classmethod
    def load(cls, folder):
        raise ZeroDivisionError("of its own")
"""


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Give two versions in their folders: what `kind` of trainer loads them."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kinds_of_line.py").write_text(KINDS)
    for number, slope in ((1, 1.5), (2, 2.0)):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "line.json").write_text(json.dumps({"weights": [slope, -1.0], "steps": 1}))

    def made(kind="small_trainer:Line", other=None):
        names = (kind, other or kind)
        trainers = [name if ":" in name else f"kinds_of_line:{name}" for name in names]
        return [
            Contender(number=f"v{number}", trainer=trainer, folder=str(tmp_path / f"v{number}"))
            for number, trainer in zip((2, 1), trainers, strict=True)
        ]

    return made


def test_both_answer_about_the_same_items(sides):
    steps = []
    found = evidence_of("line", ITEMS, *sides(), told=steps.append)
    assert steps == [0, 1, 2]
    assert (found.metric, found.title, found.bounds) == ("score", "closeness", (0.0, 1.0))
    assert found.ids == sorted(item["id"] for item in ITEMS) and len(found.candidate) == 40
    assert min(found.candidate) > 0.9 > min(found.against)
    assert found.groups is found.segments is found.truths is None


def test_groups_and_segments_come_from_what_is_known_of_an_item(sides):
    about = [{"group": str(place // 2), "segment": "a" if place < 20 else None} for place in range(40)]
    items = [{**item, "metadata": one} for item, one in zip(ITEMS, about, strict=True)]
    found = evidence_of("line", [*items[:-1], {**items[-1], "metadata": "none"}], *sides())
    known = dict(zip([item["id"] for item in ITEMS], about, strict=True))
    assert found.groups.count("3") == 2
    assert found.segments == [known[name]["segment"] for name in found.ids]


def test_a_metric_that_is_no_mean_is_compared_by_predictions(sides):
    found = evidence_of("line", ITEMS, *sides("Ordered"))
    truths = {item["id"]: item["expected_output"] for item in ITEMS}
    assert (found.metric, found.title, found.bounds) == ("spearman", "Spearman", None)
    assert found.truths == [truths[name] for name in found.ids]
    assert found.candidate == pytest.approx(found.truths, abs=0.1)


@pytest.mark.parametrize(
    ("kinds", "error", "message"),
    [
        (("Mute", None), PermanentError, "version v2 cannot be measured: trainer 'kinds_of_line:Mute' has no scores"),
        (("small_trainer:Line", "Bad"), PermanentError, "version v1 cannot be measured: the score of item '.*' is nan"),
        (("Odd", None), PermanentError, "version v2 cannot be measured: ZeroDivisionError: of its own"),
        (
            ("small_trainer:Line", "Strange"),
            NotMeasured,
            "the versions are measured by closeness and strangeness, which",
        ),
        (("Lazy", None), NotMeasured, "40 held-out items give 1 scores to compare by, at least 2 are needed"),
        (("nothing.here:Line", None), PermanentError, "version v2 cannot be measured: training.models.line.trainer"),
    ],
)
def test_what_cannot_be_compared_says_whose_fault_it_is(sides, kinds, error, message):
    with pytest.raises(error, match=message):
        evidence_of("line", ITEMS, *sides(*kinds))


def test_what_the_machine_does_is_worth_another_try(sides, tmp_path):
    (tmp_path / "v1" / "line.json").unlink()
    with pytest.raises(FileNotFoundError):
        evidence_of("line", ITEMS, *sides())


def test_a_child_reads_the_items_and_leaves_the_evidence(sides, tmp_path):
    class Ctx:
        def progress(self, done, total, **shown):
            assert (total, shown) == (2, {"phase": "comparing"})

    (tmp_path / "held_out.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in ITEMS) + "\n")
    new, old = ({"number": one.number, "trainer": one.trainer, "folder": one.folder} for one in sides())
    told = compare_versions(Ctx(), model_type="line", folder=str(tmp_path), candidate=new, against=old)
    assert told == {"items": 40, "metric": "closeness", "candidate": "v2", "against": "v1"}
    left = json.loads((tmp_path / "evidence.json").read_text())
    assert left == json.loads(json.dumps(evidence_of("line", ITEMS, *sides()).to_dict()))


def test_two_seeds_differ_in_nothing_but_their_seed():
    training, held_out = parted(ITEMS, share=0.3, seed=0)
    wanted = Seeds(model_type="line", trainer="small_trainer:Line", settings={"batch": 5}, epochs=3, seeds=(4, 5))
    told = []
    found = two_seeds(wanted, training, held_out, told=told.append)
    assert told == sorted(told) and told[-1] == 1.0
    assert len(found.ids) == len(held_out) and found.candidate != found.against
    line = trained(Line({"batch": 5}, 4), training, held_out, seed=4, epochs=3)
    assert found.candidate == [line.scores(held_out)[name] for name in found.ids]
    with pytest.raises(UserMistake, match="too few for a line"):
        two_seeds(wanted, training[:1], held_out, told=told.append)


# -- who has seen what


def test_what_either_was_trained_on_is_seen_and_so_is_its_group():
    mine, same, other = Parting(share=0.3, seed=0), Parting(share=0.3, seed=0), Parting(share=0.3, seed=1)
    held_out = parted(ITEMS, share=0.3, seed=0)[1]
    assert unseen(ITEMS, mine, same, ITEMS) == held_out
    assert unseen(ITEMS, mine, other, ITEMS) == [item for item in held_out if other.holds_out(item)]
    assert unseen(ITEMS, mine, other, []) == held_out
    assert unseen(ITEMS, mine, None, held_out[:3]) == held_out[3:]
    grouped = [{**item, "metadata": {"group": str(place % 5)}} for place, item in enumerate(ITEMS)]
    half = Parting(share=0.5, seed=2)
    kept = unseen(grouped, half, None, grouped[:1])
    assert kept and not any(item["metadata"]["group"] == "0" for item in kept)


# -- the built-in trainers


def test_texts_and_images_score_one_where_the_answer_is_right():
    nlu, vision = Nlu({}, 0), Vision({}, 0)
    nlu.predict = lambda inputs: [{"intent": text if text != "none" else None, "confidence": 1.0} for text in inputs]
    vision.predict = lambda inputs: [{"label": one["rows"][0][0], "confidence": 1.0} for one in inputs]
    texts = [("a", "play", "play"), ("b", "play", "stop"), ("c", "none", None), ("d", "none", "play")]
    items = [{"id": name, "input": text, "expected_output": right} for name, text, right in texts]
    assert nlu.scores(items) == {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0}
    images = [{"id": str(n), "input": {"rows": [[n]]}, "expected_output": right} for n, right in ((3, 3), (4, 5))]
    assert vision.scores(images) == {"3": 1.0, "4": 0.0}
    assert Nlu.score_bounds == Vision.score_bounds == (0.0, 1.0)
    assert (Embedding.compared_by, Embedding.metric) == ("spearman", "Spearman")


def test_couples_of_speakers_score_how_often_pairs_are_in_the_right_order():
    voice = Voice({}, 0)
    names = ["ann", "bob", "ann", "bob", "cid", "dan", "dan", "eve"]
    angles = np.radians([0, 90, 10, 60, 0, 20, 200, 5])
    voice.embed = lambda audios: np.column_stack([np.cos(angles), np.sin(angles)])
    items = [{"id": str(at), "input": {}, "expected_output": name} for at, name in enumerate(names)]
    found = voice.scores(items)
    # Those with one recording are in no couple; of ann, bob and dan one is left over.
    assert len(found) == 1 and not {"cid", "eve"} & set(next(iter(found)).split(" | "))
    voice.embed = lambda audios: np.column_stack([np.cos(angles[:4]), np.sin(angles[:4])])
    [(couple, score)] = voice.scores(items[:4]).items()
    # Pairs of one speaker: 10 and 30 degrees apart; of both: 90, 60, 80, 50.
    assert (set(couple.split(" | ")), score) == ({"ann", "bob"}, 1.0)
    angles[3] = np.radians(-60)  # bob's are 150 degrees apart, which none of both is
    assert voice.scores(items[:4])[couple] == pytest.approx(0.5)
