"""Code that is tried out harms nobody: what loops, forks, connects or writes is refused, and the next trial is well."""

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.campaigns.generators.python import bench as bench_module
from overnight.campaigns.generators.python.bench import Bench, BenchFailed, Order
from overnight.campaigns.generators.python.library import packages
from overnight.campaigns.generators.python.workshop import Workshop
from overnight.campaigns.generators.python_bugs import PythonBugs
from overnight.campaigns.generators.python_doc import PythonDoc
from overnight.campaigns.generators.python_predict import PythonPredict

RIGHT = "def mean(data):\n    return sum(data) / len(data)"
DOCSTRING = ">>> mean([1, 2, 3, 4, 4])\n2.8\n>>> mean([2, 3])\n2.5\n"


@pytest.fixture(scope="module")
def bench():
    with Bench() as found:
        yield found


def order(code=None, **more) -> Order:
    import statistics

    line = statistics.mean.__code__.co_firstlineno
    return Order(
        module="statistics",
        qualname="mean",
        first_line=line,
        last_line=line,
        docstring=DOCSTRING,
        code=code,
        original=RIGHT,
        decisive=(0, 1),
        **more,
    )


def body(text: str) -> str:
    return "def mean(data):\n" + textwrap.indent(textwrap.dedent(text).strip(), "    ")


def test_code_is_put_into_the_function_and_taken_out_again(bench):
    right, wrong, after = bench.try_out(order(RIGHT)), bench.try_out(order(body("return 1"))), bench.try_out(order())
    assert right.passed == after.passed == {0, 1}
    assert [(one.number, one.passed, one.got) for one in wrong.shown] == [(0, False, "1\n")]


def test_it_is_told_from_which_example_on_the_function_ran(bench):
    docstring = f">>> 1\n1\n{DOCSTRING}"
    shown = bench.try_out(replace(order(measured=True), docstring=docstring)).shown
    assert [one.reached for one in shown] == [False, True, True]


def test_the_share_of_the_lines_that_ran_is_measured(bench):
    code = body("if len(data) > 2:\n    return sum(data) / len(data)\nreturn 2.0")
    assert bench.try_out(order(code, measured=True)).ran == 1.0
    assert bench.try_out(order(code, measured=True, until=0)).ran == 2 / 3


HARMFUL = {
    "while True: pass": "takes too long",
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass": "takes too long",
    "import signal\nsignal.signal(signal.SIGPROF, signal.SIG_IGN)\nwhile True: pass": "takes too long",
    "import os\nos.fork()": "starts a process",
    "import subprocess\nsubprocess.run(['true'])": "starts a process",
    "try:\n    import os\n    os.fork()\nexcept BaseException: pass\nreturn 2.8": "starts a process",
    "import socket\nsocket.socket()": "opens a socket",
    "open('{here}/written', 'w')": "touches files",
    "import os\nos.remove('{here}/kept')": "touches files",
    "import pathlib\npathlib.Path('{here}/kept').write_text('')": "touches files",
    "import os\nos.kill(os.getppid(), 9)": "sends a signal",
    "import os\nos._exit(0)": "ends the interpreter",
    "import ctypes\nctypes.string_at(0)": "crashes the interpreter",
    "return [0] * 10 ** 9": "needs too much memory",
}


@pytest.mark.parametrize("text", HARMFUL)
def test_what_harms_is_refused_with_a_reason_and_the_next_is_well(text, bench, tmp_path):
    (tmp_path / "kept").write_text("kept")
    code = "def mean(data):\n" + textwrap.indent(text.replace("{here}", str(tmp_path)), "    ")
    assert bench.try_out(order(code, cpu_s=0.2)).fault == HARMFUL[text]
    assert bench.try_out(order(RIGHT)).passed == {0, 1}
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"


def test_what_goes_around_the_interpreter_meets_the_kernel(bench, tmp_path):
    code = body(
        f"""
        import ctypes
        c, here = ctypes.CDLL(None), {str(tmp_path)!r}.encode()
        made = c.open(here + b"/written", 0o101, 0o666), c.mkdir(here + b"/folder", 0o777)
        if c.fork() == 0:
            c.setsid()
            while True: pass
        return made
        """
    )
    trial = bench.try_out(order(code))
    assert [one.got for one in trial.shown] == ["(-1, -1)\n"]
    assert list(tmp_path.iterdir()) == []
    assert bench.try_out(order(RIGHT)).passed == {0, 1}
    assert len(bench.processes()) == 1


def test_a_child_that_is_lost_is_started_anew(bench, monkeypatch):
    assert bench.try_out(order(RIGHT)).passed
    first = bench.processes()
    monkeypatch.setattr(bench_module, "ANSWER_S", 0.5)
    assert bench.try_out(order(body("import time\ntime.sleep(20)"))).fault == "takes the whole child with it"
    monkeypatch.undo()
    assert bench.try_out(order(RIGHT)).passed == {0, 1}
    assert not set(bench.processes()) & set(first)


