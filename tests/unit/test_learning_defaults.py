"""Which strategy executes follows from what was changed, and says why."""

from dataclasses import replace

import pytest

from overnight.base.errors import UserMistake
from overnight.learning.defaults import ALL, Change, before_last, chosen, newest_learned, set_by

TODAY = {"conservative": {"c1", "c2"}, "balanced": {"b1", "b2"}, "aggressive": {"a1", "a2"}}


def change(how, strategy=None, type_=ALL, verdict_id=None, parameters=None):
    return Change(
        type=type_, strategy=strategy, how=how, by="ada", at_us=0, verdict_id=verdict_id, parameters=parameters
    )


def learned(strategy, verdict_id, type_=ALL):
    return replace(change("learned", strategy, type_, verdict_id), compared=["noisy"])


def strategy_of(changes, type_="job:nlu"):
    return chosen(changes, type_, "balanced", TODAY).strategy


def test_without_a_change_the_settings_say_it():
    found = chosen([], "noisy", "balanced", TODAY)
    assert (found.strategy, found.why) == ("balanced", "the default of the settings")


def test_what_was_learned_holds_for_what_was_compared_and_for_work_that_is_no_exercise():
    changes = [learned("aggressive", 1), learned("aggressive", 1, "noisy"), learned("conservative", 2, "small_data")]
    types = ("noisy", "small_data", "many_classes", "mine", "job:nlu", "task:mail", "campaign:talk")
    assert [strategy_of(changes, type_) for type_ in types] == [
        *("aggressive", "conservative", "balanced", "balanced", "aggressive", "aggressive", "aggressive"),
    ]
    whys = [chosen(changes, type_, "balanced", TODAY).why for type_ in ("small_data", "many_classes", ALL, "job:nlu")]
    assert whys == [
        "learned for small_data, verdict 2",
        "the default of the settings",
        "learned, verdict 1: compared in noisy",
        "learned, verdict 1: compared in noisy, not in job:nlu",
    ]
    assert strategy_of([*changes, change("set", "conservative")], "many_classes") == "conservative"


def test_a_verdict_is_rolled_back_as_a_whole_the_newest_first():
    changes = [learned("aggressive", 1), learned("aggressive", 1, "noisy"), learned("aggressive", 1, "small_data")]
    changes += [learned("conservative", 2, "noisy")]
    assert newest_learned(changes) == ["noisy"]
    changes += [change("rolled_back", "aggressive", "noisy")]
    assert newest_learned(changes) == [ALL, "noisy", "small_data"]
    changes += [change("rolled_back", type_="noisy")]
    assert newest_learned(changes) == [ALL, "small_data"], "what was taken back of a type alone stays so"
    changes += [change("rolled_back", type_=type_) for type_ in (ALL, "small_data")]
    with pytest.raises(UserMistake, match="nothing was learned that could be rolled back"):
        newest_learned(changes)


def test_an_accepted_verdict_sets_what_was_compared_and_without_a_focus_other_work():
    assert set_by(ALL, ["noisy", "small_data"]) == [ALL, "noisy", "small_data"]
    assert set_by("noisy", ["noisy"]) == ["noisy"]


def test_what_a_person_has_set_stays_whatever_is_learned_until_it_is_unset():
    changes = [change("set", "conservative"), change("learned", "aggressive", verdict_id=1)]
    assert strategy_of(changes) == "conservative"
    assert chosen(changes, "noisy", "balanced", TODAY).why == "ada has set it"
    assert strategy_of([*changes, change("learned", "aggressive", "noisy", 2)], "noisy") == "conservative"
    assert strategy_of([*changes, change("unset")]) == "aggressive"
    assert strategy_of([*changes, change("set", "balanced", "noisy")], "noisy") == "balanced"


def test_what_was_learned_of_other_parameters_is_passed_over_and_the_reason_says_so():
    first = change("learned", "conservative", verdict_id=1, parameters=["c1"])
    second = change("learned", "aggressive", verdict_id=2, parameters=["a1", "older"])
    found = chosen([first, second], "job:nlu", "balanced", TODAY)
    changed = "aggressive has other parameters now; `overnight learn run` measures it"
    assert (found.strategy, found.why) == ("conservative", f"learned, verdict 1, as {changed}")
    found = chosen([second], "job:nlu", "balanced", TODAY)
    assert (found.strategy, found.why) == ("balanced", f"the default of the settings, as {changed}")
    removed = change("learned", "bold", "noisy", 3, ["x"])
    assert chosen([removed], "noisy", "balanced", TODAY).why.endswith(", as bold is no strategy any more")
    by_hand = change("set", "aggressive")
    assert strategy_of([second, by_hand]) == "aggressive", "a person sets a name, whatever its parameters are"
    assert strategy_of([change("learned", "aggressive", verdict_id=2, parameters=["a1"])]) == "aggressive"


def test_a_rollback_goes_back_one_step_and_then_another():
    changes = [change("learned", "aggressive", verdict_id=1), change("learned", "conservative", verdict_id=2)]
    assert before_last(changes, ALL) == "aggressive"
    back = [*changes, change("rolled_back", "aggressive")]
    assert strategy_of(back) == "aggressive"
    assert before_last(back, ALL) is None, "before that, the settings said it"
    again = [*back, change("rolled_back")]
    assert strategy_of(again) == "balanced"
    with pytest.raises(UserMistake, match="nothing was learned that could be rolled back"):
        before_last(again, ALL)
    with pytest.raises(UserMistake, match="nothing was learned for noisy"):
        before_last(changes, "noisy")


def test_a_rollback_of_nothing_that_is_left_in_the_history_changes_nothing():
    assert strategy_of([change("rolled_back"), change("learned", "aggressive", verdict_id=1)]) == "aggressive"
