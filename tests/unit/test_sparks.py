"""Charts in letters: how high each bar is, and what stands where nothing was measured."""

from overnight.reports.sparks import course, spark


def test_bars_go_from_nothing_to_the_greatest_value_and_a_dot_is_no_figure():
    assert spark([0.0, 4.0, 8.0, None]) == "▁▅█·"
    assert spark([float(value) for value in range(9)]) == "▁▂▃▄▅▆▇██"
    assert spark([]) == "" and spark([None]) == "·" and spark([0.0]) == "▁"


def test_bars_up_to_a_bound_stay_within_it():
    assert spark([-3.0, 0.0, 5.0, 10.0, 12.0], 10.0) == "▁▁▅██"
    assert spark([-3.0, -2.0]) == "▁▁"


def test_a_course_goes_from_the_lowest_value_to_the_highest():
    assert course([0.75, 0.5, 1.0], 60) == "▅▁█"
    assert course([0.4, 0.4], 60) == "▁▁" and course([], 60) == ""


def test_a_course_that_is_too_long_keeps_the_last_of_each_group():
    values = [float(place % 3 == 2) for place in range(30)]
    assert course([*values, 0.0, 0.0, 0.0], 11) == "██████████▁"
