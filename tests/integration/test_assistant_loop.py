"""The loop closes by itself: an assistant serves, its users teach, better versions take over, worse ones do not.

All of it is real: the daemon and both services of the example are processes of their own, memory is allocated, users
ask over HTTP all the time. Shortened are the times that a stage lasts; a training is slowed down, to be seen at work.
"""

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace

import psutil
import pytest

from daemons import Daemon, wait_for
from overnight.app.examples import new_project

EXAMPLE = Path(__file__).parents[2] / "src" / "overnight" / "examples" / "assistant"
PATIENCE_S = 60.0
NEW = ("recipe", ["how do i cook {dish}", "what goes into {dish}", "a recipe of {dish} please"])
DISHES = ["rice", "soup", "beans", "pie", "stew", "curry", "bread", "cake"]
TOML = """
[engine]
grace_s = 1.0
[engine.retry]
base_s = 0.1
[resources]
max_total_memory_gb = 1.0
host_reserve_gb = 0.0
[training.models.nlu]
trainer = "paced:{trainer}"
memory_gb = 0.5
[models.nlu.rollout]
monitor_duration_seconds = 0.4
min_requests = 15
replay = false
"""
PACED = '''
"""Trainers of the test: one that takes its time, and one whose models break at some requests."""

import time

from overnight.training.models.nlu import Nlu


class Paced(Nlu):
    def train_batch(self, rows, epoch):
        time.sleep(0.15)
        return super().train_batch(rows, epoch)


class Fragile(Nlu):
    asked = 0

    def predict(self, inputs):
        # Not at once: what fails with the first requests is noticed before any user meets it.
        Fragile.asked += len(inputs)
        if Fragile.asked > 30 and any("thanks" in text for text in inputs):
            raise RuntimeError("it cannot take thanks")
        return super().predict(inputs)
'''


def data_module():
    spec = importlib.util.spec_from_file_location("assistant_data", EXAMPLE / "data.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DATA = data_module()


def ports(count):
    with_them = [socket.socket() for _ in range(count)]
    for one in with_them:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in with_them]
    for one in with_them:
        one.close()
    return found


