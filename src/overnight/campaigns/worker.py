"""A process that makes and checks candidates: it gets orders, and answers each candidate in a line.

Its last argument is the number of its socket; the first line that it reads says what the campaign is. What a generator
raises is a fault of the one candidate; what takes this process with it is noticed by whoever started it.
"""

import json
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.base.errors import OvernightError, said_by
from overnight.campaigns.generators.loading import Generators
from overnight.campaigns.intake import Candidate, Intake
from overnight.campaigns.orders import Campaign
from overnight.campaigns.planted import planted
from overnight.campaigns.ports import Checked, Draft, Generator, Message, Origin

FAILED = "the generator failed"
Json = dict[str, Any]


def main() -> None:
    """Serve orders until nobody asks any more."""
    # Ctrl-C is for whoever started this process, which ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[-1])) as line, line.makefile("rwb") as file:
        campaign = Campaign.from_dict(json.loads(file.readline()))
        sys.path.insert(0, str(Path(campaign.project).resolve()))
        worker = Worker(campaign)
        try:
            for text in file:
                for answer in worker.perform(json.loads(text)):
                    file.write(json.dumps(answer, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
                    file.flush()
        finally:
            worker.close()


class Worker:
    """Does what orders ask for, one after another."""

    def __init__(self, campaign: Campaign) -> None:
        self._domains = {domain.name: domain for domain in campaign.domains}
        self._generators = Generators(campaign.packages)
        self._made: dict[str, Generator] = {}

    def perform(self, order: Json) -> Iterator[Json]:
        """Yield the answers to an order, and an empty one behind the last.

        Orders: `{"count": DOMAIN}` asks for the cells of a domain and how many numbers each has, `{"make": DOMAIN,
        "pairs": [[cell, number], ...]}` for candidates, `{"plant": DOMAIN, "pairs": ...}` how many bad samples, made
        from these good ones, pass.
        """
        try:
            if "count" in order:
                yield {"counts": self._counts(order["count"])}
            elif "make" in order:
                yield from self._candidates(order["make"], order["pairs"])
            else:
                yield {"planted": self._planted(order["plant"], order["pairs"])}
        except Exception as error:  # noqa: BLE001 - whatever a generator does
            yield {"error": said_by(error), "user": isinstance(error, OvernightError) and error.family == "user"}
        yield {}

    def close(self) -> None:
        """End what the generators have started."""
        self._generators.close()

    def _generator(self, name: str) -> Generator:
        if name not in self._made:
            domain = self._domains[name]
            self._made[name] = self._generators.make(domain.generator, domain.settings)
        return self._made[name]

    def _counts(self, domain: str) -> Json:
        generator = self._generator(domain)
        return {
            "generator": f"{generator.name}/{generator.version}",
            "cells": {cell: generator.count(cell) for cell in generator.cells()},
        }

    def _candidates(self, domain: str, pairs: list[tuple[str, int]]) -> Iterator[Json]:
        generator = self._generator(domain)
        for cell, number in pairs:
            yield {"cell": cell, "number": number, **_candidate(generator, cell, number)}

    def _planted(self, name: str, pairs: list[tuple[str, int]]) -> dict[str, tuple[int, int]]:
        """Return for each kind how many bad samples were let through, and of how many."""
        generator, domain = self._generator(name), self._domains[name]
        drafts = [draft for cell, number in pairs if (draft := generator.draft(cell, number)) is not None]
        found: dict[str, tuple[int, int]] = {}
        for place, bad in enumerate(planted(drafts)):
            origin = Origin(domain=name, generator=generator.name, cell="planted", number=place)
            # Each by itself: that another bad one was there already is no merit of the check.
            candidate = Candidate(origin=origin, draft=bad.draft, checked=_checked(generator, bad.draft))
            [judged] = Intake(domain.terms).judge([candidate])
            passed, among = found.get(bad.kind, (0, 0))
            found[bad.kind] = (passed + (judged.reason is None), among + 1)
        return found


def _candidate(generator: Generator, cell: str, number: int) -> Json:
    """Return the draft and what its check says; nothing where there is no sample of that number."""
    try:
        draft = generator.draft(cell, number)
    except Exception as error:  # noqa: BLE001 - whatever a generator does
        return as_json(Draft(messages=(), skeleton="", source={}), Checked(fault=FAILED, detail=said_by(error)))
    return {} if draft is None else as_json(draft, _checked(generator, draft))


def _checked(generator: Generator, draft: Draft) -> Checked:
    try:
        return generator.check(draft)
    except Exception as error:  # noqa: BLE001 - as above
        return Checked(fault=FAILED, detail=said_by(error))


def as_json(draft: Draft, checked: Checked) -> Json:
    """Return a candidate as JSON-able values, without the facts that only its check needs."""
    return {
        "draft": {**asdict(draft), "facts": {}},
        "checked": {"terms": dict(checked.terms), "fault": checked.fault, "detail": checked.detail},
    }


def read_candidate(answer: Mapping[str, Any]) -> tuple[Draft, Checked] | None:
    """Return what `as_json` was given, without the facts; None where there is no sample of that number."""
    if "draft" not in answer:
        return None
    values = dict(answer["draft"])
    values["messages"] = [Message(**one) for one in values["messages"]]
    return Draft(**values), Checked(**answer["checked"])
