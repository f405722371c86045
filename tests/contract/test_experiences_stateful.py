"""Batches, files, jobs and crashes in any order: no experience is lost, none is taken twice, each is used once."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overnight import Project
from overnight.app.experiences import buffer_size
from overnight.app.intake import Intake
from overnight.base.points import Point
from overnight.testing.bench import Crash, CrashHook
from overnight.testing.clock import FakeClock
from served import OVERRIDES, batch, died, numbers_in, snapshot_of, some, unused, used_by
from stateful import check, emptied, sqlite_in

POINTS = (Point.WRITER_BEGUN, Point.WRITER_BEFORE_COMMIT, Point.WRITER_AFTER_COMMIT)
MINIMUM = 6


class Experiences(RuleBasedStateMachine):
    new_url: Callable[[Path], str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="overnight-experiences-"))
        self.url = type(self).new_url(self.folder)
        self.hook, self.clock = CrashHook(), FakeClock()
        self.files = 0
        self.sent: dict[str, list[int]] = {}
        """What each batch holds that was acknowledged, or lies in the folder."""
        self.poor: set[int] = set()
        self.open()

    def open(self) -> None:
        options = {**OVERRIDES, "engine.database": self.url, "training.min_experiences": MINIMUM}
        self.project = Project.create(self.folder / "p", overrides=options, hook=self.hook, clock=self.clock)
        self.intake = Intake(self.project)
        (self.project.state_dir / "experiences").mkdir(exist_ok=True)

    def teardown(self) -> None:
        self.hook.revive()
        self.project.close()
        shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def crashing(self, point: Point | None, visit: int):
        """Let the process die at that visit of the point, and start another one."""
        if point is not None:
            self.hook.crash_at(point, visit)
        try:
            yield
        except Crash:
            self.hook.revive()
            died(self.project)
            self.open()
        finally:
            self.hook.revive()

    numbers = st.lists(st.integers(0, 60), min_size=1, max_size=8)
    point = st.one_of(st.none(), st.sampled_from(POINTS))

    @rule(numbers=numbers, poor=st.booleans(), point=point, visit=st.integers(1, 2))
    def somebody_calls(self, numbers: list[int], poor: bool, point: Point | None, visit: int) -> None:
        batch_id = f"call {len(self.sent)} {self.files}"
        told = False
        with self.crashing(point, visit):
            self.project.add_experiences("line", self.made(numbers, poor), batch_id=batch_id)
            told = True
        if not told:
            # Who was not answered sends it again.
            self.project.add_experiences("line", self.made(numbers, poor), batch_id=batch_id)
        self.sent[batch_id] = numbers

    def made(self, numbers: list[int], poor: bool) -> list[dict[str, object]]:
        # A number is of one quality, so that it is one experience.
        if poor:
            self.poor.update(set(numbers) - {number for one in self.sent.values() for number in one})
        return [one for n in numbers for one in some(n, confidence=0.1 if n in self.poor else 0.9)]

    @rule(numbers=numbers)
    def a_file_is_laid_down(self, numbers: list[int]) -> None:
        self.files += 1
        name = f"file {self.files}"
        path = self.project.state_dir / "experiences" / f"experiences_points_{self.files:04}.json"
        path.write_text(json.dumps(batch(name, self.made(numbers, False))))
        self.sent[name] = numbers

    @precondition(lambda self: self.files)
    @rule(pick=st.integers(0, 100))
    def a_file_is_laid_down_again(self, pick: int) -> None:
        done = sorted((self.project.state_dir / "experiences" / "processed").glob("*.json"))
        if done:
            again = done[pick % len(done)]
            shutil.copy(again, self.project.state_dir / "experiences" / again.name)

    @rule()
    def the_daemon_looks(self) -> None:
        self.intake.work()

    @rule(numbers=numbers, point=st.sampled_from(POINTS), visit=st.integers(1, 3))
    def the_daemon_dies_at_a_look(self, numbers: list[int], point: Point, visit: int) -> None:
        self.a_file_is_laid_down(numbers)
        with self.crashing(point, visit):
            self.intake.work()

    @rule(point=point, visit=st.integers(1, 2))
    def a_person_submits(self, point: Point | None, visit: int) -> None:
        with self.crashing(point, visit):
            if buffer_size(self.project, "line"):
                self.project.submit_training("line")

    @rule()
    def all_jobs_end(self) -> None:
        for status in self.project.jobs(limit=1000):
            if not status.ended:
                self.project.cancel_job(status.job_id)

    @rule()
    def time_passes(self) -> None:
        self.clock.advance(400)

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        there = numbers_in(self.project)
        assert len(there) == len(set(there))

    @invariant()
    def nothing_is_lost(self) -> None:
        there = set(numbers_in(self.project))
        left = {
            one["metadata"]["number"]
            for path in (self.project.state_dir / "experiences").glob("*.json")
            for one in json.loads(path.read_text())["experiences"]
        }
        assert {number for numbers in self.sent.values() for number in numbers} == there | left
        assert not list((self.project.state_dir / "experiences").glob("failed/*"))

    @invariant()
    def each_is_used_by_the_one_job_that_reads_it(self) -> None:
        used = []
        for status in self.project.jobs(limit=1000):
            assert sorted(used_by(self.project, status.job_id)) == snapshot_of(self.project, status.job_id)
            used += used_by(self.project, status.job_id)
        assert not self.poor.intersection(used)
        assert sorted(used + unused(self.project)) == sorted(numbers_in(self.project))
        [held] = self.project.experience_buffer() or [None]
        if held is not None:
            assert (held.used, held.unused + held.below) == (len(used), len(unused(self.project)))

    @invariant()
    def one_job_of_the_rule_at_a_time(self) -> None:
        by_rule = [one for one in self.project.jobs(limit=1000) if one.submitted_by is not None]
        assert sum(not one.ended for one in by_rule) <= 1
        assert all(one.items >= MINIMUM for one in by_rule)


@pytest.mark.no_cover
@pytest.mark.parametrize("where", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_no_experience_is_lost_or_used_twice(where, request, long_form):
    if where == "sqlite":
        check(Experiences, sqlite_in, examples=150 if long_form else 6, steps=30)
    else:
        new_url = emptied(request.getfixturevalue("postgres_database"))
        check(Experiences, new_url, examples=40 if long_form else 3, steps=25)
