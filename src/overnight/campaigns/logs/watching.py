"""Whether a generator is to be waited for any longer. Pure.

Every wait ends: a generator that does not get further within `stall_s` is given up, and it can get further only so
often. Further is a sample more that is made or accepted, up to the total; what else it prints does not count.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from overnight.campaigns.logs.counting import Counts

MOST_BEGINNINGS = 3
"""How often it may begin anew."""
MANY_LINES = 10_000
"""Lines without getting further that say before `stall_s` is over that it does the same again and again."""
FEW_KINDS = 50
"""Of so many lines; more kinds are no repetition."""
SOON = 0.25
"""Share of `stall_s` that is waited for in any case."""
_NAMED = 5
"""Domains that a reason names."""
_KIND = 200
"""Characters of a line that tell its kind."""
_VARYING = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """For how many seconds what is waited for: a first sign of life, a further sample, the end after the last one."""

    start_s: float = 300.0
    stall_s: float = 1800.0
    finish_s: float = 60.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look has shown, at `now_s` of a clock that only moves forward.

    `lines` are new, and `counts` hold what they told; `behind` says that there are more. `alive` tells of the
    generator's process, None where none is known; `exit_code` is how it ended, -9 by signal 9, None if unknown. Look at
    the process first, and read then: what it printed last is in the log once it is gone.
    """

    now_s: float
    counts: Counts
    lines: Sequence[str] = ()
    behind: bool = False
    alive: bool | None = None
    exit_code: int | None = None


class Standing(StrEnum):
    """How a generator stands."""

    GOES_ON = "goes on"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How it stands, and for one that failed in one line why."""

    standing: Standing
    reason: str | None = None


GOES_ON, COMPLETE = Finding(standing=Standing.GOES_ON), Finding(standing=Standing.COMPLETE)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is remembered of the looks at a generator that is to make `total` samples, some of each `expected` domain.

    `since_s` is when it began or got further, `reached` how far. `beginnings` is how often it had begun anew when its
    log was first read to the end, `again` how often all domains together had when it got further. `lines` came since,
    of `kinds` that differ in more than numbers. `behind_s` and `complete_s` are since when it is so, None if it is not.
    """

    patience: Patience
    total: int
    began_s: float
    since_s: float
    expected: tuple[str, ...] = ()
    begun: bool = False
    behind_s: float | None = None
    reached: int | None = None
    beginnings: int = 0
    again: int = 0
    lines: int = 0
    kinds: frozenset[str] = frozenset()
    complete_s: float | None = None

    def look(self, seen: Seen) -> tuple["Watch", Finding]:
        """Return what is remembered from now on, and how it stands."""
        after = self._after(seen)
        return after, after._finding(seen)

    def _after(self, seen: Seen) -> "Watch":
        begun = self.begun or bool(seen.lines) or seen.behind or seen.alive is True
        after = self if begun == self.begun else replace(self, begun=True, since_s=seen.now_s)
        if seen.behind:
            return replace(after, behind_s=seen.now_s if self.behind_s is None else self.behind_s)
        complete_s = None
        if seen.counts.complete(self.total, self.expected):
            complete_s = seen.now_s if self.complete_s is None else self.complete_s
        return replace(after._moved(seen), behind_s=None, complete_s=complete_s)

    def _moved(self, seen: Seen) -> "Watch":
        """Note whether it got further; one that has begun anew may go the same way once more."""
        reached = min(seen.counts.done or 0, self.total) + min(seen.counts.accepted or 0, self.total)
        again = sum(one.begun_anew for one in seen.counts.domains.values())
        if self.reached is None:
            # What stood in the log before is no repetition: it may be of earlier runs.
            beginnings = seen.counts.begun_anew
            return replace(self, reached=reached, again=again, beginnings=beginnings, since_s=seen.now_s)
        if reached > self.reached or again > self.again:
            return replace(self, reached=reached, again=again, since_s=seen.now_s, lines=0, kinds=frozenset())
        return replace(self, lines=self.lines + len(seen.lines), kinds=_with_kinds(self.kinds, seen.lines))

    def _finding(self, seen: Seen) -> Finding:
        if self.behind_s is not None:
            late = seen.now_s - self.behind_s >= self.patience.stall_s
            return _failed("its log grows faster than it can be read") if late else GOES_ON
        if seen.alive is False:
            return self._ended(seen)
        if self.complete_s is not None:
            over = seen.alive is None or seen.now_s - self.complete_s >= self.patience.finish_s
            return COMPLETE if over else GOES_ON
        return self._waiting(seen)

    def _ended(self, seen: Seen) -> Finding:
        code = seen.exit_code
        how = "ended" if code is None else f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
        if code:
            return _failed(f"the generator {how}, {self._where(seen)}")
        if self.complete_s is None:
            return _failed(f"the generator {how} before it was done, {self._where(seen)}")
        return COMPLETE

    def _waiting(self, seen: Seen) -> Finding:
        if not self.begun:
            late = seen.now_s - self.began_s >= self.patience.start_s
            why = f"the generator never started: no process and nothing in its log for {self.patience.start_s:g} s"
            return _failed(why) if late else GOES_ON
        begun_anew = seen.counts.begun_anew - self.beginnings
        if begun_anew > MOST_BEGINNINGS:
            return _failed(f"the generator loops: it began anew {begun_anew} times, {self._where(seen)}")
        waited = seen.now_s - self.since_s
        if self._repeats(waited):
            return _failed(
                f"the generator loops: no further sample in {waited:.0f} s, in which it printed {self.lines} lines, of "
                f"which {len(self.kinds)} differ in more than numbers, {self._where(seen)}"
            )
        why = (
            f"the generator stalled: no further sample in {waited:.0f} s, in which it printed {self.lines or 'no'} "
            f"line{'s' if self.lines != 1 else ''}, {self._where(seen)}"
        )
        return _failed(why) if waited >= self.patience.stall_s else GOES_ON

    def _repeats(self, waited_s: float) -> bool:
        """Tell whether the same lines came again and again, for long enough."""
        if len(self.kinds) > FEW_KINDS or self.lines <= 2 * len(self.kinds):
            return False
        return waited_s >= self.patience.stall_s * (SOON if self.lines >= MANY_LINES else 1)

    def _where(self, seen: Seen) -> str:
        """Return how far it is, and of which domain something is missing."""
        counts = seen.counts
        far = "its log tells no progress" if counts.done is None else f"at {counts.done} of {self.total}"
        lacking = [
            f"{name} {one.done or 0} of {one.total}"
            for name, one in sorted(counts.domains.items())
            if name and not one.complete
        ]
        unseen = [f"{name} not begun" for name in self.expected if name not in counts.domains]
        named = [*lacking, *unseen]
        more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return f"{far} ({', '.join(named[:_NAMED])}{more})" if named else far


def watch(patience: Patience, total: int, now_s: float, expected: tuple[str, ...] = ()) -> Watch:
    """Begin to watch a generator that is to make `total` samples, at least one; see `Watch`."""
    assert total > 0, "nothing is to be waited for"
    return Watch(patience=patience, total=total, began_s=now_s, since_s=now_s, expected=expected)


def _with_kinds(kinds: frozenset[str], lines: Sequence[str]) -> frozenset[str]:
    """Return the kinds with those of further lines, one more than `FEW_KINDS` at the most."""
    found = set(kinds)
    for line in lines:
        if len(found) > FEW_KINDS:
            break
        found.add(_VARYING.sub("", line[:_KIND]))
    return frozenset(found)


def _failed(reason: str) -> Finding:
    return Finding(standing=Standing.FAILED, reason=reason)
