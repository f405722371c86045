"""A file is taken once and a job is submitted once, wherever the process dies, and whoever else looks."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import wait_for
from overnight import Project
from overnight.app import intake as module
from overnight.app.intake import Intake
from overnight.base.errors import DatabaseBusy
from overnight.base.points import Point
from overnight.data.inbox import refused
from overnight.testing.bench import Crash, CrashHook
from overnight.testing.clock import FakeClock
from served import OVERRIDES, batch, died, numbers_in, snapshot_of, some, unused, used_by

TESTS = str(Path(__file__).parents[1])


@contextlib.contextmanager
def opened(folder, database_url, **more):
    options = {**OVERRIDES, "engine.database": database_url, **more.pop("overrides", {})}
    with Project.create(folder, overrides=options, **more) as project:
        yield project


@pytest.fixture
def project(tmp_path):
    with opened(tmp_path / "p", f"sqlite:///{tmp_path / 'o.db'}", clock=FakeClock()) as made:
        yield made


def lay(project, number, experiences, **more):
    path = project.state_dir / "experiences" / f"experiences_points_{number}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(batch(f"b{number}", experiences, **more)))
    return path


# With enough experiences at once, a look is two transactions: one takes the batch, the other submits the job.
CRASHES = [(point, visit) for point in (Point.WRITER_BEGUN, Point.WRITER_BEFORE_COMMIT) for visit in (1, 2)]
CRASHES += [(Point.WRITER_AFTER_COMMIT, 1), (Point.WRITER_AFTER_COMMIT, 2)]


@pytest.mark.parametrize(("point", "visit"), CRASHES)
def test_a_crash_at_any_point_of_a_look_costs_and_doubles_nothing(tmp_path, database_url, point, visit):
    hook = CrashHook()
    options = {**OVERRIDES, "engine.database": database_url}
    project = Project.create(tmp_path / "p", overrides=options, hook=hook)
    lay(project, 1, some(*range(12)))
    hook.crash_at(point, visit)
    with pytest.raises(Crash):
        Intake(project).work()
    died(project)
    with opened(tmp_path / "p", database_url) as project:
        Intake(project).work()
        [job] = project.jobs()
        assert used_by(project, job.job_id) == snapshot_of(project, job.job_id) == list(range(12))
        assert numbers_in(project) == list(range(12))
        folder = project.state_dir / "experiences"
        assert [path.name for path in folder.rglob("*.json")] == ["experiences_points_1.json"]
        assert (folder / "processed" / "experiences_points_1.json").exists()


# A child that takes what lies in the folder, and kills itself before or after the n-th call of a function.
KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
from served import OVERRIDES
from overnight import Project
from overnight.app.intake import Intake
folder, url, where, when, number = sys.argv[1:]
number = int(number)
def deadly(function):
    def call(*given, **more):
        global number
        number -= 1
        if number == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*given, **more)
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return call
with Project.open(folder, overrides={{**OVERRIDES, "engine.database": url}}) as project:
    project.database.writer.start()
    module = {{"rename": pathlib.Path, "fsync": os}}[where]
    setattr(module, where, deadly(getattr(module, where)))
    Intake(project).work()
"""


@pytest.mark.chaos
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("where", "number"), [("rename", 1), ("rename", 3), ("fsync", 1), ("fsync", 2)])
def test_a_process_that_is_killed_while_it_takes_files_loses_and_doubles_nothing(tmp_path, where, number, when):
    folder, url = tmp_path / "p", f"sqlite:///{tmp_path / 'o.db'}"
    with opened(folder, url) as project:
        for one in range(3):
            lay(project, one, some(*range(5 * one, 5 * one + 5)))
        lay(project, 3, [{"type": "broken"}])
    child = [sys.executable, "-c", KILLED.format(tests=TESTS), str(folder), url, where, when, str(number)]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    with opened(folder, url) as project:
        Intake(project).work()
        assert numbers_in(project) == list(range(15))
        [job] = project.jobs()
        assert used_by(project, job.job_id) == snapshot_of(project, job.job_id)
        assert sorted(used_by(project, job.job_id) + unused(project)) == list(range(15))
        names = {path.relative_to(folder / ".overnight/experiences").as_posix() for path in _files(folder)}
        put_away = {f"processed/experiences_points_{one}.json" for one in range(3)}
        broken = "failed/experiences_points_3.json"
        assert names == put_away | {broken, f"{broken}.reason.txt"}
        assert [one.name for one in refused(folder / ".overnight/experiences")] == ["experiences_points_3.json"]


