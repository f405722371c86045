"""A process that makes and checks candidates: it gets orders, and answers each candidate in a line.

Its last argument is the number of its socket; the first line that it reads says what the campaign is. What a generator
raises is a fault of the one candidate; what takes this process with it is noticed by whoever started it.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BufferedRWPair
from itertools import chain, islice
from pathlib import Path
from typing import Any

from overnight.base.errors import BudgetSpent, EndpointAway, OvernightError, said_by
from overnight.campaigns.generators.loading import Generators
from overnight.campaigns.handed import NOTHING, as_json, cells_of, checked, drafted, failed
from overnight.campaigns.intake import Candidate, Intake
from overnight.campaigns.orders import Campaign
from overnight.campaigns.planted import EACH, planted
from overnight.campaigns.ports import Checked, Draft, Generator, Origin

Json = dict[str, Any]
MOST_GOOD = 2 * EACH
"""Drafts that bad samples are made from: some of them cannot be made bad in each way."""
_TRIED = 10 * EACH
"""Candidates beside those of the pilot, until there are enough."""


def main() -> None:
    """Serve orders until nobody asks any more."""
    # Ctrl-C is for whoever started this process, which ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[-1])) as line, line.makefile("rwb") as file:
        campaign = Campaign.from_dict(json.loads(file.readline()))
        sys.path.insert(0, str(Path(campaign.project).resolve()))
        worker = Worker(campaign)
        try:
            serve(worker, file)
        finally:
            worker.close()


def serve(worker: "Worker", file: "BufferedRWPair[Any, Any]") -> None:
    """Answer the orders that come, until one cannot be done.

    Whoever asks gives all up then, and ends this process: what the next order would ask a language model for would be
    paid, and lost. There may be money for it again once requests that were in flight have cost less than they might.
    """
    for text in file:
        failed = False
        for answer in worker.perform(json.loads(text)):
            failed = failed or "error" in answer
            file.write(json.dumps(answer, ensure_ascii=True, separators=(",", ":")).encode() + b"\n")
            file.flush()
        if failed:
            return


class Worker:
    """Does what orders ask for, one after another."""

    def __init__(self, campaign: Campaign) -> None:
        self._domains = {domain.name: domain for domain in campaign.domains}
        self._generators = Generators(campaign)
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
            yield {
                "error": said_by(error),
                "family": error.family if isinstance(error, OvernightError) else "permanent",
                "spent": isinstance(error, BudgetSpent),
            }
        yield {}

    def close(self) -> None:
        """End what the generators have started."""
        self._generators.close()

    def _generator(self, name: str) -> Generator:
        if name not in self._made:
            self._made[name] = self._generators.make(self._domains[name])
        return self._made[name]

    def _counts(self, domain: str) -> Json:
        generator = self._generator(domain)
        return {
            "generator": f"{generator.name}/{generator.version}",
            "cells": cells_of(generator),
            "at_once": at_once(generator),
        }

    def _candidates(self, domain: str, pairs: list[tuple[str, int]]) -> Iterator[Json]:
        generator = self._generator(domain)
        me = os.getpid()
        if at_once(generator) > 1:
            with ThreadPoolExecutor(at_once(generator)) as threads:
                yield from threads.map(lambda pair: _answer(generator, *pair), pairs)
            return
        for cell, number in pairs:
            answer = _answer(generator, cell, number)
            if os.getpid() != me:
                os._exit(0)  # a copy that the generator has forked must not answer too
            yield answer

    def _planted(self, name: str, pairs: list[tuple[str, int]]) -> dict[str, tuple[int, int]]:
        """Return for each kind how many bad samples were let through, and of how many."""
        generator, domain = self._generator(name), self._domains[name]
        drafts = list(islice(_good(generator, pairs), MOST_GOOD))
        found: dict[str, tuple[int, int]] = {}
        for place, bad in enumerate(planted(drafts)):
            origin = Origin(domain=name, generator=generator.name, cell="planted", number=place)
            # Each by itself: that another bad one was there already is no merit of the check.
            candidate = Candidate(origin=origin, draft=bad.draft, checked=_checked(generator, bad.draft))
            [judged] = Intake(domain.terms).judge([candidate])
            passed, among = found.get(bad.kind, (0, 0))
            found[bad.kind] = (passed + (judged.reason is None), among + 1)
        return found


def _good(generator: Generator, pairs: list[tuple[str, int]]) -> Iterator[Draft]:
    """Yield drafts that the check finds good: those of the pilot, then others, where a domain has few in it."""
    of_pilot = {(cell, number) for cell, number in pairs}
    cells = cells_of(generator).items()
    others = ((cell, number) for number in range(_TRIED) for cell, most in cells if most is None or number < most)
    more = (pair for pair in others if pair not in of_pilot)
    for cell, number in chain(pairs, islice(more, _TRIED)):
        with suppress(Exception):
            draft, fault = drafted(generator.draft(cell, number))
            if fault is None and _checked(generator, draft).fault is None:
                yield draft


def at_once(generator: Generator) -> int:
    """Return how many threads may call it at the same time."""
    return max(1, int(getattr(generator, "at_once", 1)))


def _answer(generator: Generator, cell: str, number: int) -> Json:
    return {"cell": cell, "number": number, **_candidate(generator, cell, number)}


def _candidate(generator: Generator, cell: str, number: int) -> Json:
    """Return the draft and what its check says; nothing where there is no sample of that number."""
    try:
        found = generator.draft(cell, number)
    except (BudgetSpent, EndpointAway):
        raise  # no fault of this candidate, and the same for all that follow
    except Exception as error:  # noqa: BLE001 - whatever a generator does
        return as_json(NOTHING, failed(said_by(error)))
    if found is None:
        return {}
    draft, fault = drafted(found)
    return as_json(draft, fault or _checked(generator, draft))


def _checked(generator: Generator, draft: Draft) -> Checked:
    try:
        return checked(generator.check(draft))
    except (BudgetSpent, EndpointAway):
        raise
    except Exception as error:  # noqa: BLE001 - as above
        return failed(said_by(error))
