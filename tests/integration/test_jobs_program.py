"""Programs as trainers: called by a template, read by JSON or a pattern, stopped, resumed, judged by their end."""

import json
import os
import re
import signal
import time

import psutil
import pytest

from overnight import Project
from overnight.base.errors import ConfigError
from overnight.cli.app import main
from overnight.registry import store as registry
from overnight.training.program import Program, figures_in, filled

PROGRAM = """
import json, os, signal, sys, time
def option(name, default=None):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default
how, epochs, place = option("--how", "json"), int(option("--epochs")), os.path.join(option("--checkpoints"), "epoch")
items = [json.loads(line) for line in open(option("--data"))]
start = int(open(place).read()) if "--resume" in sys.argv else 0
print("resumed from", start, "with", len(items), "items", flush=True)
signal.signal(signal.SIGTERM, lambda *_: (print("leaving", flush=True), sys.exit(0)))
for epoch in range(start + 1, epochs + 1):
    if how == "hang" and epoch == 2: time.sleep(600)
    time.sleep(float(option("--pause", "0.05")))
    if how == "full" and epoch == 3: os.path.exists(place + ".new") or os.symlink("/dev/full", place + ".new")
    with open(place + ".new", "w") as file: file.write(str(epoch))
    os.replace(place + ".new", place)
    loss = 1 / epoch
    if how == "pattern": print(f"| epoch {epoch} | loss {loss:.4f} | {epoch * 10}% ", end="\\r", flush=True)
    else: print(json.dumps({"epoch": epoch, "train_loss": loss, "eval_accuracy": 1 - loss, "note": "x"}), flush=True)
    if how == "code" and epoch == 2: print("out of luck", file=sys.stderr); sys.exit(int(option("--code")))
    if how == "once" and epoch == 2 and start == 0: sys.exit(75)
if how != "nothing": open(os.path.join(option("--model"), "weights.txt"), "w").write(f"{epochs} {start}")
"""


def project_with(tmp_path, *more, **settings):
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(PROGRAM)
    words = [
        "{python}", "train.py", "--data", "{data}", "--epochs", "{epochs}", "--checkpoints", "{checkpoints}",
        "--model", "{model}", *more,
    ]  # fmt: skip
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    table = "\n".join(["[training.models.mine]", f"command = {json.dumps(words)}", 'resume = ["--resume"]', *lines])
    (folder / "overnight.toml").write_text(
        f"[project]\nname = 'p'\n[engine.retry]\nbase_s = 0.05\n[training]\nstall_s = 4\n{table}\n"
    )
    return Project.open(folder)


ITEMS = [{"input": n, "expected_output": n} for n in range(30)]


def ended(project, job_id, limit_s=60):
    end = time.monotonic() + limit_s
    while not (status := project.job(job_id)).ended:
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def trained(project, epochs=4, **wish):
    project.submit_training("mine", ITEMS, job_id="job", epochs=epochs, **wish)
    with project.running():
        return ended(project, "job")


