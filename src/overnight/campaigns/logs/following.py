"""Follows a generator by its log, and keeps beside it how far that is, so that another one goes on there.

The place in the log and what was counted up to there are kept together: nothing is counted twice, and nothing left out.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.files import write_json
from overnight.campaigns.logs.counting import Counts, take
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.reading import LogTail
from overnight.campaigns.logs.watching import Finding, Patience, Seen, Standing, Watch, watch

SAID_LINES = 3
"""Of the last lines, how many stand behind a reason."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a followed log.

    `about` tells what was followed, and under which wishes; `log` is the path of the log. `told_us` is when it has told
    something last, None if never; `standing` how the generator stood then. `run_id` is the run that follows it, None
    where a person does.
    """

    log: str
    about: Mapping[str, Any]  # Any: JSON
    place: Mapping[str, Any] | None = None  # Any: JSON, see `LogTail.state`
    counts: Counts = field(default_factory=Counts)
    told_us: int | None = None
    standing: Standing = Standing.GOES_ON
    run_id: int | None = None

    @property
    def complete(self) -> bool:
        """Return whether everything was made."""
        return self.standing is Standing.COMPLETE

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        write_json(path, {**vars(self), "counts": self.counts.to_dict()}, durable=False)

    @classmethod
    def read(cls, path: Path) -> "Kept | None":
        """Return what the file holds; None where there is none, or it is damaged."""
        try:
            values = json.loads(path.read_text())
            counts, standing = Counts.from_dict(values["counts"]), Standing(values["standing"])
            return cls(**{**values, "counts": counts, "standing": standing})
        except (OSError, ValueError, KeyError, TypeError):
            return None


def end_of(log: Path) -> Json:
    """Return the place behind all that a log holds now.

    Raises:
        UserMistake: it cannot be read.
    """
    tail = LogTail(log)
    with closing(tail):
        while tail.read() or tail.behind:
            pass
        tail.rest()
        return tail.state()


class Follower:
    """Follows one log from where `kept` tells, to `total` samples. Used by one thread at a time; close it.

    With `restarted` the generator was started since what was counted: if it begins anew instead of going on, what was
    counted before counts no more.
    """

    def __init__(
        self, kept: Kept, path: Path, *, total: int, patience: Patience, patterns: Patterns, clock: Clock,
        restarted: bool = False,
    ) -> None:  # fmt: skip
        self._kept = kept
        self._path = path
        self._patterns = patterns
        self._clock = clock
        self._tail = LogTail(Path(kept.log), kept.place)
        self._total, self._patience = total, patience
        self._watch = self._new_watch()
        self._since = Counts() if restarted and kept.counts != Counts() else None
        """What was told since the generator was started, until that tells whether it goes on."""

    @property
    def kept(self) -> Kept:
        """Return how far it is."""
        return self._kept

    @property
    def behind(self) -> bool:
        """Return whether there is more to be read at once."""
        return self._tail.behind

    @property
    def last_lines(self) -> list[str]:
        """Return the last lines that were read here."""
        return list(self._tail.tail)

    def look(self, *, alive: bool | None, exit_code: int | None = None) -> Finding:
        """Read what is new, keep it, and return how the generator stands; see `watching.Seen`.

        Raises:
            UserMistake: the log cannot be read.
            OSError: what is known cannot be kept.
        """
        lines = self._tail.read()
        if alive is False and not self._tail.behind:
            lines += self._tail.rest()
        counts = self._count(lines)
        seen = Seen(
            now_s=self._clock.monotonic(), counts=counts, lines=lines, behind=self._tail.behind, alive=alive,
            exit_code=exit_code,
        )  # fmt: skip
        self._watch, finding = self._watch.look(seen)
        told_us = self._clock.now_us() if lines else self._kept.told_us
        before = self._kept
        self._kept = replace(
            before, place=self._tail.state(), counts=counts, told_us=told_us, standing=finding.standing
        )
        if self._kept != before:
            self._kept.write(self._path)
        return finding

    def why(self, finding: Finding) -> str:
        """Return in one line why a generator has failed, with what its log told last."""
        reason, said = finding.reason or str(finding.standing), self.last_lines[-SAID_LINES:]
        return f"{reason}; its last lines: {' | '.join(said)}" if said else reason

    def close(self) -> None:
        """Close the log."""
        self._tail.close()

    def _new_watch(self) -> Watch:
        return watch(self._patience, self._total, self._clock.monotonic())

    def _count(self, lines: Sequence[str]) -> Counts:
        counts = self._kept.counts
        for line in lines:
            before, counts = counts, take(counts, line, self._patterns)
            if self._since is None:
                continue
            self._since = take(self._since, line, self._patterns)
            if counts.begun_anew > before.begun_anew:
                counts, self._since, self._watch = self._since, None, self._new_watch()
            elif self._since.done is not None:
                self._since = None
        return counts
