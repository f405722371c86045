"""Samples of a language model are executed first and judged second; bad ones that are planted are refused."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from llm_model import is_judging, model, with_answers, writes
from llm_server import LlmServer, Reply, says
from overnight.base.backoff import Backoff
from overnight.base.errors import BudgetSpent
from overnight.campaigns.generators import llm
from overnight.campaigns.generators.llm import LlmTasks
from overnight.campaigns.generators.llm_settings import LlmSettings
from overnight.campaigns.generators.python.bench import Bench, Program
from overnight.campaigns.intake import Candidate, Intake, Terms
from overnight.campaigns.planted import KINDS, planted
from overnight.campaigns.ports import Message, Origin

AT_ONCE = Backoff(base_s=0.001, cap_s=0.002)


@contextmanager
def tasks_of(folder: Path, plan, *, waits=AT_ONCE, **settings):
    with LlmServer(plan) as server:
        told = {"base_url": server.url, "model": "m", "topics": ["sums", "trees"], "timeout_s": 20.0, **settings}
        with LlmTasks(LlmSettings(**told), folder / "replay.db", waits=waits) as tasks:
            yield tasks, server


def told_to_judge(server):
    return [body for body in server.asked if is_judging(body)]


@pytest.mark.parametrize("kind", ["python", "none"])
def test_good_samples_are_accepted_and_all_kinds_of_planted_ones_refused(tmp_path, kind):
    with tasks_of(tmp_path, model, check=kind) as (tasks, _), ThreadPoolExecutor(8) as pool:
        drafts = list(pool.map(lambda number: tasks.draft("sums", number), range(12)))
        checked = list(pool.map(tasks.check, drafts))
        assert [one.fault for one in checked] == [None] * 12
        terms = {"groundedness", "coherence"} | ({"consistency"} if kind == "python" else set())
        assert all(set(one.terms) == terms for one in checked)
        bad = list(planted(drafts))
        assert {one.kind for one in bad} == set(KINDS)
        assert [one.kind for one in bad if tasks.check(one.draft).fault is None] == []


def test_samples_pass_the_intake_as_those_of_other_generators_do(tmp_path):
    with tasks_of(tmp_path, model) as (tasks, _):
        candidates = []
        for number in range(3):
            draft = tasks.draft("sums", number)
            origin = Origin(domain="code", generator="llm/1", cell="sums", number=number)
            candidates.append(Candidate(origin=origin, draft=draft, checked=tasks.check(draft)))
    judged = Intake(Terms(near=0.99)).judge(candidates)
    assert [one.reason for one in judged] == [None] * 3
    assert all(one.quality > 0.7 for one in judged)


def test_the_same_number_is_the_same_request_also_in_the_next_process(tmp_path):
    with tasks_of(tmp_path, model) as (tasks, server):
        first = [tasks.draft("sums", number) for number in range(3)]
        assert [tasks.draft("sums", number) for number in range(3)] == first
        assert len(server.asked) == 3 == len({body["seed"] for body in server.asked})
    with tasks_of(tmp_path, model) as (tasks, server):
        assert [tasks.draft("sums", number) for number in range(3)] == first
        assert tasks.draft("trees", 0) != first[0]
        assert len(server.asked) == 1
        assert "on this topic: trees" in server.asked[0]["messages"][-1]["content"]
        assert tasks.spent().spent.tokens == 60


def test_consistency_is_the_share_of_slips_that_the_tests_notice(tmp_path):
    def weak(body, before):
        return says(**(writes(body) | {"tests": writes(body)["tests"].splitlines()[0]}))

    (tmp_path / "weak").mkdir()
    with tasks_of(tmp_path, model, rubric={}) as (tasks, _):
        strong = tasks.check(tasks.draft("sums", 3)).terms
    with tasks_of(tmp_path / "weak", weak, rubric={}) as (tasks, _):
        assert tasks.check(tasks.draft("sums", 3)).terms["consistency"] < strong["consistency"]


WRONG = {
    "its tests fail": {"code": "def f(x):\n    return 1", "tests": "assert f(1) == 2"},
    "it raises an error": {"code": "def f(x:\n    return 1"},
    "its tests pass also where its functions do nothing": {"code": "def f(x):\n    return 1", "tests": "assert f"},
    "the code has no function that could be tested": {"code": "x = 1", "tests": "assert x == 1"},
    "takes too long": {"code": "while True: pass"},
    "it holds a secret": {"answer": "Use the key AKIAABCDEFGHIJKLMNOP."},
    "the answer does not have the form that was asked for": {"answer": "See:\n```python\nx = 1\n```\n"},
    "starts a process": {"code": "import os\ndef f():\n    return 1\nos.system('true')"},
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_is_refused_by_executing_it_and_no_judge_is_asked(fault, tmp_path):
    with tasks_of(tmp_path, with_answers(**WRONG[fault])) as (tasks, server):
        draft = tasks.draft("sums", 0)
        assert tasks.check(draft).fault == fault
        assert told_to_judge(server) == []
        assert "AKIA" not in str(draft)


def test_a_secret_in_the_tests_is_refused_where_a_draft_was_damaged(tmp_path):
    with tasks_of(tmp_path, model) as (tasks, _):
        draft = tasks.draft("sums", 0)
        assert tasks.check(replace(draft, facts={"tests": "key = 'AKIAABCDEFGHIJKLMNOP'"})).fault == "it holds a secret"
        assert tasks.check(replace(draft, facts={})).fault == "its facts are damaged"


def test_a_fence_around_the_code_is_taken_off(tmp_path):
    def fenced(body, before):
        told = writes(body)
        return says(**(told | {name: f"```python\n{told[name]}\n```" for name in ("code", "tests")}))

    with tasks_of(tmp_path, fenced, rubric={}) as (tasks, _):
        assert tasks.check(tasks.draft("sums", 0)).fault is None


UNSHUT = """
import os, sys
from pathlib import Path
from overnight.campaigns.generators.llm import LlmTasks
from overnight.campaigns.generators.llm_settings import LlmSettings
from overnight.processes import linux, sandbox

