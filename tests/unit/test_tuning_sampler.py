"""What is suggested follows from what is known and the seed, is new, and gets better."""

import subprocess
import sys

import pytest

from overnight.base.errors import MissingExtra
from overnight.training.tuning import sampler
from overnight.training.tuning.sampler import Known, suggest
from overnight.training.tuning.space import Range

LINE = {"x": Range(low=0.001, high=1000.0, log=True)}
SMALL = {"n": Range(low=1, high=3, whole=True), "kind": Range(choices=("a", "b"))}


def known(parameters, *values, ended=True):
    return Known(parameters=parameters, values=dict(enumerate(values)), ended=ended)


def test_the_same_knowledge_and_seed_give_the_same_suggestions():
    told = [known({"x": 1.5 * place + 0.1}, -place) for place in range(15)]
    first = suggest(LINE, told, count=3, seed=7)
    assert suggest(LINE, told, count=3, seed=7) == first
    assert suggest(LINE, told, count=3, seed=8) != first
    assert suggest(LINE, told[:-1], count=3, seed=7) != first
    assert all(0.001 <= one["x"] <= 1000 for one in first)


def test_a_space_of_few_sets_is_tried_out_and_none_is_suggested_twice():
    tried = []
    while found := suggest(SMALL, [known(one, 0.0) for one in tried], count=2, seed=len(tried)):
        tried += found
    assert len(tried) == 6 == len({(one["n"], one["kind"]) for one in tried})


def test_suggestions_draw_near_to_what_was_good():
    told = []
    for wave in range(8):
        told += [known(one, -abs(one["x"] - 3)) for one in suggest(LINE, told, count=5, seed=wave)]
    late = [abs(one.parameters["x"] - 3) for one in told[-10:]]
    assert sorted(late)[5] < sorted(abs(one.parameters["x"] - 3) for one in told[:10])[5]


def test_parameters_outside_of_the_space_and_failed_trials_are_no_obstacle():
    told = [known({}, 0.5), known({"x": 5000.0}, 0.5), known({"x": 2.0}), known({"x": 3.0}, 0.1, 0.2, ended=False)]
    assert len(suggest(LINE, told, count=2, seed=1)) == 2


def test_without_the_extra_one_line_says_which(monkeypatch):
    monkeypatch.setattr(sampler, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^tuning needs the extra 'hpo': pip install 'overnight\[hpo\]'$"):
        suggest(LINE, [], count=1, seed=1)


def test_what_a_daemon_imports_does_not_hold_optuna():
    code = (
        "import sys, overnight.app.daemon, overnight.app.fleet_tasks, overnight.app.tuning, overnight.cli.app\n"
        "print('optuna' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
