"""Models in one process: loaded, swapped under load, taken away."""

import hashlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from daemons import wait_for
from overnight.base.errors import (
    DeployFailed,
    HardFailure,
    MissingExtra,
    ModelFailed,
    ModelTimedOut,
    UnknownName,
    UserMistake,
)
from overnight.serving.host import PROBES, ModelHost
from overnight.serving.ports import VersionRef


class Says:
    """Answers what its file says."""

    def __init__(self, text):
        self.text = text
        self.asked = 0

    def predict(self, inputs):
        self.asked += 1
        if self.text.startswith("!"):
            raise RuntimeError(self.text)
        if any(not isinstance(one, str) for one in inputs):
            raise UserMistake("input: not a text")
        return [{"said": self.text, "to": one} for one in inputs]


class Answers:
    def __init__(self, value):
        self.value = value

    def predict(self, inputs):
        return [self.value] * len(inputs)


def version(folder, number, text=None, model="m"):
    folder = folder / model / number
    folder.mkdir(parents=True, exist_ok=True)
    content = (text or number).encode()
    (folder / "model.txt").write_bytes(content)
    manifest = {"model.txt": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
    return VersionRef(model=model, number=number, folder=folder, manifest=manifest)


def load(ref):
    return Says((ref.folder / "model.txt").read_text())


@pytest.fixture
def host():
    return ModelHost(load, now_s=time.monotonic, timeout_s=lambda _: 30.0)


def serve(host, ref):
    host.load(ref)
    host.swap(ref)
    return ref


def test_the_champion_answers_unless_another_version_is_named(host, tmp_path):
    serve(host, version(tmp_path, "v1.0.0"))
    host.load(version(tmp_path, "v1.0.1"))
    assert host.champion("m") == "v1.0.0"
    assert host.answer("m", ["a", "b"]).outputs == [{"said": "v1.0.0", "to": "a"}, {"said": "v1.0.0", "to": "b"}]
    answered = host.answer("m", ["a"], "v1.0.1")
    assert (answered.number, answered.outputs) == ("v1.0.1", [{"said": "v1.0.1", "to": "a"}])
    assert answered.ms >= 0


def test_every_call_may_come_twice(host, tmp_path):
    ref = version(tmp_path, "v1.0.0")
    for _ in range(2):
        host.load(ref)
    loaded = host.residents("m")["v1.0.0"]
    for _ in range(2):
        host.swap(ref)
    host.load(ref)
    assert host.residents("m")["v1.0.0"] is loaded
    for _ in range(2):
        host.unload(ref)
    assert (host.residents("m"), host.champion("m")) == ({}, None)


def test_what_is_not_loaded_neither_answers_nor_serves(host, tmp_path):
    ref = version(tmp_path, "v1.0.0")
    with pytest.raises(UnknownName):
        host.answer("m", ["a"])
    with pytest.raises(UnknownName, match=r"m v1\.0\.0 is not loaded"):
        host.answer("m", ["a"], "v1.0.0")
    with pytest.raises(DeployFailed, match="not loaded"):
        host.swap(ref)
    assert host.healthy(ref) == "m v1.0.0 is not loaded"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "model.txt").write_text("other"), "'model.txt' is altered"),
        (lambda folder: (folder / "model.txt").unlink(), "'model.txt' is missing"),
        (lambda folder: (folder / "more.txt").touch(), r"'more\.txt' is not in its manifest"),
    ],
)
def test_files_that_are_not_those_of_the_manifest_are_not_loaded(host, tmp_path, harm, said):
    ref = version(tmp_path, "v1.0.0")
    harm(ref.folder)
    with pytest.raises(HardFailure, match=said):
        host.load(ref)
    assert host.residents("m") == {}


def test_code_that_does_not_load_is_a_hard_failure_and_a_missing_extra_is_none(tmp_path):
    def breaks(error):
        def load(ref):
            raise error

        return ModelHost(load, now_s=time.monotonic, timeout_s=lambda _: 30.0)

    ref = version(tmp_path, "v1.0.0")
    with pytest.raises(HardFailure, match=r"m v1\.0\.0 does not load: KeyError: 'weights'"):
        breaks(KeyError("weights")).load(ref)
    with pytest.raises(MissingExtra):
        breaks(MissingExtra("install it")).load(ref)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "nan is not a finite number"),
        ({"label": "a", "confidence": 0.5}, r"answers \{confidence: number, label: text\} where v1\.0\.0 answers \{"),
    ],
)
def test_what_is_no_answer_is_a_hard_failure_and_told_before_it_serves(tmp_path, value, said):
    values = {"v1.0.0": {"intent": None, "confidence": 0.2}, "v1.0.1": value, "v2.0.0": value}
    host = ModelHost(lambda ref: Answers(values[ref.number]), now_s=time.monotonic, timeout_s=lambda _: 30.0)
    serve(host, version(tmp_path, "v1.0.0"))
    new, next_schema = version(tmp_path, "v1.0.1"), version(tmp_path, "v2.0.0")
    host.load(new)
    host.load(next_schema)
    assert host.healthy(new) is None
    host.answer("m", ["a"] * PROBES)
    with pytest.raises(HardFailure, match=said):
        host.answer("m", ["a"], "v1.0.1")
    assert "v1.0.1" in host.healthy(new)
    # Another first number says that other answers are meant; what is not finite is none in any case.
    assert (host.healthy(next_schema) is None) is isinstance(value, dict)


