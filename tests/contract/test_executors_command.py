"""Commands: argument lists, results, progress, and output without end."""

import json
import os
import sys
from pathlib import Path

import pytest

from overnight.base.errors import InvalidTask
from overnight.executors.command import CommandExecutor, fill
from overnight.processes import table
from overnight.processes.capture import LOG_LIMIT_BYTES
from overnight.testing.executors import RecordingChannel, new_order


@pytest.fixture
def executor():
    executor = CommandExecutor(os.environ)
    yield executor
    executor.close(1.0)


@pytest.fixture
def channel():
    return RecordingChannel()


def start(executor, channel, folder, *argv, **values):
    order = new_order(folder, argv=argv, executor="command", **values)
    executor.start(order, channel)
    return order


def run(executor, channel, folder, *argv, **values):
    return channel.outcome(start(executor, channel, folder, *argv, **values))


def python(program):
    return (sys.executable, "-I", "-S", "-c", program)


def test_placeholders_stay_one_argument_and_no_shell_reads_them(tmp_path):
    order = new_order(tmp_path, argv=("p", "{a}", "x-{n}-{n}", "{l}", '{"json": 1}', "{}"))
    order.args.update(a="two words; $(rm)", n=3, l=[1, "x"])
    assert fill(order) == ["p", "two words; $(rm)", "x-3-3", '[1,"x"]', '{"json": 1}', "{}"]


def test_a_missing_argument_is_a_user_mistake_that_names_it(executor, channel, tmp_path):
    outcome = run(executor, channel, tmp_path, "echo", "{nobody}", args={"somebody": 1})
    assert (outcome.kind, outcome.error.family, outcome.error.type) == ("failed", "user", "InvalidTask")
    assert "{nobody}" in outcome.error.message
    assert "somebody" in outcome.error.message
    with pytest.raises(InvalidTask, match="empty argv"):
        fill(new_order(tmp_path))


def test_a_program_that_is_not_there_is_a_user_mistake(executor, channel, tmp_path):
    outcome = run(executor, channel, tmp_path, "no-such-program")
    assert outcome.error.family == "user"
    assert "there is no program 'no-such-program'" in outcome.error.message


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("'one', '{\"a\": 1}'", {"a": 1}),
        ("'{\"a\": 1}', ''", {"a": 1}),
        ("'{\"a\": 1}', 'and then text'", {"exit_code": 0}),
        ("'[1]'", {"exit_code": 0}),
        ("'{\"a\": NaN}'", {"exit_code": 0}),
        ("''", {"exit_code": 0}),
    ],
)
def test_the_result_is_the_last_line_if_it_is_an_object(executor, channel, tmp_path, printed, expected):
    outcome = run(executor, channel, tmp_path, *python(f"print({printed}, sep='\\n')"))
    assert (outcome.kind, json.loads(outcome.result)) == ("succeeded", expected)


def test_a_failure_shows_the_exit_code_and_the_last_lines(executor, channel, tmp_path):
    outcome = run(executor, channel, tmp_path, "sh", "-c", "echo one; echo two >&2; exit 9")
    assert (outcome.error.family, outcome.error.type) == ("transient", "CommandFailed")
    assert "exited with code 9" in outcome.error.message
    assert "two" in outcome.error.message


def test_death_by_signal_is_named(executor, channel, tmp_path):
    assert "SIGKILL" in run(executor, channel, tmp_path, "sh", "-c", "kill -9 $$").error.message


def test_both_outputs_are_in_the_log_and_standard_error_is_no_result(executor, channel, tmp_path):
    order = start(executor, channel, tmp_path, "sh", "-c", "echo out; echo '{\"a\": 1}' >&2")
    assert channel.outcome(order).result == '{"exit_code":0}'
    assert set(Path(order.log_path).read_text().splitlines()) == {"out", '{"a": 1}'}


def test_it_runs_in_the_project_folder_with_the_executors_environment(channel, tmp_path):
    executor = CommandExecutor({**os.environ, "COLOUR": "red"})
    order = start(executor, channel, tmp_path, "sh", "-c", 'echo "$COLOUR"; pwd')
    channel.outcome(order)
    assert Path(order.log_path).read_text() == f"red\n{tmp_path}\n"
    executor.close(1.0)