def programs_of(project):
    """Return the command lines of the programs that still work for this project."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [words for words in found if "train.py" in words and any(str(project.folder) in word for word in words)]


def log_of(project, status):
    return (project.folder / ".overnight" / "logs" / "runs" / f"{status.training_run_id}.log").read_text()


def test_a_program_that_prints_json_is_watched_and_its_model_kept(tmp_path):
    with project_with(tmp_path, metric="F1") as project:
        status = trained(project)
        assert (status.status, status.epoch, status.loss, status.metric) == ("completed", 4, 0.25, "F1")
        assert status.val_metric == 0.75
        with project.database.read() as connection:
            version = registry.newest(connection, "mine")
        assert project.blobs.get(str(version.manifest["weights.txt"]["sha256"])) == b"4 0"
        assert re.search(r"resumed from 0 with \d\d items", log_of(project, status))


def test_a_pattern_finds_figures_in_lines_that_are_written_over(tmp_path):
    pattern = r"epoch (?P<epoch>\d+) \| loss (?P<loss>[\d.]+)"
    with project_with(tmp_path, "--how", "pattern", pattern=pattern) as project:
        status = trained(project)
    assert (status.status, status.epoch, status.loss, status.val_metric) == ("completed", 4, 0.25, None)


def test_an_exit_code_that_is_worth_another_try_resumes_from_the_programs_own_place(tmp_path):
    with project_with(tmp_path, "--how", "once", retry_codes=[75]) as project:
        status = trained(project)
        run = project.get(status.training_run_id)
        assert (status.status, run.attempt, json.loads(run.result)["resumed_from"]) == (
            "completed", 2, "its own checkpoints",
        )  # fmt: skip
        assert "resumed from 2" in log_of(project, status)


def test_another_exit_code_fails_at_once_with_the_programs_last_words(tmp_path):
    with project_with(tmp_path, "--how", "code", "--code", "3") as project:
        status = trained(project)
        assert status.status == "failed" and re.search(r"exited with code 3.*out of luck", status.error)
        assert project.get(status.training_run_id).attempt == 1


def test_a_program_that_finds_its_disk_full_goes_on_from_its_last_place_and_fails_with_that_reason(tmp_path):
    with project_with(tmp_path, "--how", "full", retry_codes=[1]) as project:
        status = trained(project)
        assert status.status == "failed" and status.error.endswith("OSError: [Errno 28] No space left on device")
        assert "\n" not in status.error
        places = re.findall(r"resumed from (\d)", log_of(project, status))
        assert places == ["0", "2", "2", "2"] and project.get(status.training_run_id).attempt == 4


def test_a_program_that_leaves_no_model_has_failed(tmp_path):
    with project_with(tmp_path, "--how", "nothing") as project:
        status = trained(project)
    assert status.status == "failed" and "left nothing in its folder {model}" in status.error


def test_a_program_that_cannot_be_started_has_failed(tmp_path):
    with project_with(tmp_path) as project:
        text = (project.folder / "overnight.toml").read_text().replace("{python}", "no-such-program")
        (project.folder / "overnight.toml").write_text(text)
    with Project.open(project.folder) as project:
        status = trained(project)
    assert status.status == "failed" and "no-such-program" in status.error


def test_a_stopped_program_writes_its_place_down_and_goes_on(tmp_path):
    with project_with(tmp_path, "--pause", "0.3") as project:
        project.submit_training("mine", ITEMS, job_id="job", epochs=8)
        with project.running():
            end = time.monotonic() + 30
            while project.job("job").epoch < 2:
                assert time.monotonic() < end
                time.sleep(0.05)
        assert project.job("job").status == "queued"
        with project.running():
            status = ended(project, "job")
        log = log_of(project, status)
    assert status.status == "completed" and "leaving" in log and re.search(r"resumed from [2-7] ", log)


def test_a_program_that_hangs_is_started_again_and_its_process_is_gone(tmp_path):
    with project_with(tmp_path, "--how", "hang") as project:
        project.submit_training("mine", ITEMS, job_id="job", epochs=3)
        with project.running():
            end = time.monotonic() + 60
            while (
                project.job("job").training_run_id is None
                or project.get(project.job("job").training_run_id).attempt < 2
            ):
                assert time.monotonic() < end
                time.sleep(0.1)
            project.cancel_job("job")
            status = ended(project, "job")
        assert status.status == "cancelled" and programs_of(project) == []


def test_a_killed_trainer_takes_its_program_with_it(tmp_path):
    with project_with(tmp_path, "--pause", "0.2") as project:
        project.submit_training("mine", ITEMS, job_id="job", epochs=10)
        with project.running():
            end = time.monotonic() + 30
            while project.job("job").epoch < 2:
                assert time.monotonic() < end
                time.sleep(0.05)
            with project.database.read() as connection:
                keepers = [pid for (pid,) in connection.exec_driver_sql("SELECT pid FROM children")]
            for pid in keepers:
                os.kill(pid, signal.SIGKILL)
            status = ended(project, "job")
            run = project.get(status.training_run_id)
        assert (status.status, run.attempt) == ("completed", 2) and programs_of(project) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"argv": ["x", "{nodata}"]}, r"command: there is no \{nodata\}; known are data"),
        ({"argv": ["x"], "resume": ["{z}"]}, r"resume: there is no \{z\}"),
        ({"argv": ["x"], "pattern": "("}, r"pattern: '\(' is no pattern"),
        ({"argv": ["x"], "pattern": "loss (.*)"}, "pattern: names no figure"),
    ],
)
def test_a_template_that_cannot_work_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Program(**values).check("training.models.mine")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer": "a:B"}, "trainer and command are two ways"),
        ({"pattern": "x"}, "names no figure"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, settings, message):
    with project_with(tmp_path, **settings) as project, pytest.raises(ConfigError, match=message):
        project.submit_training("mine", ITEMS)


def test_words_are_filled_without_being_split():
    assert filled(["{data}", "--x={model}", "{other}", "a b"], {"data": "/a b/c", "model": "{data}"}) == [
        "/a b/c", "--x={data}", "{other}", "a b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "pattern", "told"),
    [
        ('{"epoch": 1.5, "eval_loss": 2, "lr": 1}', None, {"epoch": 1.5, "val_loss": 2.0}),
        ('  {"loss": "0.5"}', None, {"loss": 0.5}),
        ('{"loss": null, "epoch": true}', None, {}),
        ('{"loss": NaN, "val_loss": Infinity, "epoch": 1' + "0" * 400 + "}", None, {}),
        ('{"a":' * 100_000, None, {}),
        ("[1]", None, {}),
        ("{'loss': 0.5}", None, {}),
        (
            "{'loss': '0.52', 'epoch': 1.0}",
            r"'loss': '?(?P<loss>[\d.]+)'?.*'epoch': (?P<epoch>[\d.]+)",
            {"loss": 0.52, "epoch": 1.0},
        ),
        ("nothing", r"(?P<loss>\d+)", {}),
    ],
)
def test_figures_are_found_by_the_names_that_programs_have_for_them(line, pattern, told):
    assert figures_in(line, None if pattern is None else re.compile(pattern)) == told


def test_the_example_trains_its_program(tmp_path, capsys):
    folder = tmp_path / "thermometer"
    assert main(["init", "--example", "own_program", str(folder)]) == 0
    assert "overnight jobs submit thermometer --data readings.jsonl" in capsys.readouterr().out
    submit = ["jobs", "submit", "thermometer", "--data", str(folder / "readings.jsonl"), "--epochs", "40", "--id", "t"]
    assert main(["--project", str(folder), *submit]) == 0
    said = capsys.readouterr().out
    assert "job t completed: version v1.0.0" in said and "share within a degree 1 on experiences" in said
    with Project.open(folder) as project:
        assert project.config.resources.max_total_memory_gb == 64
        with project.database.read() as connection:
            version = registry.newest(connection, "thermometer")
        line = json.loads(project.blobs.get(str(version.manifest["line.json"]["sha256"])))
    assert line["slope"] == pytest.approx(1.8, abs=0.02) and line["offset"] == pytest.approx(32, abs=0.5)
    kept = {path.name for path in (folder / ".overnight" / "checkpoints" / "t").iterdir()}
    assert kept == {"epochs.jsonl", "job.json", "program"}