# Below a mount upon the root, the kernel gives nobody a namespace of users.
user, group = os.getuid(), os.getgid()
linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
sandbox._map_ids(user, group)
linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
linux.mount("/", "/", None, linux.MS_BIND | linux.MS_REC)
settings = LlmSettings(base_url=sys.argv[1], model="m", topics=["sums"])
with LlmTasks(settings, Path(sys.argv[2])) as tasks:
    checked = tasks.check(tasks.draft("sums", 0))
    print(checked.fault, checked.detail, [bench.processes() for bench in tasks._benches], sep="\\n")
"""


def test_without_a_sandbox_no_code_is_run_and_the_reason_is_told(tmp_path):
    with LlmServer(model) as server:
        command = [sys.executable, "-c", UNSHUT, server.url, str(tmp_path / "replay.db")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert told_to_judge(server) == []
    assert done.stdout.splitlines() == [
        "its code is not run: there is no sandbox here",
        "code from a language model runs in namespaces only, and this kernel gives this user none",
        "[[]]",
    ], done.stderr


def test_a_judge_that_cannot_tell_good_from_bad_abstains(tmp_path):
    def blind(body, before):
        return says(groundedness=0.9, coherence=0.9, reason="none") if is_judging(body) else model(body, before)

    with tasks_of(tmp_path, blind) as (tasks, _):
        assert tasks.calibration().threshold is None
        assert set(tasks.check(tasks.draft("sums", 0)).terms) == {"consistency"}
    with tasks_of(tmp_path, blind, check="none") as (tasks, _):
        checked = tasks.check(tasks.draft("sums", 0))
        assert checked.fault == "nothing can check it"
        assert "the judge is none: from" in checked.detail


def test_a_judge_is_tried_once_also_by_many_threads_and_from_the_replay_after_that(tmp_path):
    with tasks_of(tmp_path, model, check="none") as (tasks, server), ThreadPoolExecutor(8) as pool:
        drafts = [tasks.draft("sums", number) for number in range(8)]
        assert all(one.fault is None for one in pool.map(tasks.check, drafts))
        asked = len(told_to_judge(server))
        assert llm.PROBES < asked <= 3 * llm.PROBES + 8
        first = tasks.calibration()
    with tasks_of(tmp_path, model, check="none") as (tasks, server):
        assert tasks.calibration() == first
        assert server.asked == []


def test_a_judge_has_a_model_and_a_rubric_of_its_own(tmp_path):
    rubric = {"coherence": "1 where it rhymes"}
    with tasks_of(tmp_path, model, judge_model="j", rubric=rubric, check="none") as (tasks, server):
        assert tasks.calibration().threshold is None, "the rubric asks for nothing that tells wrong answers"
        asked = told_to_judge(server)
        assert {body["model"] for body in asked} == {"j"}
        assert all("coherence: 1 where it rhymes." in body["messages"][0]["content"] for body in asked)


def test_what_a_judge_says_of_a_bad_sample_is_told(tmp_path):
    with tasks_of(tmp_path, model, check="none") as (tasks, _):
        draft = tasks.draft("sums", 0)
        half = Message(role="assistant", content=draft.messages[-1].content[:-5])
        checked = tasks.check(replace(draft, messages=(draft.messages[0], half)))
        assert (checked.fault, checked.detail) == ("the judge finds it wanting", "it breaks off")


def test_a_judge_that_says_nothing_lets_nothing_through(tmp_path):
    silent = []

    def plan(body, before):
        return Reply(content="no comment") if is_judging(body) and silent else model(body, before)

    with tasks_of(tmp_path, plan, check="none") as (tasks, _):
        assert tasks.calibration().threshold is not None
        silent.append(True)
        checked = tasks.check(tasks.draft("trees", 60))
        assert checked.fault == "the judge says nothing"


def test_a_model_that_gives_no_sample_ends_no_cell(tmp_path):
    with tasks_of(tmp_path, lambda body, before: Reply(content="I would rather not")) as (tasks, server):
        draft = tasks.draft("sums", 0)
        checked = tasks.check(draft)
        assert checked.fault == "the model gives no sample"
        assert "not JSON" in checked.detail
        assert tasks.draft("sums", 0) == draft
        assert len(server.asked) == 3


def test_a_spent_budget_stops_drafts_and_what_was_made_is_still_there(tmp_path):
    with tasks_of(tmp_path, model, budget_tokens=2500, max_tokens=500) as (tasks, server):
        made = 0
        with pytest.raises(BudgetSpent, match="of 2,500 tokens are spent"):
            for number in range(1000):
                made = number
                tasks.draft("sums", number)
        assert made > 10
        assert tasks.spent().spent.tokens == 15 * made == 15 * len(server.asked)
        assert tasks.draft("sums", made - 1).messages[0].content


# -- what code from a model may do


@pytest.fixture(scope="module")
def bench():
    with Bench(secluded=True) as found:
        yield found


def proof_of(bench, code, tests="", **more):
    return bench.prove(Program(code=code, tests=tests, **more))


def test_tests_are_statements_or_functions(bench):
    code = "def f(x):\n    return x + 1"
    assert proof_of(bench, code, "assert f(1) == 2").fault is None
    assert proof_of(bench, code, "def test_it():\n    assert f(1) == 2").fault is None
    failed = proof_of(bench, code, "def test_it():\n    assert f(1) == 3, 'one more'")
    assert (failed.fault, failed.detail) == ("its tests fail", "AssertionError: one more")


HARMFUL = {
    "while True: pass": "takes too long",
    "import signal\nsignal.signal(signal.SIGPROF, signal.SIG_IGN)\nwhile True: pass": "takes too long",
    "import os\nos.fork()": "starts a process",
    "try:\n    import os\n    os.fork()\nexcept BaseException: pass": "starts a process",
    "import socket\nsocket.socket()": "opens a socket",
    "open('/tmp/written', 'w')": "touches files",
    "import os\nos._exit(0)": "ends the interpreter",
    "import sys\nsys.exit(0)": "ends the interpreter",
    "import ctypes\nctypes.string_at(0)": "crashes the interpreter",
    "[0] * 10 ** 9": "needs too much memory",
    "import os\nos.kill(os.getppid(), 9)": "sends a signal",
}


@pytest.mark.parametrize("code", HARMFUL)
def test_what_harms_is_refused_and_the_next_is_well(code, bench):
    assert proof_of(bench, code, cpu_s=0.2).fault == HARMFUL[code]
    assert proof_of(bench, "x = 1", "assert x == 1").fault is None


@pytest.fixture
def bystander():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_what_goes_around_the_interpreter_sees_no_process_no_network_and_none_of_the_users_files(
    bench, tmp_path, bystander
):
    (tmp_path / "secret").write_text("x")
    code = f"""
import ctypes, os
from pathlib import Path
c = ctypes.CDLL(None)
killed = c.kill({bystander.pid}, 9)
connected = c.connect(c.socket(2, 1, 0), b"\\2\\0\\0\\1\\x7f\\0\\0\\1" + bytes(8), 16)
written = [c.open(folder + b"/written", 0o101, 0o666) for folder in (b"/", b"/usr", b"/tmp", b"/dev/shm", b"/etc")]
seen = Path({str(tmp_path / "secret")!r}).exists(), os.listdir("/proc"), os.listdir("/dev/shm")
if c.fork() == 0:
    c.setsid()
    while True: pass
raise ValueError((killed, connected, written, seen))
"""
    told = proof_of(bench, code)
    assert told.detail == "ValueError: (-1, -1, [-1, -1, -1, -1, -1], (False, [], []))"
    assert bystander.poll() is None
    assert proof_of(bench, "x = 1").fault is None
    assert len(bench.processes()) == 1
