"""Agents that are plain objects: trained in child processes that get them through a pipe, and back again."""

import subprocess
import sys
import tempfile

import pytest

import overnight
from overnight.base.errors import ConfigError, NotJson, NotMeasured, UserMistake

DATA = [{"x": place / 60, "y": 3 * place / 60 + place % 2} for place in range(400)]
LINES = """
import time


class Mean:
    mean = None

    def train(self, data):
        self.mean = sum(record["y"] for record in data) / len(data)
        return {"status": "completed", "quality_improvement": 99.0, "model_updated": True, "metrics": {"claim": 1}}

    def evaluate(self, items):
        return [1 - min(1, abs(record["y"] - self.mean) / 20) for record in items]


class Line(Mean):
    def train(self, data):
        n = len(data)
        x, y = sum(r["x"] for r in data) / n, sum(r["y"] for r in data) / n
        self.slope = sum((r["x"] - x) * (r["y"] - y) for r in data) / sum((r["x"] - x) ** 2 for r in data)
        self.start = y - self.slope * x
        return {"status": "completed"}

    def evaluate(self, items):
        return [1 - min(1, abs(r["y"] - self.start - self.slope * r["x"]) / 20) for r in items]


class Saved(Line):
    loaded = False

    def save(self, folder):
        (folder / "line").write_text(f"{self.slope} {self.start}")

    def load(self, folder):
        self.slope, self.start = map(float, (folder / "line").read_text().split())
        self.loaded = True

    def __getstate__(self):
        return {}


class Alone:
    def train(self, data):
        self.seen = len(data)
        return {"status": "ok"}


class Closed(Alone):
    def train(self, data):
        self.wire = open("/dev/null")
        return {"status": "ok"}


class Hanging(Alone):
    def train(self, data):
        time.sleep(60)


class Eating(Alone):
    def train(self, data):
        held = []
        while True:
            held.append(bytearray(b"x" * 20_000_000))
            time.sleep(0.01)


class Leaving(Alone):
    def train(self, data):
        raise SystemExit(0)


class Nothing(Alone):
    def train(self, data):
        return None


class Nan(Mean):
    def evaluate(self, items):
        return [float("nan")] * len(items)


class Untrainable:
    pass


class Majority:
    def train(self, data):
        return {"status": "ok"}

    def predict(self, items):
        return [False for _ in items]
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    (folder / "lines_of_tests.py").write_text(LINES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import lines_of_tests

        yield lines_of_tests
        sys.modules.pop("lines_of_tests")


@pytest.fixture(scope="module")
def trained(lines):
    agents = {
        "mean": lines.Mean(),
        "line": lines.Line(),
        "saved": lines.Saved(),
        "named": "lines_of_tests:Saved",
        "alone": lines.Alone(),
        "closed": lines.Closed(),
        "hanging": lines.Hanging(),
        "eating": lines.Eating(),
        "leaving": lines.Leaving(),
        "nothing": lines.Nothing(),
        "nan": lines.Nan(),
        "untrainable": lines.Untrainable(),
    }
    options = {"hanging": {"timeout_s": 0.5}, "eating": {"memory_gb": 0.2}}
    return overnight.Fleet(agents, options=options).train(DATA)


def test_what_one_agent_does_wrong_never_stops_the_others(trained):
    assert (trained.status, trained.agents_trained) == ("partial", 6)
    errors = {name: agent.error for name, agent in trained.agents.items() if agent.status == "failed"}
    assert set(errors) == {"hanging", "eating", "leaving", "nothing", "nan", "untrainable"}
    assert errors["hanging"] == "took longer than timeout_s = 0.5 and was stopped"
    assert "reserved 0.2 GB; set needs.memory_gb" in errors["eating"]
    assert errors["leaving"].endswith("train called sys.exit(0)")
    assert "must return a dict with a status, not None" in errors["nothing"]
    assert "Nan.evaluate returned nan for item" in errors["nan"]
    assert "has no method train(data)" in errors["untrainable"]


def test_quality_is_measured_against_an_agent_that_learnt_nothing_and_claims_count_for_nothing(trained):
    line, mean = trained.agents["line"], trained.agents["mean"]
    assert line.line["decision"] == "ACCEPT" and 5 < line.quality <= 10
    assert line.line["baseline_name"] == "the agent trained on shuffled columns"
    assert mean.line["decision"] == "REJECT" and mean.improvement == pytest.approx(0, abs=1), "a mean is the baseline"
    assert mean.line["reported_by_the_agent"]["quality_improvement"] == 99.0
    assert trained.agents["alone"].quality is None and "not measured" in trained.agents["alone"].line["reason"]


def test_the_trained_object_comes_back_by_its_files_or_through_the_pipe(trained, lines):
    assert trained.agents["line"].state == "handed back" and trained.agents["line"].agent.slope == pytest.approx(3, 0.1)
    for name in ("saved", "named"):
        agent = trained.agents[name]
        assert agent.state == "saved" and agent.agent.loaded and isinstance(agent.agent, lines.Saved)
        assert agent.agent.slope == trained.agents["line"].agent.slope
    assert trained.agents["alone"].agent.seen == trained.agents["alone"].data_count > 0
    assert trained.agents["closed"].state == "state not kept"
    with pytest.raises(NotMeasured, match="state not kept, because it has no save"):
        _ = trained.agents["closed"].agent
    with pytest.raises(NotMeasured, match="agent 'nothing' was not trained"):
        _ = trained.agents["nothing"].agent


def test_nothing_is_left_behind_but_in_a_folder_that_is_named(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert overnight.Fleet({"saved": lines.Saved()}).train(DATA).agents["saved"].agent.loaded
    assert list(tmp_path.iterdir()) == []
    fleet = overnight.Fleet({"saved": lines.Saved()}, folder=tmp_path / "fleet")
    first, second = fleet.train(DATA), fleet.train(DATA)
    assert (first.agents["saved"].line["compared_with"], second.agents["saved"].line["compared_with"]) == (
        "baseline",
        "champion",
    )
    assert second.agents["saved"].line["decision"] == "REJECT" and second.agents["saved"].quality is not None


def test_each_agent_may_have_records_and_settings_of_its_own(lines):
    fleet = overnight.Fleet(
        {"first": lines.Line(), "second": lines.Mean}, options={"second": {"after": ["first"], "records": 50}}
    )
    result = fleet.train({"first": DATA, "second": DATA[:300]}, verbose=True)
    assert result.status == "success" and result.agents["second"].data_count == 50


@pytest.mark.parametrize(
    ("agents", "options", "data", "error", "says"),
    [
        ({}, {}, DATA, UserMistake, "a fleet needs at least one agent"),
        ({"a": "x:Y"}, {"b": {}}, DATA, UserMistake, "options: there is no agent 'b' \\(agents: a\\)"),
        ({"a": "x:Y"}, {"a": {"targt": "y"}}, DATA, ConfigError, "targt.*did you mean target"),
        ({"a": "x:Y"}, {"a": {"after": ["b"]}}, DATA, ConfigError, "there is no agent 'b'"),
        ({"a": "x:Y", "b": "x:Y"}, {"a": {"after": ["b"]}, "b": {"after": ["a"]}}, DATA, ConfigError, "in a circle"),
        ({"a": "x:Y"}, {}, 7, UserMistake, "data: int is neither a list of records nor a dict of such lists"),
        ({"a": "x:Y"}, {}, [7], UserMistake, "data: record 0 of 'records' is a int, not a dict"),
        ({"a": "x:Y"}, {}, [{"x": object()}], NotJson, "record 0 of 'records' is not JSON"),
        ({"a": "x:Y"}, {}, {"b": DATA}, UserMistake, "data: there are no records for agent 'a' \\(records: b\\)"),
        ({"a": lambda: 0}, {}, DATA, UserMistake, "an instance of function cannot be handed to another process"),
    ],
)
def test_a_wrong_fleet_is_one_line(agents, options, data, error, says):
    with pytest.raises(error, match=says) as caught:
        overnight.Fleet(agents, options=options).train(data)
    assert "\n" not in str(caught.value)


PROGRAM = """
import overnight