class Sometimes:
    """Gives a reason with some answers: those that are asked for by an odd number."""

    def __init__(self, more):
        self.more = more

    def predict(self, inputs):
        return [{"label": "a", **({"reason": "odd"} if one % 2 else {}), **self.more} for one in inputs]


def test_a_name_that_the_champion_gives_sometimes_is_no_other_schema(tmp_path):
    more = {"v1.0.0": {}, "v1.0.1": {}, "v1.0.2": {"new": 1}}
    host = ModelHost(lambda ref: Sometimes(more[ref.number]), now_s=time.monotonic, timeout_s=lambda _: 30.0)
    serve(host, version(tmp_path, "v1.0.0"))
    host.load(version(tmp_path, "v1.0.1"))
    host.load(version(tmp_path, "v1.0.2"))
    # Of too few answers one does not know what is never there.
    assert host.answer("m", [2], "v1.0.2").outputs == [{"label": "a", "new": 1}]
    host.answer("m", [2] * PROBES)
    # The first reason of all is the candidate's; so is, later, the first answer without one.
    assert host.answer("m", [1], "v1.0.1").outputs == [{"label": "a", "reason": "odd"}]
    with pytest.raises(
        HardFailure, match=r"answers \{label: text, new: number\} where v1.0.0 answers \{label: text, rea"
    ):
        host.answer("m", [2], "v1.0.2")


def test_an_answer_that_the_champion_has_none_for_says_nothing_about_its_kind(tmp_path):
    class Refuses(Sometimes):
        def predict(self, inputs):
            if 5 in inputs:
                raise RuntimeError("no fives")
            return super().predict(inputs)

    models = {"v1.0.0": Refuses({}), "v1.0.1": Sometimes({"new": 1})}
    host = ModelHost(lambda ref: models[ref.number], now_s=time.monotonic, timeout_s=lambda _: 30.0)
    serve(host, version(tmp_path, "v1.0.0"))
    host.load(version(tmp_path, "v1.0.1"))
    host.answer("m", [2] * PROBES)
    assert host.answer("m", [5], "v1.0.1").outputs[0]["new"] == 1


def test_a_version_that_hangs_holds_up_nobody_and_is_asked_again_once_it_has_ended(tmp_path):
    begun, go_on = threading.Event(), threading.Event()
    asked = []

    class Hangs:
        def predict(self, inputs):
            asked.extend(inputs)
            if "hang" in inputs:
                begun.set()
                assert go_on.wait(30)
            if "late" in inputs:
                raise TimeoutError("a server behind it")
            return list(inputs)

    host = ModelHost(lambda ref: Hangs(), now_s=time.monotonic, timeout_s=lambda _: limit_s[0])
    serve(host, version(tmp_path, "v1.0.0"))
    limit_s = [0.05]
    with pytest.raises(ModelTimedOut, match=r"m v1\.0\.0 did not answer within 0\.05 s"):
        host.answer("m", ["hang"])
    assert begun.is_set()
    limit_s[0] = 30.0
    with pytest.raises(ModelTimedOut, match=r"m v1\.0\.0 hangs at an earlier request"):
        host.answer("m", ["a"])
    assert asked == ["hang"]
    go_on.set()

    def answered():
        try:
            return host.answer("m", ["b"]).outputs
        except ModelTimedOut:
            return None

    assert wait_for(answered) == ["b"]
    with pytest.raises(ModelTimedOut):
        host.answer("m", ["late"])
    assert host.answer("m", ["c"]).outputs == ["c"]


