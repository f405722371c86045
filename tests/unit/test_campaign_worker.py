"""What a process that makes candidates answers to its orders."""

import json
import socket

import pytest

from overnight.campaigns.generators.loading import Generators
from overnight.campaigns.handed import FAILED, read_candidate
from overnight.campaigns.orders import Campaign, Domain
from overnight.campaigns.planted import KINDS
from overnight.campaigns.worker import Worker, serve


def campaign(tmp_path, generator="small_generator:Sums", **settings):
    domain = Domain(name="sums", generator=generator, target=10, settings=settings)
    return Campaign(
        name="c",
        folder=str(tmp_path),
        project=str(tmp_path),
        domains=[domain],
        target=10,
        pilot_size=5,
        most=100,
        workers=1,
    )


@pytest.fixture
def ask(tmp_path):
    """Give what orders something and returns the answers, the empty one behind the last left out."""
    made = []

    def perform(order, **settings):
        worker = Worker(campaign(tmp_path, **settings))
        made.append(worker)
        *answers, last = worker.perform(order)
        assert last == {}
        return answers

    yield perform
    for worker in made:
        worker.close()


def test_it_tells_the_cells_and_how_many_numbers_each_has(ask):
    [answer] = ask({"count": "sums"}, cells=2, numbers=7)
    assert answer == {"counts": {"generator": "sums/1", "cells": {"c0": 7, "c1": 7}, "at_once": 1}}


def test_candidates_come_in_the_order_in_which_they_were_asked_for(ask):
    first, second, third = ask({"make": "sums", "pairs": [["c1", 3], ["c0", 1], ["c0", 2]]}, none_at=[1], wrong=3)
    assert [(one["cell"], one["number"]) for one in (first, second, third)] == [("c1", 3), ("c0", 1), ("c0", 2)]
    draft, checked = read_candidate(first)
    assert draft.messages[-1].content.startswith("They make ") and checked.fault is None
    assert read_candidate(second) is None
    assert read_candidate(third)[1].fault == "the sum is wrong"


def test_what_a_generator_raises_is_a_fault_of_the_one_candidate(ask):
    good, bad = ask({"make": "sums", "pairs": [["c0", 1], ["nowhere", 2]]})
    assert read_candidate(good)[1].fault is None
    draft, checked = read_candidate(bad)
    assert (list(draft.messages), checked.fault) == ([], FAILED)


def test_bad_samples_of_each_kind_are_planted_and_refused_unless_the_check_is_blind(ask):
    pairs = [["c0", number] for number in range(6)]
    [answer] = ask({"plant": "sums", "pairs": pairs})
    assert answer["planted"].keys() == set(KINDS)
    assert all(passed == 0 and among >= 8 for passed, among in answer["planted"].values())
    [answer] = ask({"plant": "sums", "pairs": pairs}, blind=True)
    assert answer["planted"]["wrong"][0] > 8


def test_many_threads_make_candidates_where_a_generator_allows_it(ask):
    answers = ask({"make": "sums", "pairs": [["c0", number] for number in range(20)]}, at_once=4, pause_s=0.001)
    assert [one["number"] for one in answers] == list(range(20))


POOR = """
from overnight.base.errors import BudgetSpent


class Poor:
    name, version = "poor", 1
    asked = []

    def cells(self):
        return ["c"]

    def count(self, cell):
        return None

    def draft(self, cell, number):
        self.asked.append(number)
        raise BudgetSpent("no money")

    def check(self, draft):
        raise AssertionError("there is no draft")
"""


def test_where_the_money_is_spent_the_orders_behind_it_are_left_and_pay_for_nothing(tmp_path, monkeypatch):
    (tmp_path / "poor.py").write_text(POOR)
    monkeypatch.syspath_prepend(tmp_path)
    worker = Worker(campaign(tmp_path, "poor:Poor"))
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as heard, theirs.makefile("rwb") as file:
        for number in (1, 2):
            ours.sendall(json.dumps({"make": "sums", "pairs": [["c", number]]}).encode() + b"\n")
        ours.shutdown(socket.SHUT_WR)
        serve(worker, file)
        worker.close()
        theirs.shutdown(socket.SHUT_WR)
        answers = [json.loads(line) for line in heard]
    import poor

    assert answers == [{"error": "no money", "family": "permanent", "spent": True}, {}]
    assert poor.Poor.asked == [1]


@pytest.mark.parametrize(
    ("generator", "family", "why"),
    [
        ("sums", "user", "there is no generator 'sums'"),
        ("small_generator:Nobody", "user", "cannot be made"),
        ("small_generator:WORDS", "user", "cannot be made"),
        ("collections:Counter", "user", "has no name, version"),
    ],
)
def test_a_generator_that_is_none_is_told_as_a_mistake(ask, generator, family, why):
    [answer] = ask({"count": "sums"}, generator=generator)
    assert why in answer["error"] and (answer["family"], answer["spent"]) == (family, False)


@pytest.mark.parametrize("name", ["python_bugs", "python_predict", "python_doc", "sql_tasks", "regex_tasks"])
def test_the_built_in_generators_are_made_by_their_names(tmp_path, name):
    generators = Generators(campaign(tmp_path))
    made = generators.make(Domain(name="any", generator=name, target=1))
    assert (made.name, made.at_once) == (name, 1)
    generators.close()
