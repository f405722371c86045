"""What was produced is told of days, months and years that go on, and of the last ones, once they could be whole."""

from datetime import date

import pytest

from overnight.base.errors import ConfigError
from overnight.base.target_settings import TargetSettings
from overnight.reports.targets import check_targets, produced, target_line

TARGETS = {"videos": {"day": (3, 6), "month": (90, 180), "year": (1080,)}}
DAYS = [
    ("videos", "2025-12-31", 5.0),
    ("videos", "2026-01-01", 2.0),
    ("videos", "2026-01-02", 4.0),
    ("others", "2026-01-02", 9.0),
]


def told(today, since):
    return {(one.period, one.label): one for one in produced(TARGETS, DAYS, today, since)}


def test_what_goes_on_and_what_was_over_last_are_told_apart():
    found = told(date(2026, 1, 2), date(2024, 6, 1))
    assert {key: (one.count, one.over) for key, one in found.items()} == {
        ("day", "2026-01-02"): (4, False),
        ("day", "2026-01-01"): (2, True),
        ("month", "2026-01"): (6, False),
        ("month", "2025-12"): (5, True),
        ("year", "2026"): (6, False),
        ("year", "2025"): (5, True),
    }
    assert [key for key, one in found.items() if one.short] == [
        ("day", "2026-01-01"),
        ("month", "2025-12"),
        ("year", "2025"),
    ]
    assert target_line(found["month", "2026-01"]) == "videos this month: 6 of 90 / 180"
    assert target_line(found["day", "2026-01-01"]) == "videos 2026-01-01: 2 of 3 / 6"


@pytest.mark.parametrize(
    ("since", "over"),
    [
        (date(2026, 1, 1), []),
        (date(2025, 12, 31), ["2026-01-01"]),
        (date(2025, 11, 30), ["2026-01-01", "2025-12"]),
        (date(2025, 12, 1), ["2026-01-01"]),
        (date(2025, 1, 1), ["2026-01-01", "2025-12"]),
        (date(2024, 12, 31), ["2026-01-01", "2025-12", "2025"]),
    ],
)
def test_what_began_before_the_project_did_is_not_asked_for(since, over):
    assert [label for (_, label), one in told(date(2026, 1, 2), since).items() if one.over] == over


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({}, "targets.videos: give day, month, year"),
        ({"day": (3, 3)}, r"targets.videos.day: \[3, 3\] does not rise"),
        ({"month": (0, 3)}, "targets.videos.month"),
        ({"year": (9, 3)}, "targets.videos.year"),
    ],
)
def test_what_is_no_target_is_refused(target, why):
    with pytest.raises(ConfigError, match=why):
        check_targets({"videos": TargetSettings(**target)})
    check_targets({"videos": TargetSettings(day=(3, 6, 12), year=(1,))})
