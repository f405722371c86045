"""What is said of a run that has ended."""

import pytest

from overnight.cli.running import took


class Ended:
    def __init__(self, created_us, finished_us, worked_us):
        self.created_us, self.finished_us, self.worked_us = created_us, finished_us, worked_us


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (Ended(0, 0, 0), ""),
        (Ended(0, 3_200_000, 3_000_000), " in 3 s"),
        (Ended(0, 23_800_000, 270_000), " after 24 s, 0.27 s of them at work"),
        (Ended(0, 900_000, 100_000), " in 0.1 s"),
    ],
)
def test_how_long_it_took_and_how_long_it_was_there_where_it_waited(run, said):
    assert took(run) == said