def post(port, path, body):
    """Ask, and where nobody answers, again: a user waits for half a minute, too."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    until = time.monotonic() + PATIENCE_S / 2
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class Loop:
    """The example as a project, its users, and what was seen of it."""

    def __init__(self, folder, state):
        new_project(folder, "assistant")
        self.assistant, self.generator = ports(2)
        os.environ["ASSISTANT_PORT"], os.environ["GENERATOR_PORT"] = str(self.assistant), str(self.generator)
        os.environ["XDG_STATE_HOME"] = str(state)
        (folder / "paced.py").write_text(PACED)
        self.folder = folder
        self.daemon = Daemon.__new__(Daemon)
        self.daemon.folder, self.daemon.state = folder, folder / ".overnight"
        self.configure("Paced")
        self.begun = time.monotonic()
        self.story = []
        self.answered, self.lost, self.most_gb = Counter(), [], 0.0
        self._over = threading.Event()
        self._users = [threading.Thread(target=self._ask, args=(number,)) for number in range(2)]
        self._users.append(threading.Thread(target=self.watch_memory))

    def configure(self, trainer, least=15):
        # What is not recorded cannot be tried before users meet it: the guard alone is to notice.
        text = (
            (EXAMPLE / "models.toml").read_text().replace("[models.nlu]\nrecord = true", "[models.nlu]\nrecord = false")
        )
        own = TOML.replace("{trainer}", trainer).replace("min_requests = 15", f"min_requests = {least}")
        (self.folder / "models.toml").write_text(f"[server]\nport = 0\n{text}{own}")

    def say(self, what):
        self.story.append(f"{time.monotonic() - self.begun:6.1f} s  {what}")

    # Users, who ask all the time and teach nothing.

    def let_users_ask(self):
        for one in self._users:
            one.start()

    def _ask(self, number):
        asked = 0
        texts = [text for text, _ in DATA.requests(4000, 100 + number)]
        while not self._over.is_set():
            asked += 1
            try:
                told = post(
                    self.assistant, "/ask", {"user": f"user {number} {asked}", "text": texts[asked % len(texts)]}
                )
                self.answered[told["version"]] += 1
            except (urllib.error.URLError, OSError) as error:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else str(error)
                self.lost.append(said)
            self._over.wait(0.01)

    # Users who teach.

    def teach(self, texts):
        """Ask, and say what would have been right."""
        for place, (text, intent) in enumerate(texts):
            told = post(self.assistant, "/ask", {"user": f"teacher {place} {text}", "text": text})
            post(self.assistant, "/feedback", {"request": told["request"], "expected": intent})

    def end(self):
        self._over.set()
        for one in self._users:
            if one.is_alive():
                one.join()
        self.daemon.run("down", "--force")

    # What is known.

    def get(self, path):
        return json.loads(self.daemon.get(path)[1])

    def job(self, *states, after=0):
        """Wait until the job that follows so many older ones is in one of these states, and return it."""

        def found():
            try:
                jobs = self.get("/api/training/jobs?model_type=nlu&limit=1000")["jobs"][::-1]
            except (OSError, ValueError):
                return None
            return jobs[after] if len(jobs) > after and jobs[after]["status"] in states else None

        return wait_for(found, PATIENCE_S)

    def watch_memory(self):
        """See how much memory services and trainings have together, all the time."""
        while not self._over.wait(0.2):
            used = 0
            for one in psutil.process_iter(["pid"]):
                try:
                    marks = one.environ()
                    mine = str(self.folder) in marks.get("OVERNIGHT_SERVICE", "") or (
                        "OVERNIGHT_CHILD" in marks and one.cwd() == str(self.folder.resolve())
                    )
                    used += one.memory_full_info().pss if mine else 0
                except (psutil.Error, OSError):
                    continue
            self.most_gb = max(self.most_gb, used / 1e9)

    def jobs(self):
        return len(self.get("/api/training/jobs?model_type=nlu&limit=1000")["jobs"])

    def reloaded(self):
        return json.loads((self.daemon.state / "daemon.json").read_text())["reloads"] > 0

    def serving(self):
        return next(one for one in self.get("/api/models")["models"] if one["model_type"] == "nlu")["serving"]

    def rollout(self, *states, of):
        """Wait until the rollout of a version stands so, and return it."""

        def found():
            try:
                all_ = self.get("/api/deployments")["deployments"]
            except (OSError, ValueError):
                return None
            mine = [one for one in all_ if one["model_version"] == of]
            return mine[0] if mine and mine[0]["status"] in states else None

        return wait_for(found, PATIENCE_S)

    def version(self, job):
        found = next(one for one in self.get("/api/models")["models"] if one["model_type"] == "nlu")
        return next(one for one in found["versions"] if one["version"] == job["model_version"])


@pytest.fixture
def small_disk(tmp_path, request):
    """A file system of 60 MB below the project of the test that fills it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if "disk" not in getattr(request.node, "callspec", SimpleNamespace(params={})).params.values():
        yield folder
        return
    words = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be made here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def loop(tmp_path, monkeypatch, small_disk):
    for name in ("ASSISTANT_PORT", "GENERATOR_PORT", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, "")
    made = Loop(small_disk / "assistant", tmp_path / "state")
    yield made
    made.end()
    for line in made.story:
        print(line)  # the timeline, shown with -s or where it fails


def without_thanks(texts):
    return [(text, intent) for text, intent in texts if "thanks" not in text]


def recipes(count, seed):
    draw = Random(seed)
    intent, templates = NEW
    texts = {
        f"{draw.choice(['', 'please ', 'hey ', 'so '])}{draw.choice(templates).format(dish=draw.choice(DISHES))}"
        f"{draw.choice(['', ' now', ' for me', ' today', ' would you'])}"
        for _ in range(20 * count)
    }
    return [(text, intent) for text in sorted(texts)[:count]]


def start(loop):
    said = loop.daemon.up()
    assert "assistant        up" in said and "generator        up" in said
    loop.say("the assistant and the model server are up")
    first = DATA.requests(60, 1, ("weather", "music", "timer"))
    body = [
        {"type": "first", "input": text, "expected_output": intent, "success": True, "confidence": 1.0}
        for text, intent in first
    ]
    loop_job = {"model_type": "nlu", "experiences": body, "epochs": 4}
    post_to_daemon(loop, "/api/training/start", loop_job)
    job = loop.job("completed")
    wait_for(lambda: loop.serving() == job["model_version"])
    loop.say(f"{job['model_version']} serves, trained on 60 requests of three intents")
    loop.let_users_ask()
    return job["model_version"]


