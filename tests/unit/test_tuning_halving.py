"""Which trials go on: by the best third of each rung so far, whatever else is still to come."""

import random

import pytest

from overnight.training.tuning.halving import WIDTH, Evaluation, Place, next_places, rungs_of, winner_of


def evaluation(trial, rung, value):
    return Evaluation(place=Place(trial=trial, rung=rung), value=value)


def places(found):
    return [(one.trial, one.rung) for one in found]


@pytest.mark.parametrize(
    ("count", "rungs"),
    [(900, [100, 300, 900]), (449, [149, 449]), (450, [50, 150, 450]), (150, [50, 150]), (149, [149]), (20, [20])],
)
def test_each_rung_has_three_times_the_items_of_the_one_before_and_none_has_too_few(count, rungs):
    assert rungs_of(count) == rungs


def test_the_current_parameters_go_through_all_rungs_at_the_very_beginning():
    assert places(next_places([], trials=50, rungs=3)) == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)]
    assert places(next_places([], trials=2, rungs=1)) == [(0, 0), (1, 0)]


CURRENT = [evaluation(0, rung, 9.0) for rung in range(3)]


def test_the_best_third_so_far_goes_on_before_new_ones_are_begun():
    done = [*CURRENT, *(evaluation(trial, 0, trial / 10) for trial in range(1, 7))]
    found = places(next_places(done, trials=50, rungs=3))
    assert found == [(6, 1), (5, 1), (7, 0), (8, 0), (9, 0), (10, 0)]


def test_what_has_gone_on_does_not_go_on_again_and_higher_rungs_come_first():
    done = [*CURRENT, *(evaluation(trial, 0, trial / 10) for trial in range(1, 13))]
    done += [evaluation(trial, 1, trial / 10) for trial in (10, 11, 12)]
    assert places(next_places(done, trials=13, rungs=3)) == [(12, 2), (9, 1)]


def test_the_current_parameters_take_nobodys_place():
    done = [*CURRENT, *(evaluation(trial, 0, 0.1) for trial in (1, 2, 3))]
    assert places(next_places(done, trials=4, rungs=3)) == [(1, 1)], "of equal ones the earlier"


def test_failed_trials_count_as_evaluated_and_never_go_on():
    done = [*CURRENT, *(evaluation(trial, 0, None) for trial in (1, 2, 4, 5, 6)), evaluation(3, 0, 0.1)]
    assert places(next_places(done, trials=7, rungs=3)) == [(3, 1)]
    done.append(evaluation(3, 1, None))
    assert next_places(done, trials=7, rungs=3) == [], "it is not evaluated there again"


def test_at_the_end_the_best_goes_on_where_there_are_too_few_for_a_third():
    done = [*CURRENT, evaluation(1, 0, 0.1), evaluation(2, 0, 0.2)]
    assert places(next_places(done, trials=3, rungs=3)) == [(2, 1)]
    done.append(evaluation(2, 1, 0.3))
    assert places(next_places(done, trials=3, rungs=3)) == [(2, 2)]
    done.append(evaluation(2, 2, 0.3))
    assert next_places(done, trials=3, rungs=3) == []


def test_a_wave_is_no_wider_than_it_may_be():
    done = [*CURRENT, *(evaluation(trial, 0, trial / 10) for trial in range(1, 31))]
    found = next_places(done, trials=50, rungs=3)
    assert len(found) == WIDTH and {one.rung for one in found} == {1}


@pytest.mark.parametrize("seed", range(5))
def test_each_trial_is_evaluated_once_at_a_rung_and_few_at_the_last(seed):
    draw, done = random.Random(seed), []
    while found := next_places(done, trials=31, rungs=3):
        done += [Evaluation(place=one, value=draw.random() - one.trial % 7) for one in found]
    counts = [sum(one.place.rung == rung for one in done) for rung in range(3)]
    assert len({one.place for one in done}) == len(done)
    assert counts[0] == 31 and 11 <= counts[1] <= 20 and 4 <= counts[2] <= 10


def test_the_winner_is_the_best_at_the_last_rung_and_better_than_the_current_parameters():
    done = [evaluation(0, 0, 0.5), evaluation(0, 1, 0.5), evaluation(1, 0, 0.9), evaluation(2, 1, 0.6)]
    assert winner_of(done, rungs=2) == 2, "what did better with fewer items does not count"
    assert winner_of([*done, evaluation(3, 1, 0.7), evaluation(4, 1, None)], rungs=2) == 3
    assert winner_of([evaluation(0, 0, 0.5), evaluation(1, 0, 0.5)], rungs=1) is None, "as good is not better"
    assert winner_of([evaluation(0, 0, 0.5)], rungs=1) is None
    assert winner_of([evaluation(1, 0, 0.5)], rungs=1) is None, "nothing to compare with"