# -- packages that somebody names


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a distribution of one module."""

    def install(name: str, source: str, metadata: str = "License-Expression: MIT\n") -> Path:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        told = tmp_path / f"{name}-1.0.dist-info"
        told.mkdir(exist_ok=True)
        (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}")
        (told / "RECORD").write_text(f"{name}.py,,\n{name}-1.0.dist-info/METADATA,,\n")
        return tmp_path

    monkeypatch.syspath_prepend(tmp_path)
    return install


def test_a_distribution_is_used_with_its_licence_and_not_without(installed):
    source = 'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n'
    installed("planted_mit", source)
    installed("planted_bsd", source, "Classifier: License :: OSI Approved :: BSD License\n")
    installed("planted_none", source, "License: UNKNOWN\n")
    found = {one.name: one for one in packages(["planted_none", "planted_mit", "planted_bsd"])}
    assert "planted_none" not in found
    assert found["planted_bsd"].licence == "BSD License"
    with Workshop(["planted_mit"]) as workshop:
        draft = PythonPredict(workshop).draft("number/planted_mit", 0)
    assert draft.source == {"name": "planted_mit.f", "package": "planted_mit", "licence": "MIT", "version": "1.0"}


def test_mutants_that_harm_make_no_sample_and_their_reasons_are_counted(installed):
    installed(
        "planted_harm",
        '''
        import os, socket

        def loops(x):
            """>>> loops(3)
            3
            """
            while x != 3:
                pass
            return x

        def forks(x):
            """>>> forks(3)
            3
            """
            if x < 0:
                os.fork()
            return x

        def connects(x):
            """>>> connects(3)
            3
            """
            if x < 0:
                socket.socket()
            return x

        def writes(x):
            """>>> writes(3)
            3
            """
            if x < 0:
                open("/tmp/planted_harm", "w")
            return x
        ''',
    )
    with Workshop(["planted_harm"]) as workshop:
        bugs = PythonBugs(workshop)
        made = [bugs.draft("condition/planted_harm", number) for number in range(4)]
        assert made == [None] * 4
        assert set(bugs.refused) == {"takes too long", "starts a process", "opens a socket", "touches files"}
    assert not Path("/tmp/planted_harm").exists()


def test_a_module_where_nearly_all_mutants_survive_is_reported_and_left_out(installed):
    text = 'def f{n}(x):\n    """\n    >>> _ = f{n}(1)\n    """\n    return x + 1 if x > 2 else x - {n}\n'
    functions = "\n".join(text.replace("{n}", str(n)) for n in range(6))
    installed("planted_blind", functions)
    with Workshop(["planted_blind"]) as workshop:
        bugs = PythonBugs(workshop)
        assert bugs.draft("arithmetic/planted_blind", 0) is None
        assert bugs.left_out == {"planted_blind": "20 of 20 mutants survive"}


def test_a_function_that_its_examples_do_not_run_makes_no_sample(installed):
    installed("planted_idle", 'def f(x):\n    """\n    >>> 1 + 1\n    2\n    """\n    return x + 1\n')
    with Workshop(["planted_idle"]) as workshop:
        made = [
            PythonPredict(workshop).draft("number/planted_idle", 0),
            PythonDoc(workshop).draft("write/planted_idle", 0),
        ]
        assert made == [None, None]
        assert workshop.own(workshop.find("planted_idle", "planted_idle.f")).fault == "its examples do not run it"


def test_a_secret_in_source_text_makes_no_sample(installed):
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    installed(
        "planted_secret", f'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    key = "{secret}"\n    return x + 1\n'
    )
    with Workshop(["planted_secret"]) as workshop:
        predict, bugs = PythonPredict(workshop), PythonBugs(workshop)
        assert [predict.draft("number/planted_secret", 0), bugs.draft("arithmetic/planted_secret", 0)] == [None, None]


def test_a_module_that_cannot_be_imported_costs_only_its_own_samples(installed):
    installed(
        "planted_crash", 'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n\nraise SystemExit\n'
    )
    with Workshop(["planted_crash"]) as workshop:
        predict = PythonPredict(workshop)
        assert predict.draft("number/planted_crash", 0) is None
        assert predict.draft("number/statistics", 0) is not None


def test_a_child_that_cannot_be_started_is_nobodys_fault(monkeypatch):
    monkeypatch.setattr(bench_module, "_BOOT", "raise SystemExit(3)")
    with Bench() as bench, pytest.raises(BenchFailed, match="exited with code 3"):
        bench.try_out(order())


def test_what_was_found_out_about_functions_is_not_found_out_again_unless_they_have_changed(
    installed, tmp_path, monkeypatch
):
    text = 'def f(x):\n    """\n    >>> f(1)\n    2\n    """\n    return x + 1\n'
    installed("planted_kept", text)
    orders = []
    ask = Bench.try_out
    monkeypatch.setattr(Bench, "try_out", lambda self, order: orders.append(order) or ask(self, order))

    def draft():
        orders.clear()
        with Workshop(["planted_kept"], tmp_path / "python.db") as workshop:
            return PythonBugs(workshop).draft("arithmetic/planted_kept", 0)

    def own():
        return [order for order in orders if order.code is None]

    first = draft()
    assert len(own()) == 1 and len(orders) > 2
    assert draft() == first
    assert own() == [] and len(orders) == 1, "the mutant of the sample is tried out, and nothing else"
    installed("planted_kept", text.replace("x + 1", "1 + x"))
    assert draft() != first and len(own()) == 1
