"""A generator that hands over what nobody can keep, for tests: each number of cell c0 something else."""

import os
import signal
from dataclasses import replace

from overnight.campaigns.ports import Checked, Message
from small_generator import Sums

HALF = "\ud800 half"


def content(draft, text):
    return replace(draft, messages=[*draft.messages[:-1], Message(role="assistant", content=text)])


class Poison(Sums):
    name = "poison"

    def draft(self, cell, number):
        draft = super().draft(cell, number)
        if cell != "c0":
            return draft
        return {
            0: lambda: content(draft, "x" * 30_000_000),
            1: lambda: content(draft, HALF),
            2: lambda: content(draft, "a\x00b"),
            3: lambda: replace(draft, source={HALF: "a\x00b"}),
            4: lambda: "a text",
            5: lambda: content(draft, b"\xff\x00"),
            6: lambda: replace(draft, source={"licence": None}),
            7: lambda: replace(draft, skeleton="s" * 3_000_000),
            8: lambda: 1 // 0,
            9: self.forks,
            10: lambda: replace(draft, facts={"raise": HALF}),
            11: lambda: replace(draft, facts={"say": {"beauty": 1.0}}),
            12: lambda: replace(draft, facts={"say": {"coherence": float("nan")}}),
            13: lambda: replace(draft, facts={"say": None}),
            14: lambda: replace(draft, facts={"fault": HALF + "\x00" + "f" * 1_000_000}),
            15: lambda: replace(draft, messages=[Message(role="ghost", content="")]),
            16: lambda: replace(draft, facts={"exit": True}),
        }.get(number, lambda: draft)()

    def forks(self):
        if os.fork() == 0:
            return super().draft("c0", 9)
        if os.fork() == 0:
            signal.pause()  # holds whatever was open
        return super().draft("c0", 9)

    def check(self, draft):
        facts = draft.facts
        if "raise" in facts:
            raise ValueError(facts["raise"])
        if "fault" in facts:
            return Checked(fault=facts["fault"], detail=facts["fault"])
        if "exit" in facts:
            raise SystemExit(0)
        if "say" in facts:
            return facts["say"] and Checked(terms=facts["say"])
        return super().check(draft)