def _files(folder):
    # A reason that was half written when its writer died is a hidden file.
    found = (folder / ".overnight" / "experiences").rglob("*")
    return [path for path in found if path.is_file() and not path.name.startswith(".")]


@pytest.mark.postgres
def test_two_daemons_that_look_at_one_folder_take_each_file_once(tmp_path, postgres_database):
    folder = tmp_path / "p"
    with opened(folder, postgres_database) as one, opened(folder, postgres_database) as other:
        pair = [Intake(one), Intake(other)]
        for project in (one, other):
            project.database.writer.start()
        for number in range(40):
            lay(one, number, some(*range(3 * number, 3 * number + 4)))
        for intake in pair:
            intake.start()
        try:
            wait_for(lambda: len(list((folder / ".overnight/experiences/processed").glob("*"))) == 40)
        finally:
            for intake in pair:
                intake.stop()
        assert sorted(numbers_in(one)) == list(range(121))
        [job] = one.jobs()
        assert sorted(used_by(one, job.job_id)) == snapshot_of(one, job.job_id)
        assert not list((folder / ".overnight/experiences").glob("failed/*"))


def test_the_looks_at_whether_there_are_enough_come_every_so_many_seconds(project):
    with opened(project.folder, project.config.database_url, overrides={"training.min_experiences": 100}) as other:
        other.add_experiences("line", some(*range(20)))
    intake = Intake(project)
    intake.work()
    [first] = project.jobs()
    project.cancel_job(first.job_id)
    with opened(project.folder, project.config.database_url, overrides={"training.min_experiences": 100}) as other:
        other.add_experiences("line", some(*range(20, 40)))
    project.clock.advance(299)
    intake.work()
    assert len(project.jobs()) == 1
    project.clock.advance(1)
    intake.work()
    assert len(project.jobs()) == 2


def test_a_folder_that_is_set_anew_is_taken_up(tmp_path):
    with opened(tmp_path / "p", f"sqlite:///{tmp_path / 'o.db'}") as project:
        intake = Intake(project)
        intake.work()
        (project.folder / "overnight.toml").write_text('[experiences]\nfolder = "in"\n')
        project.reload()
        intake.work()
        shutil.move(lay(project, 1, some(1)), project.folder / "in")
        intake.work()
        assert numbers_in(project) == [1]
        assert (project.folder / "in" / "processed" / "experiences_points_1.json").exists()


def test_what_was_taken_is_removed_after_seven_days(project):
    intake = Intake(project)
    lay(project, 1, some(1))
    intake.work()
    done = project.state_dir / "experiences" / "processed" / "experiences_points_1.json"
    assert done.exists()
    project.clock.jump(done.stat().st_ctime + 8 * 86_400 - project.clock.now_us() / 1e6)
    project.clock.advance(3600)
    intake.work()
    assert not done.exists()


def test_an_error_is_written_down_once_and_the_intake_goes_on(project, monkeypatch, caplog):
    intake, looks = Intake(project), []

    def fails(value, touched):
        looks.append(value)
        if len(looks) < 4:
            raise DatabaseBusy("held by a test")
        return intake_take(value, touched)

    intake_take = intake._take
    monkeypatch.setattr(intake, "_take", fails)
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.01)
    project.database.writer.start()
    path = lay(project, 1, some(1))
    intake.start()
    try:
        wait_for(lambda: not path.exists())
    finally:
        intake.stop()
    assert numbers_in(project) == [1]
    assert [record.getMessage() for record in caplog.records if record.name == "overnight.intake"] == [
        'event=intake_failed error="held by a test"'
    ]


def test_the_folder_is_where_the_settings_say(tmp_path):
    outside = tmp_path / "elsewhere"
    overrides = {"experiences.folder": str(outside)}
    with opened(tmp_path / "p", f"sqlite:///{tmp_path / 'o.db'}", overrides=overrides) as project:
        Intake(project).work()
        assert list(outside.iterdir()) == [] and module.folder_of(project.config) == outside
