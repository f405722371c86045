"""What the rule of placement is told of real projects, and what the command line says of it."""

import json
from pathlib import Path

import pytest

from overnight import Project
from overnight.app import placing
from overnight.app.jobs import place_training
from overnight.cli import app as cli
from overnight.training import jobs
from small_trainer import points

TESTS = Path(__file__).parents[1]
LINE = {"training.models.line.trainer": "small_trainer:Line", "training.validation": 0.3}
POOL = {"pools.far.ssh": ["false"], "pools.far.memory_gb": 1e6, "pools.far.price_per_hour": 2.0}


def project_in(folder, **more):
    folder.mkdir(exist_ok=True)
    (folder / "small_trainer.py").write_text((TESTS / "small_trainer.py").read_text())
    return Project.create(folder, overrides={**LINE, **more})


def recorded(project, seconds, count=2):
    """Have so many jobs in the database that took so long."""
    for number in range(count):
        name = f"done-{number}"
        status = project.submit_training("line", points(), job_id=name, epochs=20)
        project.cancel_job(name)
        assert status.pool == "local"

        def change(tx, name=name):
            jobs.done(
                tx, name, {"figures": {}, "metric": "R2", "model_version": "v"}, seconds=seconds, peak_memory_gb=3.0
            )

        project.database.writer.do(change)


def test_a_project_without_pools_asks_nothing_and_says_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(placing, "placement_of", None)
    with project_in(tmp_path / "p", **{"resources.local_training_max_size_mb": 0.0001}) as project:
        status = project.submit_training("line", points(), job_id="j")
        assert (status.pool, status.placed, status.cost) == ("local", None, None)
        assert not [entry for entry in project.book if entry.task.task_id.startswith("overnight:training/")]


def test_data_above_the_limit_go_to_the_pool_with_the_files_that_they_name(tmp_path):
    with project_in(tmp_path / "p", **POOL, **{"resources.local_training_max_size_mb": 0.1}) as project:
        assert project.submit_training("line", points(), job_id="small").pool == "local"
        (project.folder / "media.bin").write_bytes(bytes(200_000))
        facts = placing._facts
        wish = project.trainings.job("small").wish
        named = [{"input": {"path": "media.bin"}}, {"input": {"path": "media.bin"}}, {"input": {"path": "gone"}}]
        assert facts(project, wish, named, 1_000).data_mb == pytest.approx(0.201)
        assert facts(project, wish, [{"input": {"path": "/etc/passwd"}}], 0).bound.startswith("it reads /etc/passwd")
        placed = placing.placement_of(project, wish, named, 1_000)
        assert placed.pool == "far" and "resources.local_training_max_size_mb" in placed.reason


def test_the_wait_here_follows_from_what_the_unfinished_jobs_are_expected_to_take(tmp_path):
    more = {**POOL, "engine.max_concurrent": 1, "training.local_queue_max_s": 100.0}
    with project_in(tmp_path / "p", **more) as project:
        project.submit_training("line", points(), job_id="unknown", epochs=20)
        placed = place_training(project, "line", points())
        assert placed.pool == "local" and "how long it waits is not known" in placed.considered[0].reasons
        project.cancel_job("unknown")
        recorded(project, seconds=90.0)
        for number in range(2):
            assert project.submit_training("line", points(), job_id=f"q-{number}", epochs=20).pool == "local"
        placed = place_training(project, "line", points(), epochs=20)
        assert placed.pool == "far"
        assert placed.reason == "this machine would make it wait for about 3 min, and far for less"
        far = placed.considered[1].reasons
        assert "about 0.05 USD (0.025 h at 2 USD an hour)" in far and "memory: need 3 GB, capacity 1e+06 GB" in far
        status = project.submit_training("line", points(), job_id="away", epochs=20)
        assert (status.pool, status.placed) == ("far", placed.reason)
        assert (
            place_training(project, "line", points(), epochs=20).considered[1].reasons[2] == "it waits for about 90 s"
        )


@pytest.fixture
def run(tmp_path, capsys):
    with project_in(tmp_path / "p"):
        pass
    (tmp_path / "p" / "points.json").write_text(json.dumps(points()))

    def call(toml, *words):
        (tmp_path / "p" / "overnight.toml").write_text(
            '[training.models.line]\ntrainer = "small_trainer:Line"\n' + toml
        )
        data = str(tmp_path / "p" / "points.json")
        code = cli.main(["--project", str(tmp_path / "p"), "jobs", *words, "--data", data])
        return code, capsys.readouterr().out

    return call


FAR = '[pools.far]\nssh = ["false"]\nmemory_gb = 200_000.0\n'


def test_place_says_where_and_explains_each_place(run):
    code, said = run(FAR, "place", "line", "--memory-gb", "100000", "--explain")
    assert code == 0
    assert said.startswith("far: this machine cannot take it: it needs 1e+05 GB of memory, and ")
    assert "  local: cannot take it\n" in said and "  far: can take it\n    0.0 MB of data\n" in said
    assert "no price is set" in said


def test_place_as_json_and_where_no_place_can_take_it(run):
    code, said = run(FAR, "place", "line", "--memory-gb", "300000", "--json")
    told = json.loads(said)
    assert (code, told["pool"]) == (1, None)
    assert [(one["name"], one["fits"]) for one in told["considered"]] == [("local", False), ("far", False)]
    code, said = run("", "place", "line")
    assert (code, said) == (0, "local: this machine can take it\n")