class Mean:
    def train(self, data):
        self.mean = sum(r["y"] for r in data) / len(data)
        return {"status": "completed"}

    def evaluate(self, items):
        return [-abs(r["y"] - self.mean) for r in items]

def main():
    result = overnight.Fleet({"mean": Mean()}).train([{"y": place % 9} for place in range(60)])
    print(result.status, result.agents["mean"].state, round(result.agents["mean"].agent.mean))

GUARD
"""


@pytest.mark.parametrize(
    ("guard", "says"),
    [
        ('if __name__ == "__main__":\n    main()', "success handed back 4\n"),
        ("main()", "a child process has loaded this program: train below `if __name__ == '__main__':`"),
    ],
)
def test_classes_of_the_main_program_travel_too(tmp_path, guard, says):
    (tmp_path / "program.py").write_text(PROGRAM.replace("GUARD", guard))
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert says in done.stdout + done.stderr


def test_truth_values_are_labels_and_not_numbers(lines):
    class_ = "lines_of_tests:Majority"
    data = [{"x": place, "y": place % 3 == 0} for place in range(300)]
    result = overnight.Fleet({"majority": class_}, options={"majority": {"target": "y"}}).train(data)
    assert result.agents["majority"].line["metric_name"] == "macro-F1"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_records_are_a_line_and_no_success(lines, count):
    result = overnight.Fleet({"mean": lines.Mean()}).train(DATA[:count])
    assert result.status == "failed" and result.agents["mean"].error
