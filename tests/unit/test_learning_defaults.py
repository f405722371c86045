"""Which strategy executes follows from what was changed, and says why."""

import pytest

from overnight.base.errors import UserMistake
from overnight.learning.defaults import ALL, Change, before_last, chosen

TODAY = {"conservative": {"c1", "c2"}, "balanced": {"b1", "b2"}, "aggressive": {"a1", "a2"}}


def change(how, strategy=None, type_=ALL, verdict_id=None, parameters=None):
    return Change(
        type=type_, strategy=strategy, how=how, by="ada", at_us=0, verdict_id=verdict_id, parameters=parameters
    )


def strategy_of(changes, type_="noisy"):
    return chosen(changes, type_, "balanced", TODAY).strategy


def test_without_a_change_the_settings_say_it():
    found = chosen([], "noisy", "balanced", TODAY)
    assert (found.strategy, found.why) == ("balanced", "the default of the settings")


def test_what_was_learned_of_a_type_comes_before_what_was_learned_of_all():
    changes = [change("learned", "aggressive", verdict_id=1), change("learned", "conservative", "noisy", 2)]
    assert [strategy_of(changes, type_) for type_ in ("noisy", "small_data")] == ["conservative", "aggressive"]
    assert chosen(changes, "noisy", "balanced", TODAY).why == "learned for noisy, verdict 2"


def test_what_a_person_has_set_stays_whatever_is_learned_until_it_is_unset():
    changes = [change("set", "conservative"), change("learned", "aggressive", verdict_id=1)]
    assert strategy_of(changes) == "conservative"
    assert chosen(changes, "noisy", "balanced", TODAY).why == "ada has set it"
    assert strategy_of([*changes, change("learned", "aggressive", "noisy", 2)]) == "conservative"
    assert strategy_of([*changes, change("unset")]) == "aggressive"
    assert strategy_of([*changes, change("set", "balanced", "noisy")]) == "balanced"


def test_what_was_learned_of_other_parameters_is_passed_over_and_the_reason_says_so():
    first = change("learned", "conservative", verdict_id=1, parameters=["c1"])
    second = change("learned", "aggressive", verdict_id=2, parameters=["a1", "older"])
    found = chosen([first, second], "noisy", "balanced", TODAY)
    changed = "aggressive has other parameters now; `overnight learn run` measures it"
    assert (found.strategy, found.why) == ("conservative", f"learned, verdict 1, as {changed}")
    found = chosen([second], "noisy", "balanced", TODAY)
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


def test_where_nothing_was_learned_for_all_types_those_are_named_of_which_something_was():
    changes = [change("learned", "aggressive", "mine", 1), change("learned", "aggressive", "noisy", 2)]
    with pytest.raises(
        UserMistake, match=r"rolled back; learned for mine, noisy: overnight learn rollback --type mine$"
    ):
        before_last(changes, ALL)
    with pytest.raises(UserMistake, match=r"learned for noisy: overnight learn rollback --type noisy$"):
        before_last([*changes, change("rolled_back", type_="mine")], ALL)
    with pytest.raises(UserMistake, match=r"nothing was learned for small_data that could be rolled back$"):
        before_last(changes, "small_data")


def test_a_rollback_of_nothing_that_is_left_in_the_history_changes_nothing():
    assert strategy_of([change("rolled_back"), change("learned", "aggressive", verdict_id=1)]) == "aggressive"
