"""A training on a far host, by the driver alone: real processes, a connection that is lost, slow or silent."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from daemons import wait_for
from far_host import SRC, FarHost
from overnight.training.checkpoints import Checkpoints
from overnight.training.experiences import identified
from overnight.training.remote import ORDER, Order
from small_trainer import points

TESTS = Path(__file__).parents[1]


@pytest.fixture
def far(tmp_path):
    made = FarHost(tmp_path / "far")
    yield made
    made.close()


BEGUN = []


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    while BEGUN:
        with BEGUN.pop() as driver:
            driver.kill()


class Job:
    """A project with one job, and the driver that trains it on a host."""

    def __init__(self, folder, far, *, settings=None, program=None, items=None, epochs=24, **order):
        self.project, self.folder, self.far = folder, folder / ".overnight" / "checkpoints" / "j", far
        self.folder.mkdir(parents=True)
        (folder / "small_trainer.py").write_text((TESTS / "small_trainer.py").read_text())
        lines = (f"{json.dumps(item)}\n" for _, item in identified(points() if items is None else items))
        (self.folder / "experiences.jsonl").write_text("".join(sorted(lines)))
        job = {
            "job_id": "j", "model_type": "line", "trainer": None if program else "small_trainer:Line",
            "program": program, "settings": settings or {}, "epochs": epochs, "checkpoint_interval": 4,
            "keep_checkpoints": 3, "validation": 0.3, "seed": 0, "stall_s": 60.0, "slot": None, "folder": "",
        }  # fmt: skip
        given = {
            "job": job, "memory_gb": 0.0, "name": "overnight-1", "pool": "far", "ssh": far.ssh("{name}"),
            "python": sys.executable, "folder": "jobs", "up": [], "ready": [], "timeout_s": 10.0, "silence_s": 10.0,
            "max_hours": None, "price_per_hour": None,
        }  # fmt: skip
        self.write(Order(**{**given, **order}))

    def write(self, order):
        self.order = order
        (self.folder / ORDER).write_text(json.dumps(asdict(order)))

    def begin(self, token=1):
        argv = [sys.executable, "-m", "overnight.training.remote", str(self.folder), str(token)]
        env = {**os.environ, "PYTHONPATH": SRC}
        driver = subprocess.Popen(argv, cwd=self.project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        BEGUN.append(driver)
        return driver

    def end(self, driver):
        out, errors = driver.communicate(timeout=60)
        *_, last = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
        print(last, errors.decode())
        assert driver.returncode == (1 if "error" in last else 0), errors.decode()
        return last

    def run(self, token=1):
        return self.end(self.begin(token))

    def weights(self):
        return (self.folder / "model" / "line.json").read_text()

    def places(self):
        return sorted(path.stem for path in self.folder.glob("epoch_*.json"))


@pytest.fixture
def job(tmp_path, far):
    far.add("overnight-1")
    return lambda **given: Job(tmp_path / "project", far, **given)


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """What a training here gives."""
    from overnight.training.model_job import train_model

    folder = tmp_path_factory.mktemp("calm")
    made = Job(folder, FarHostless())
    given = {**made.order.job, "folder": str(made.folder)}
    result = train_model(Quiet(), **given)
    return made.weights(), result


class FarHostless:
    def ssh(self, host):
        return [host]


class Quiet:
    token, cancelled = 1, False

    def progress(self, *_, **__):
        pass


def test_a_training_there_gives_the_same_bits_and_figures_as_one_here(job, far, calm):
    made = job()
    last = made.run()
    weights, result = calm
    assert made.weights() == weights
    without = ("seconds", "pool", "figures")
    assert {key: value for key, value in last.items() if key not in (*without, "usage")} == {
        key: value for key, value in result.items() if key not in without
    }
    assert last["pool"] == "far" and last["usage"]["cpu_s"] > 0 and last["usage"]["peak_memory_gb"] > 0.01
    assert "cost" not in last["usage"], "nobody said what the host costs"
    assert made.places() == ["epoch_0016", "epoch_0020", "epoch_0024"]
    assert len((made.folder / "epochs.jsonl").read_text().splitlines()) == 24
    wait_for(lambda: far.trainers() == 0)
    assert list((far.homes / "overnight-1" / "jobs").iterdir()) == [], "what arrived is removed there"


def at_epoch(made, driver, epoch):
    """Wait until the driver has told of that epoch."""
    while line := driver.stdout.readline():
        told = json.loads(line)
        if told.get("progress", {}).get("epoch", 0) >= epoch:
            return
    raise AssertionError("the driver ended before")


SLOW = {"pause_s": 0.012}


def test_a_lost_connection_is_worth_another_try_which_goes_on_from_what_has_arrived(job, far, calm):
    made = job(settings=SLOW)
    driver = made.begin()
    at_epoch(made, driver, 10)
    wait_for(lambda: "epoch_0008" in made.places())
    far.drop()
    failed = made.end(driver)
    assert (
        failed["error"]["family"] == "transient"
        and "the connection to pool 'far' was lost" in failed["error"]["message"]
    )
    last = made.run(token=2)
    assert last["resumed_from"] is not None and made.weights() == calm[0]


def test_a_host_that_is_lost_with_its_files_costs_no_more_than_what_came_after_the_last_checkpoint(job, far, calm):
    made = job(settings=SLOW)
    driver = made.begin()
    wait_for(lambda: "epoch_0008" in made.places())
    (far.homes / "overnight-1").rename(far.homes.parent / "gone")
    assert made.end(driver)["error"]["family"] == "transient"
    far.add("overnight-1")
    last = made.run(token=2)
    assert int(last["resumed_from"].split("_")[1]) >= 8 and made.weights() == calm[0]


def test_a_stop_brings_the_checkpoint_home_though_the_signal_reaches_the_whole_tree(job, far, calm):
    made = job(settings=SLOW)
    driver = made.begin()
    at_epoch(made, driver, 6)
    children = subprocess.run(
        ["pgrep", "-f", str(far.clients)], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in [driver.pid, *map(int, children)]:
        os.kill(pid, signal.SIGTERM)
    ended = made.end(driver)
    assert "asked to stop" in ended["error"]["message"]
    [*_, newest] = made.places()
    assert "batch" in newest or int(newest.split("_")[1]) >= 6
    (far.homes / "overnight-1").rename(far.homes.parent / "gone")
    far.add("overnight-1")
    assert made.run(token=2)["resumed_from"] == newest and made.weights() == calm[0]


def test_a_driver_that_is_killed_leaves_nothing_that_trains_on(job, far, calm):
    made = job(settings=SLOW)
    driver = made.begin()
    at_epoch(made, driver, 5)
    driver.kill()
    driver.communicate()
    wait_for(lambda: far.trainers() == 0)
    assert made.run(token=2)["resumed_from"] is not None and made.weights() == calm[0]


def test_a_network_that_says_nothing_any_more_is_noticed(job, far):
    made = job(settings=SLOW, silence_s=3.0)
    driver = made.begin()
    at_epoch(made, driver, 2)
    far.drop(signal.SIGSTOP)
    ended = made.end(driver)
    assert "said nothing for 3 s (pools.far.silence_s)" in ended["error"]["message"]
    wait_for(lambda: far.trainers() == 0)


def test_who_has_the_lower_token_writes_nothing(job, far):
    made = job()
    Checkpoints(folder=made.folder, token=5).take()
    assert made.run(token=4)["error"]["type"] == "StaleToken"
    assert far.trainers() == 0 and made.places() == []


def test_a_later_driver_takes_the_job_from_an_earlier_one_that_is_not_dead(job, far, calm):
    made = job(settings=SLOW)
    earlier = made.begin(token=1)
    at_epoch(made, earlier, 5)
    later = made.begin(token=2)
    wait_for(lambda: json.loads((made.folder / "writer.json").read_text())["token"] == 2)
    assert made.end(earlier)["error"]["type"] in ("StaleToken", "TransientError")
    made.end(later)
    assert made.weights() == calm[0]


def test_what_is_not_reached_is_tried_again_and_what_lacks_overnight_is_told_to_a_person(job, far):
    made = job()
    (far.homes / "overnight-1").rmdir()
    ended = made.run()["error"]
    assert ended["family"] == "transient" and "pool 'far' cannot be reached: ssh: connect to host" in ended["message"]
    far.add("overnight-1")
    far.python_path = "/nowhere"
    made.write(Order(**{**asdict(made.order), "python": f"{sys.executable} -S"}))
    ended = made.run(2)["error"]
    assert ended["family"] == "user" and "-m pip install overnight==" in ended["message"]


def test_another_version_there_is_told_in_one_line_that_says_what_to_do(job, far, tmp_path):
    made = job()
    there = tmp_path / "there"
    there.mkdir()
    (there / "overnight").symlink_to(Path(SRC) / "overnight")
    (there / "sitecustomize.py").write_text("import overnight; overnight.__version__ = '0.0.1'")
    far.python_path = str(there)
    ended = made.run()["error"]
    assert ended["family"] == "user"
    assert "pool 'far' has overnight 0.0.1, and this is 0.1.0; run there: " in ended["message"]
    assert list((far.homes / "overnight-1").iterdir()) == [], "nothing was sent"


@pytest.mark.parametrize(
    ("settings", "family", "message"),
    [
        ({"bad_epoch": 2}, "permanent", "the training diverged"),
        ({"learning": 1}, "user", "there is no 'learning'"),
    ],
)
def test_a_failure_there_keeps_its_family_and_words(job, settings, family, message):
    ended = job(settings=settings).run()["error"]
    assert ended["family"] == family and message in ended["message"]


def test_a_training_that_takes_more_memory_than_it_may_is_ended_there(job):
    made = job(settings={"leak_mb": 30, "pause_s": 0.05}, memory_gb=0.4)
    ended = made.run()
    assert ended["error"]["family"] == "permanent" and "more than memory_gb = 0.4" in ended["error"]["message"]
    assert ended["usage"]["peak_memory_gb"] > 0.4


def test_a_program_trains_there_and_its_own_checkpoints_come_home(job, far):
    code = (
        "import json, pathlib, sys\n"
        "data, keep, out = map(pathlib.Path, sys.argv[1:4])\n"
        "rows = [json.loads(line) for line in data.open()]\n"
        "(keep / 'sub').mkdir(exist_ok=True); (keep / 'sub' / 'state.bin').write_bytes(b'x' * 3_000_000)\n"
        "print(json.dumps({'epoch': 1, 'loss': 0.5})); (out / 'm.txt').write_text(str(len(rows)))\n"
    )
    argv = ["{python}", "own.py", "{data}", "{checkpoints}", "{model}"]
    made = job(program={"argv": argv}, epochs=1)
    (made.project / "own.py").write_text(code)
    last = made.run()
    assert (last["items"], last["figures"]["loss"]) == (28, 0.5)
    assert (made.folder / "model" / "m.txt").read_text() == "28"
    assert (made.folder / "program" / "sub" / "state.bin").stat().st_size == 3_000_000


def test_files_that_experiences_name_are_sent_and_others_are_not(job, far):
    items = [{**item, "input": {"path": "media/one.txt"}, "x": n} for n, item in enumerate(points(4))]
    made = job(items=items, program={"argv": ["cp", "media/one.txt", "{model}/copy"]}, epochs=1)
    (made.project / "media").mkdir()
    (made.project / "media" / "one.txt").write_text("one")
    (made.project / "media" / "two.txt").write_text("secret")
    made.run()
    assert (made.folder / "model" / "copy").read_text() == "one"


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside"])
def test_files_from_outside_the_project_are_never_sent(job, name):
    items = [{**item, "input": {"path": name}, "x": n} for n, item in enumerate(points(4))]
    ended = job(items=items).run()["error"]
    assert ended["family"] == "user" and "only files below the project's folder" in ended["message"]


def test_the_machine_is_brought_up_first_and_its_price_is_counted(tmp_path, far):
    cloud = far.cloud()
    made = Job(tmp_path / "project", far, up=cloud["up"], ready=cloud["ready"], price_per_hour=3600.0)
    last = made.run()
    assert far.told() == ["up"] and far.machines() == ["overnight-1"]
    assert 0.2 < last["usage"]["cost"] < 60


def test_a_machine_that_never_gets_ready_is_told_with_the_reason(tmp_path, far):
    words = ["sh", "-c", "echo booting; exit 3"]
    ended = Job(tmp_path / "project", far, ready=words, timeout_s=3.0).run()["error"]
    assert ended["family"] == "transient"
    assert "is not ready after 3 s: 'sh' exited with code 3: booting" in ended["message"]