def post_to_daemon(loop, path, body):
    port = int(loop.daemon.about["url"].rsplit(":", 1)[1])
    return post(port, path, body)


def refuse_what_is_worse(loop):
    """Teach labels that were shuffled: what learns from them never serves."""
    texts = DATA.requests(260, 21)
    labels = [intent for _, intent in texts]
    Random(3).shuffle(labels)
    jobs = loop.jobs()
    loop.teach([(text, label) for (text, _), label in zip(texts, labels, strict=True)])
    job = loop.job("completed", after=jobs)
    verdict = loop.version(job)["verdict"]
    loop.say(f"shuffled labels: {job['model_version']} is refused: {verdict['reason']}")
    assert verdict["decision"] in ("REJECT", "UNDERPOWERED"), verdict
    assert job["model_version"] not in {one["model_version"] for one in loop.get("/api/deployments")["deployments"]}
    # What came behind is wrong too, and must not get into the next version.
    loop.daemon.ok("jobs", "submit", "nlu", "--epochs", "1", "--wait")
    return job["model_version"]


def take_back_what_fails(loop, champion):
    """Train a version that is better, and breaks at requests which the gate has not seen."""
    # A guard needs requests, of which a busy machine answers few in stages as short as these.
    loop.configure("Fragile", least=60)
    wait_for(loop.reloaded)
    jobs = loop.jobs()
    loop.teach(recipes(70, 5) + without_thanks(DATA.requests(220, 31)))
    job = loop.job("completed", after=jobs)
    verdict = loop.version(job)["verdict"]
    assert verdict["decision"] == "ACCEPT", verdict
    loop.say(f"{job['model_version']} knows recipes too, and breaks at thanks; the gate: {verdict['reason']}")
    done = loop.rollout("rolled_back", of=job["model_version"])
    last = loop.get(f"/api/deployments/{done['deployment_id']}/decisions")["decisions"][-1]
    assert last["reason"] == "worse", last
    loop.say(f"{job['model_version']} is taken back: {last['message']}")
    assert loop.serving() == champion
    return job["model_version"]


def test_assistant_loop_closes_by_itself(loop):
    start(loop)

    # It waits while the model server has the memory, and trains when that is free.
    post(loop.generator, "/load", {"mb": 700})
    loop.say("the model server takes 700 MB of 1 GB")
    loop.teach(DATA.requests(150, 7))
    job = loop.job("queued", after=1)
    assert job["submitted_by"] == "experiences"
    waiting = wait_for(lambda: loop.job("queued", after=1)["waiting"])
    assert "0.5 GB" in waiting, waiting
    loop.say(f"100 experiences: {job['job_id']} is submitted by itself, and waits: {waiting}")
    post(loop.generator, "/release", {})
    job = loop.job("training", after=1)
    loop.say("the memory is free: it trains")

    # It yields when the server grows, and goes on where it was.
    post(loop.generator, "/load", {"mb": 700})
    job = loop.job("queued", after=1)
    loop.say(f"the model server grows: {job['waiting']}")
    post(loop.generator, "/release", {})
    job = loop.job("completed", after=1)
    run = loop.get(f"/api/runs/{job['training_run_id']}")
    assert "yielded" in {entry["event"] for entry in run["history"]} and run["attempt"] == 1
    second = job["model_version"]
    verdict = loop.version(job)["verdict"]
    assert verdict["decision"] == "ACCEPT", verdict
    loop.say(f"it has gone on and made {second}; the gate: {verdict['reason']}")

    # It takes over stage by stage, under traffic.
    done = loop.rollout("completed", of=second)
    shares = [
        one["current_percentage"]
        for one in loop.get(f"/api/deployments/{done['deployment_id']}/decisions")["decisions"]
    ]
    assert sorted(set(shares) - {0.0}) == [10, 25, 50, 75, 98, 100], shares
    wait_for(lambda: loop.serving() == second)
    loop.say(f"{second} serves everybody, after {', '.join(f'{share:g}' for share in sorted(set(shares)))} %")

    refused = refuse_what_is_worse(loop)
    failed = take_back_what_fails(loop, second)

    # The morning report tells of all that.
    told = json.loads(loop.daemon.ok("report", "--morning", "--json"))
    better = {one["what"] for one in told["better"]}
    worse = {one["what"].partition(" (")[0]: one["why"] for one in told["refused"]}
    assert {f"nlu {second} (ACCEPT)", f"nlu {second} completed"} <= better
    assert f"nlu {refused}" in worse and f"nlu {failed} rolled back" in worse
    assert told["trends"]["share of right answers"][-1] is not None
    assert loop.lost == [], loop.lost[:3]
    assert loop.most_gb <= 1.0
    loop.say(f"{sum(loop.answered.values())} requests were answered, none was lost; {loop.most_gb:.2f} GB at the most")


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def kill_daemon(loop):
    before = loop.daemon.about["pid"]
    kill(before)
    wait_for(lambda: not psutil.pid_exists(before))
    loop.daemon.up()


