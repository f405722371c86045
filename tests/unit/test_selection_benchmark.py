"""The benchmark of selection: scenarios are read as ASlib writes them, and what is told was worked out by hand."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import selection
from aslib import NotAScenario, read
from scenarios import MAKERS, write_all

from overnight.learning.selection.bandits import EmaGreedy
from overnight.learning.selection.linear import LinearThompson
from overnight.learning.selection.policy import Trial

ABOUT = """# a comment
scenario_id: ODD
performance_measures: [runtime]
maximize:
  - false
performance_type:
  - runtime
algorithm_cutoff_time: 100
metainfo_algorithms:
  fast:
    configuration: ''
"""
RUNS = """% comment
@RELATION runs
@ATTRIBUTE instance_id STRING
@ATTRIBUTE repetition NUMERIC
@ATTRIBUTE 'algorithm' STRING
@ATTRIBUTE runtime NUMERIC
@ATTRIBUTE runstatus {ok, timeout, memout, crash}
@DATA
'a, b.cnf',1,fast,2,ok
'a, b.cnf',2,fast,4,ok
'a, b.cnf',1,"slow one",50,ok
c.cnf,1,fast,100,timeout
c.cnf,1,"slow one",7,ok
d.cnf,1,fast,?,crash
d.cnf,1,"slow one",30,memout
"""
VALUES = """@relation values
@attribute instance_id string
@attribute repetition numeric
@attribute size numeric
@attribute kind {x, y}
@data
'a, b.cnf',1,3,x
c.cnf,1,?,y

"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "description.txt").write_text(ABOUT)
    (tmp_path / "algorithm_runs.arff").write_text(RUNS)
    (tmp_path / "feature_values.arff").write_text(VALUES)
    return tmp_path


def test_a_scenario_is_read_with_its_oddities(folder):
    one = read(folder)
    assert (one.name, list(one.algorithms)) == ("ODD", ["fast", "slow one"])
    assert list(one.instances) == ["a, b.cnf", "c.cnf", "d.cnf"]
    assert one.costs == [[3.0, 50.0], [1000.0, 7.0], [1000.0, 1000.0]]
    assert one.features == [{"size": 3.0, "kind": "x"}, {"size": None, "kind": "y"}, {}]


def test_qualities_are_costs_by_how_far_they_are_from_the_best(folder):
    about = ABOUT.replace("[runtime]", "[acc]").replace("- false", "- true").replace("- runtime", "- solution_quality")
    (folder / "description.txt").write_text(about)
    (folder / "algorithm_runs.arff").write_text(
        RUNS.replace("runtime", "acc").replace(",50,", ",0.5,").replace(",2,ok", ",1,ok")
    )
    assert read(folder).costs[0][1] == pytest.approx(100 - 0.5)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("algorithm_runs.arff", RUNS + "x,1\n", "line 16: 2 values for 5 columns"),
        ("algorithm_runs.arff", "@DATA\n", "no column instance_id"),
        ("algorithm_runs.arff", RUNS.partition("'a, b")[0], "there are no runs"),
        ("description.txt", ABOUT.replace("[runtime]", "[speed]"), "there is no column 'speed'"),
    ],
)
def test_what_is_no_scenario_is_refused_with_the_place(folder, name, text, why):
    (folder / name).write_text(text)
    with pytest.raises(NotAScenario, match=why):
        read(folder)


def test_a_file_that_is_missing_is_named(folder):
    (folder / "feature_values.arff").unlink()
    with pytest.raises(NotAScenario, match=r"feature_values\.arff: No such file"):
        read(folder)


def test_generated_scenarios_are_the_same_each_time_and_read_like_others(tmp_path):
    first, again = write_all(tmp_path / "a"), write_all(tmp_path / "b")
    assert [one.name for one in first] == list(MAKERS)
    for one, other in zip(first, again, strict=True):
        assert (one / "algorithm_runs.arff").read_bytes() == (other / "algorithm_runs.arff").read_bytes()
    assert read(first[3]).ordered and len(read(first[1]).algorithms) == 20
    assert any(value is None for one in read(first[4]).features for value in one.values())


class Always:
    def __init__(self, arms, arm):
        self.arms, self._arm = arms, arm

    def propensities(self, features=None):
        return {arm: float(arm == self._arm) for arm in self.arms}

    def learn(self, trial):
        assert trial.reward <= 0


def test_what_is_told_is_the_sum_of_what_was_chosen(folder):
    one = read(folder)
    assert selection.play(one, Always(one.algorithms, "fast"), 1)[0] == 2003.0
    assert selection.play(one, Always(one.algorithms, "slow one"), 1)[0] == 1057.0
    found = selection.measure(one, 1)
    assert found["single best"] == round(1057 / 1010, 3) and found["EMA greedy"] >= 1
    assert selection.scenarios_in([folder]) == [folder]
    total, seconds = selection.play(one, EmaGreedy(one.algorithms), 1)
    assert total >= 1010 and len(seconds) == 3


def test_the_linear_policy_learns_a_line():
    policy = LinearThompson(("a", "b"))
    assert policy.propensities({"x": 1.0}) == {"a": 0.5, "b": 0.5} == policy.propensities(None)
    for place in range(60):
        x = (place % 10) / 10
        for arm, reward in (("a", x), ("b", 1 - x)):
            policy.learn(Trial(arm=arm, reward=reward, propensity=0.5, features={"x": x}))
    policy.learn(Trial(arm="a", reward=1.0, propensity=1.0))
    assert policy.propensities({"x": 1.0})["a"] > 0.9 and policy.propensities({"x": 0.0})["b"] > 0.9