def test_who_waits_too_long_for_his_turn_is_not_asked_for_any_more(tmp_path):
    begun, go_on = threading.Event(), threading.Event()
    asked = []

    class Slow:
        def predict(self, inputs):
            asked.extend(inputs)
            begun.set()
            assert go_on.wait(30)
            return list(inputs)

    limit_s = [30.0]
    host = ModelHost(lambda ref: Slow(), now_s=time.monotonic, timeout_s=lambda _: limit_s[0])
    serve(host, version(tmp_path, "v1.0.0"))
    with threads(1, lambda: host.answer("m", ["first"])):
        assert begun.wait(30)
        limit_s[0] = 0.01
        with pytest.raises(ModelTimedOut):
            host.answer("m", ["second"])
        limit_s[0] = 30.0
        go_on.set()
    # Its turn is over: nothing hangs.
    assert host.answer("m", ["third"]).outputs == ["third"]
    assert asked == ["first", "third"]


def test_the_time_of_an_answer_is_without_the_wait_for_the_turn(tmp_path):
    """A clock that only the model moves: what its own turn took is told, whoever was before it."""
    now_s, begun, go_on = [0.0], threading.Event(), threading.Event()

    class Takes:
        def predict(self, inputs):
            begun.set()
            assert go_on.wait(30)
            now_s[0] += inputs[0]
            return list(inputs)

    host = ModelHost(lambda ref: Takes(), now_s=lambda: now_s[0], timeout_s=lambda _: 30.0)
    serve(host, version(tmp_path, "v1.0.0"))
    resident, answers = host.residents("m")["v1.0.0"], []
    with threads(1, lambda: answers.append(host.answer("m", [5.0]))):
        assert begun.wait(30)
        with threads(1, lambda: answers.append(host.answer("m", [2.0]))):
            wait_for(lambda: resident.in_flight == 2)
            go_on.set()
    assert sorted(answered.ms for answered in answers) == [2000.0, 5000.0]


def test_an_error_of_the_model_and_one_of_who_asks_are_told_apart(host, tmp_path):
    serve(host, version(tmp_path, "v1.0.0"))
    host.load(version(tmp_path, "v1.0.1", "!no"))
    with pytest.raises(UserMistake, match="not a text"):
        host.answer("m", [3])
    with pytest.raises(ModelFailed, match=r"m v1\.0\.1 failed: RuntimeError: !no"):
        host.answer("m", ["a"], "v1.0.1")


def test_a_model_is_asked_by_one_thread_at_a_time(tmp_path):
    inside = []

    class Alone:
        def predict(self, inputs):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.001)
            inside.pop()
            return list(inputs)

    most = []
    host = ModelHost(lambda ref: Alone(), now_s=time.monotonic, timeout_s=lambda _: 30.0)
    serve(host, version(tmp_path, "v1.0.0"))
    with threads(4, lambda: [host.answer("m", ["a"]) for _ in range(10)]):
        pass
    assert (max(most), len(most)) == (1, 40)


@contextmanager
def threads(count, work):
    """Work in so many threads beside the block; an error in one of them is raised here."""
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(work) for _ in range(count)]
        yield
    for future in futures:
        future.result()


@pytest.mark.no_cover
def test_a_thousand_swaps_under_load_drop_and_fail_no_request(host, tmp_path):
    refs = [version(tmp_path, f"v1.0.{number}") for number in range(2)]
    serve(host, refs[0])
    over, sent, got = threading.Event(), itertools.count(), []

    def ask():
        while not over.is_set():
            text = str(next(sent))
            answered = host.answer("m", [text])
            [output] = answered.outputs
            # One request is answered by one version, all of it.
            assert output == {"said": answered.number, "to": text}
            got.append((text, answered.number))

    with threads(3, ask):
        for number in range(1, 1001):
            new, old = refs[number % 2], refs[1 - number % 2]
            host.load(new)
            host.swap(new)
            host.unload(old)
        over.set()
    assert sorted(int(text) for text, _ in got) == list(range(next(sent)))
    assert {number for _, number in got} == {"v1.0.0", "v1.0.1"}


def test_a_request_ends_on_the_version_that_it_began_on(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Says):
        def predict(self, inputs):
            if self.text == "v1.0.0":
                begun.set()
                assert go_on.wait(30)
            return super().predict(inputs)

    host = ModelHost(lambda ref: Slow(ref.number), now_s=time.monotonic, timeout_s=lambda _: 30.0)
    old = serve(host, version(tmp_path, "v1.0.0"))
    answers = []
    with threads(1, lambda: answers.append(host.answer("m", ["a"]))):
        assert begun.wait(30)
        assert host.residents("m")["v1.0.0"].in_flight == 1
        serve(host, version(tmp_path, "v1.0.1"))
        host.unload(old, drain_s=0.01)
        assert host.answer("m", ["b"]).number == "v1.0.1"
        go_on.set()
    [answered] = answers
    assert answered.number == "v1.0.0"