def kill_trainer(loop):
    run = loop.get("/api/runs?task_id=overnight:training&limit=1")["runs"][0]
    mine = [one for one in psutil.process_iter() if _trains(one, loop.folder)]
    assert run["state"] == "IN_PROGRESS" and mine
    kill(mine[0].pid)


def _trains(process, folder):
    try:
        return (
            process.cwd() == str(folder.resolve())
            and "OVERNIGHT_CHILD" in process.environ()
            and ("OVERNIGHT_SERVICE" not in process.environ() and "keeper" not in " ".join(process.cmdline()))
        )
    except (psutil.Error, OSError):
        return False


def kill_assistant(loop):
    kill(json.loads(urllib.request.urlopen(f"http://127.0.0.1:{loop.assistant}/health", timeout=10).read())["pid"])


def kill_generator(loop):
    kill(json.loads(urllib.request.urlopen(f"http://127.0.0.1:{loop.generator}/health", timeout=10).read())["pid"])


def kill_all(loop):
    """Kill everything at once, as a machine that loses its power."""
    services = loop.get("/api/services")["services"]
    for pid in [one["pid"] for one in services.values()]:
        for one in [psutil.Process(pid).parent(), psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            kill(one.pid)
    kill_daemon(loop)


def fill_disk(loop):
    """Leave no byte free until the daemon says so, and make room again."""
    ballast = loop.folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
    try:
        wait_for(lambda: "disk" in loop.daemon.causes())
        loop.say(f"the disk is full: {loop.daemon.health()['problems'][0]['text']}")
    finally:
        ballast.unlink()


KILLS = {"daemon": kill_daemon, "trainer": kill_trainer, "assistant": kill_assistant, "generator": kill_generator}
POINTS = [
    *((phase, who) for phase in ("waiting", "training", "yielded", "rolling out") for who in ("daemon", "assistant")),
    ("training", "trainer"),
    ("training", "generator"),
    ("training", "all"),
    ("rolling out", "all"),
    *((phase, "disk") for phase in ("waiting", "training", "rolling out")),
]
SHORT = [("training", "daemon"), ("rolling out", "assistant")]


@pytest.mark.parametrize(("phase", "who"), POINTS)
def test_assistant_loop_goes_on_after_a_kill(loop, phase, who, long_form):
    if not long_form and (phase, who) not in SHORT:
        pytest.skip("one of two kills; `make chaos` tries them all")
    kills = {**KILLS, "all": kill_all, "disk": fill_disk}[who]

    def at(point):
        if point == phase:
            kills(loop)
            loop.say(f"{who} was {'full' if who == 'disk' else 'killed'} while it was {phase}")

    start(loop)
    post(loop.generator, "/load", {"mb": 700})
    loop.teach(DATA.requests(150, 7))
    loop.job("queued", after=1)
    at("waiting")
    post(loop.generator, "/release", {})
    loop.job("training", "saving", "completed", after=1)
    at("training")
    if phase == "yielded":
        post(loop.generator, "/load", {"mb": 700})
        loop.job("queued", after=1)
        at("yielded")
        post(loop.generator, "/release", {})
    version = loop.job("completed", after=1)["model_version"]
    at("rolling out")
    loop.rollout("completed", of=version)
    wait_for(lambda: loop.serving() == version)
    assert loop.lost == [], loop.lost[:3]
    assert loop.most_gb <= 1.0
    loop.say(f"{version} serves; {sum(loop.answered.values())} requests were answered, none was lost")
