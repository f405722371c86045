"""A generator of sums for tests: quick, and wrong, slow, silent or deadly where its settings say so."""

import os
import signal
import time
from pathlib import Path

from overnight.campaigns.ports import COHERENCE, CONSISTENCY, GROUNDEDNESS, Checked, Draft, Message

WORDS = ["apples", "pears", "plums", "nuts", "figs", "dates", "limes", "kiwis", "melons", "grapes"]


class Sums:
    """`wrong` of ten numbers are wrong, `blind` lets bad answers pass; `dies_at` ends the process at that number.

    `waits_for` is a file that it makes before it checks an empty answer for ever.
    """

    name = "sums"

    def __init__(
        self,
        cells=3,
        numbers=None,
        wrong=0,
        blind=False,
        dies_at=None,
        hangs_at=None,
        none_at=(),
        pause_s=0.0,
        waits_for=None,
        grounded=0.9,
        at_once=1,
        version=1,
    ):
        self.at_once, self.version = at_once, version
        self.numbers, self.wrong, self.blind, self.pause_s = numbers, wrong, blind, pause_s
        self.dies_at, self.hangs_at, self.none_at = dies_at, hangs_at, none_at
        self.waits_for, self.grounded = waits_for, grounded
        self._cells = [f"c{place}" for place in range(cells)]

    def cells(self):
        return self._cells

    def count(self, cell):
        return self.numbers

    def draft(self, cell, number):
        time.sleep(self.pause_s)
        if number == self.dies_at and cell == "c0":
            os._exit(3)
        if number in self.none_at:
            return None
        left, right = number * 7919 + 13, int(cell[1:]) * 104_729 + number
        word, other = WORDS[number % 10], WORDS[(number // 10) % 10]
        task = f"{cell}: {left} {word} and {right} {word} of {other} box {left * right} make how many?"
        answer = left + right + (1 if number % 10 < self.wrong else 0)
        if log := os.environ.get("DRAFTED"):
            with Path(log).open("a") as file:
                file.write(f"{cell} {number}\n")
        return Draft(
            messages=[Message(role="user", content=task), Message(role="assistant", content=f"They make {answer}.")],
            skeleton=f"{cell}/{number}",
            source={"name": f"{cell}/{number // 4}", "licence": "CC0-1.0", "version": "1"},
            facts={"sum": left + right},
        )

    def check(self, draft):
        if self.waits_for is not None and draft.messages[-1].content == "":
            Path(self.waits_for).touch()
            signal.pause()
        if not self.blind and draft.messages[-1].content != f"They make {draft.facts['sum']}.":
            return Checked(fault="the sum is wrong")
        return Checked(
            terms={CONSISTENCY: 1.0, GROUNDEDNESS: max(self.grounded, draft.facts["sum"] % 2), COHERENCE: 0.8}
        )


class Others(Sums):
    """The same with texts of its own."""

    def draft(self, cell, number):
        return super().draft(f"other {cell}".replace("other c", "d"), number) if cell else None


class Uneven(Sums):
    """All cells but the last one say nearly the same all the time; the last one speaks of thirty things."""

    def draft(self, cell, number):
        made = super().draft(cell, number)
        thing = f"thing{number % 30}" if cell == self._cells[-1] else "apples"
        left, right = number * 7919 + 13, int(cell[1:]) * 104_729 + number
        words = " ".join([thing, *(f"{thing}{place}" for place in range(8))])
        task = f"{left} {words} and {right} of them make how many?"
        return Draft(
            messages=[Message(role="user", content=task), made.messages[1]],
            skeleton=made.skeleton,
            source=made.source,
            facts=made.facts,
        )
