"""Experiences get a name by what they hold, count once, and keep their side of the split."""

import pytest

from overnight.base.errors import NotJson, UserMistake
from overnight.training.experiences import complaint, identified, parted, paths_in


def item(number, **more):
    return {"input": number, "expected_output": number % 3, **more}


def test_equal_ones_count_once_and_keep_the_place_of_the_first():
    found = identified([item(1), item(2), item(1), {"expected_output": 2, "input": 2}, item(3)])
    assert [place for place, _ in found] == [0, 1, 4]
    assert len({one["id"] for _, one in found}) == 3


def test_an_id_of_its_own_does_not_make_an_experience_another_one():
    [(_, one), *others] = identified([item(1, id="a"), item(1, id="b"), item(1)])
    assert not others and len(one["id"]) == 64


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([item(1), 5], UserMistake, r"experiences\[1\]: int is not an object"),
        ([item(float("nan"))], NotJson, r"experiences\[0\] is not JSON"),
        ([{"input": {1, 2}}], NotJson, r"experiences\[0\] is not JSON"),
        ([item(1), {"input": "\ud800"}], NotJson, r"experiences\[1\] is not JSON: .*surrogates"),
    ],
)
def test_what_is_no_experience_is_told_with_its_place(given, error, message):
    with pytest.raises(error, match=message):
        identified(given)


def test_an_item_keeps_its_side_as_others_join():
    few, many = ([one for _, one in identified(map(item, range(count)))] for count in (200, 2000))
    sides = [{one["id"] for one in parted(items, share=0.2, seed=1)[1]} for items in (few, many)]
    assert sides[0] == sides[1] & {one["id"] for one in few}
    assert 0.15 < len(sides[1]) / 2000 < 0.25


def test_another_seed_takes_others_and_no_share_takes_none():
    items = [one for _, one in identified(map(item, range(500)))]
    one, other = (parted(items, share=0.2, seed=seed)[1] for seed in (1, 2))
    assert one != other
    assert parted(items, share=0.0, seed=1)[1] == []


def test_a_group_is_on_one_side():
    items = [one for _, one in identified(item(n, metadata={"group": n % 20, "x": n}) for n in range(400))]
    training, validation = parted(items, share=0.3, seed=0)
    groups = [{one["metadata"]["group"] for one in part} for part in (training, validation)]
    assert groups[0].isdisjoint(groups[1]) and all(groups)


@pytest.mark.parametrize("metadata", [None, 5, {"group": None}, {}])
def test_without_a_group_an_item_stands_for_itself(metadata):
    items = [one for _, one in identified(item(n, metadata=metadata) for n in range(50))]
    assert sum(map(len, parted(items, share=0.5, seed=0))) == 50


def test_the_first_few_that_are_wrong_are_told_and_the_rest_is_counted():
    wrong = [(place, "input: missing") for place in (2, 3, 5, 8)]
    assert complaint(wrong[:1], 9) == "1 of 9 experiences cannot be used: experiences[2]: input: missing"
    assert complaint(wrong, 9).endswith("experiences[5]: input: missing; and 1 more")


def test_text_with_a_whole_surrogate_pair_is_text():
    [(_, one)] = identified([{"input": "\U0001f600 \\ud8"}])
    assert one["input"] == "\U0001f600 \\ud8"


def test_what_goes_round_in_a_circle_is_not_json():
    circle = item(1)
    circle["metadata"] = {"again": circle}
    with pytest.raises(NotJson, match=r"experiences\[0\] is not JSON"):
        identified([circle])


def test_the_files_that_an_experience_reads_are_found_wherever_they_stand():
    item = {
        "input": {"enrol": [{"path": "a.wav"}, {"wav": "..."}], "test": {"path": "b.wav"}},
        "expected_output": {"path": "c.png"},
        "metadata": {"path": "not read"},
    }
    assert sorted(paths_in(item)) == ["a.wav", "b.wav", "c.png"]
    assert paths_in({"input": "text", "expected_output": {"path": 3}}) == []