def test_a_line_of_200_mb_is_neither_kept_nor_in_the_way(executor, channel, tmp_path):
    program = "import sys\nfor _ in range(200): sys.stdout.write('x' * 1_000_000)\nprint()\nprint('{\"a\": 1}')"
    order = start(executor, channel, tmp_path, *python(program))
    assert channel.outcome(order).result == '{"a":1}'
    assert Path(order.log_path).stat().st_size <= LOG_LIMIT_BYTES


def test_what_a_finished_command_left_is_ended(executor, channel, tmp_path):
    program = "(trap '' TERM; setsid sleep 1000 & echo $! > pid) ; while ! test -s pid; do :; done"
    assert run(executor, channel, tmp_path, "sh", "-c", program).kind == "succeeded"
    entry = table.look(int((tmp_path / "pid").read_text()))
    assert entry is None or not entry.alive


def test_a_stopped_command_can_clean_up(executor, channel, tmp_path):
    program = "trap 'echo saved > saved; exit 0' TERM; echo '{\"progress\": 1}'; while :; do sleep 0.02; done"
    order = start(executor, channel, tmp_path, "sh", "-c", program)
    channel.wait("progress", order)
    executor.stop(order, "timed_out", 20.0)
    assert channel.outcome(order).kind == "timed_out"
    assert (tmp_path / "saved").exists()


def test_cpu_time_counts_all_processes_of_the_command(executor, channel, tmp_path):
    program = "import time\nwhile time.process_time() < 0.3: pass"
    usage = run(executor, channel, tmp_path, "sh", "-c", f'"{sys.executable}" -I -S -c "{program}"').usage
    assert 0.3 <= usage.cpu_s < 5
    assert usage.peak_memory_gb > 0.001


FAILED = '{"error": {"family": "%s", "type": "Diverged", "message": "the loss is\\nnan"}}'


@pytest.mark.parametrize("family", ["user", "transient", "permanent"])
def test_a_program_that_fails_may_say_why_itself(executor, channel, tmp_path, family):
    outcome = run(executor, channel, tmp_path, *python(f"print({FAILED % family!r}); raise SystemExit(1)"))
    assert (outcome.kind, outcome.error.family, outcome.error.type) == ("failed", family, "Diverged")
    assert outcome.error.message == "the loss is nan"


@pytest.mark.parametrize("said", ['{"error": "no"}', FAILED % "other", '{"error": {"family": "user"}}'])
def test_a_reason_of_another_shape_is_a_line_of_output_like_others(executor, channel, tmp_path, said):
    outcome = run(executor, channel, tmp_path, *python(f"print({said!r}); raise SystemExit(1)"))
    assert outcome.error.type == "CommandFailed" and said[:9] in outcome.error.message


def test_a_program_that_works_elsewhere_may_say_what_was_used_there(executor, channel, tmp_path):
    said = '{"answer": 1, "usage": {"cpu_s": 3600.5, "peak_memory_gb": 70.0, "cost": 2.5}}'
    outcome = run(executor, channel, tmp_path, *python(f"print({said!r})"))
    assert (outcome.usage.cpu_s, outcome.usage.peak_memory_gb, outcome.usage.cost) == (3600.5, 70.0, 2.5)
    assert json.loads(outcome.result)["answer"] == 1


@pytest.mark.parametrize("used", ['{"tokens": 7}', '{"cost": -1}', '{"cost": "much"}', "3", "{}"])
def test_a_usage_of_another_shape_is_the_programs_own(executor, channel, tmp_path, used):
    outcome = run(executor, channel, tmp_path, *python(f"print('{{\"usage\": {used}}}')"))
    assert outcome.usage.cost is None and outcome.usage.cpu_s < 100


def test_a_program_may_be_told_its_run_and_token(tmp_path):
    order = new_order(tmp_path, argv=("p", "{run_id}", "{token}"))
    assert fill(order) == ["p", str(order.run_id), str(order.token)]
    order.args.update(token="mine")
    assert fill(order)[2] == "mine"
