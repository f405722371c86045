"""Finished runs go when they are old, but for the newest of their task and what figures are traced to."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app.sweeping import PASS_EVERY_S, Sweeper
from overnight.base.instants import to_datetime
from overnight.db import stream
from overnight.engine import retention
from overnight.engine.flow import Flow
from overnight.engine.retention import Keep, Pass, Rules
from overnight.engine.tables import missed, runs, steps
from overnight.registry import store as registry
from overnight.registry.store import Candidate
from overnight.testing.bench import Bench
from overnight.testing.postgres import create_database, drop_database

DAY_S = 86400


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "sqlite":
        with Bench(tmp_path / "p", f"sqlite:///{tmp_path / 'db'}") as made:
            yield made
        return
    server = request.getfixturevalue("postgres_url")
    url = create_database(server)
    with Bench(tmp_path / "p", url) as made:
        yield made
    drop_database(server, url)


def make(bench, task_id, number):
    ids = [bench.project.submit(task_id) for _ in range(number)]
    bench.work()
    return ids


def sweep(bench):
    sweeper = Sweeper(bench.project)
    while sweeper.work():
        pass
    return sweeper.removed


def left(bench, task_id=None):
    return sorted(run.run_id for run in bench.project.runs(limit=100_000, task_id=task_id))


def count(bench, table):
    with bench.project.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_old_runs_go_and_the_newest_of_each_task_stay(bench):
    bench.add("often", max_concurrent=None)
    bench.add("rare")
    old = make(bench, "often", 130)
    rare = make(bench, "rare", 3)
    bench.after(89 * DAY_S)
    assert sweep(bench) == 0
    bench.after(2 * DAY_S)
    assert sweep(bench) == 30
    assert left(bench, "often") == old[30:]
    assert left(bench, "rare") == rare
    young = make(bench, "often", 10)
    assert sweep(bench) == 10
    assert left(bench, "often") == [*old[40:], *young]


def test_a_task_has_rules_of_its_own_and_tasks_that_are_gone_those_of_the_project(bench):
    bench.add("short", max_concurrent=None, keep_days=1, keep_last=2)
    bench.add("nothing", max_concurrent=None, keep_days=0, keep_last=0)
    short = make(bench, "short", 5)
    make(bench, "nothing", 5)
    bench.after(2 * DAY_S)
    assert sweep(bench) == 8
    assert left(bench) == short[3:]


def test_what_has_not_ended_stays_and_so_does_what_a_living_flow_has_started(bench):
    bench.add("child", keep_days=0, keep_last=0)
    bench.add("later", keep_days=0, keep_last=0)

    def parent(flow: Flow) -> None:
        run = flow.start("child")
        flow.wait(run)
        flow.ask("go", "Go?")

    bench.add("parent", parent, keep_days=0, keep_last=0)
    flow_id = bench.project.submit("parent")
    bench.work()
    bench.project.submit("later", due=to_datetime(bench.clock.now_us()) + timedelta(days=400))
    bench.after(200 * DAY_S)
    assert sweep(bench) == 0
    assert len(left(bench)) == 3
    bench.project.answer(bench.project.questions()[0].question_id, "yes")
    bench.work()
    assert bench.get(flow_id).state.final
    bench.after(1)
    assert sweep(bench) == 2
    assert count(bench, steps) == 0
    assert left(bench, "later") != []


def test_runs_that_versions_name_keep_their_row_without_its_steps(bench):
    def flow(flow: Flow) -> int:
        return flow.step("one", int)

    bench.add("train", flow, keep_days=1, keep_last=0, max_concurrent=None)
    named, other = make(bench, "train", 2)
    assert count(bench, steps) == 2
    candidate = Candidate(
        model="m", run_id=named, snapshot_id="s", manifest={}, signature={}, metrics={"m": 1}, verdict={}
    )
    bench.project.database.writer.do(lambda tx: registry.register(tx, candidate, serve=True, why="first"))
    bench.after(2 * DAY_S)
    assert sweep(bench) == 1
    assert left(bench) == [named] != [other]
    assert bench.get(named).result == "0"
    assert count(bench, steps) == 0


def test_what_a_run_printed_goes_with_it(bench):
    bench.add("task", keep_days=0, keep_last=0)
    [run_id] = make(bench, "task", 1)
    logs = bench.project.state_dir / "logs" / "runs"
    logs.mkdir(parents=True, exist_ok=True)
    for name in (f"{run_id}.log", f"{run_id}.log.1", "9999.log"):
        (logs / name).write_text("x")
    bench.after(1)
    assert sweep(bench) == 1
    assert [path.name for path in logs.iterdir()] == ["9999.log"]


def test_old_records_of_missed_instants_go_but_for_the_newest_of_each_task(bench):
    for number in range(150):
        row = {"task_id": "t", "first_us": number, "last_us": number, "instants": 1, "reason": "late", "noted_us": 1}
        bench.project.database.writer.do(lambda tx, row=row: tx.connection.execute(sa.insert(missed).values(row)))
    bench.work()
    sweep(bench)
    assert count(bench, missed) == 100


def test_a_pass_is_begun_once_an_hour(bench):
    bench.add("task", keep_days=0, keep_last=0, max_concurrent=None)
    sweeper = Sweeper(bench.project)
    while sweeper.work():
        pass
    make(bench, "task", 2)
    bench.after(PASS_EVERY_S - 1)
    assert not sweeper.work()
    bench.after(1)
    while sweeper.work():
        pass
    assert sweeper.removed == 2


def test_batches_are_small_and_cover_everything(bench, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 7)
    monkeypatch.setattr(retention, "CHUNK", 11)
    bench.add("task", keep_days=0, keep_last=10, max_concurrent=None)
    ids = make(bench, "task", 60)
    bench.after(1)
    running = Pass(rules=Rules(tasks={"task": Keep(days=0, last=10)}, default=Keep()), now_us=bench.clock.now_us())
    found = []
    while (batch := retention.step(bench.project.database, running)).more:
        assert len(batch.doomed) <= 7
        found += batch.doomed
    assert [*found, *batch.doomed] == ids[:50]


@pytest.mark.no_cover
def test_the_file_stays_as_large_as_it_is_through_many_runs(tmp_path, long_form):
    rounds, each = (100, 2000) if long_form else (12, 400)
    path = tmp_path / "db"
    with Bench(tmp_path / "p", f"sqlite:///{path}", slots=64) as bench:
        bench.add("task", keep_days=1, max_concurrent=None)
        sizes = []
        for _ in range(rounds):
            make(bench, "task", each)
            bench.after(DAY_S)
            sweep(bench)
            # The stream of events has a bound of its own (4 MB), which a short test would not reach.
            bench.project.database.writer.do(lambda tx: stream.trim(tx.connection, 50_000))
            sizes.append(path.stat().st_size)
        with bench.project.database.read() as connection:
            kept = connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()
    print(f"{rounds * each} runs, {kept} kept, sizes {sizes}")
    assert kept == 100
    assert sizes[-1] <= sizes[2] * 1.1
