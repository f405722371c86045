"""What a run has used is stored with it, whichever kind of child it worked in."""

import sys

import pytest

import overnight
from overnight import Task

MB = 1_000_000
BURN = f"""
import time
held = bytearray(60 * {MB})
until = time.process_time() + 0.2
while time.process_time() < until:
    pass
"""


def burn():
    exec(BURN)


@pytest.mark.parametrize("executor", ["process", "command"])
def test_cpu_time_and_peak_memory_are_stored_with_the_run(tmp_path, executor):
    with overnight.Project.create(tmp_path) as project:
        action = burn if executor == "process" else (sys.executable, "-I", "-S", "-c", BURN)
        project.add_task(Task(task_id="burn", action=action, executor=executor))
        run_id = project.submit("burn")
        project.run(until_idle=True)
    with overnight.Project.open(tmp_path) as project:
        run = project.get(run_id)
    assert run.state == "COMPLETED"
    assert 0.2 <= run.usage.cpu_s < 10
    assert 0.06 <= run.usage.peak_memory_gb < 1
    assert (run.usage.gpu_s, run.usage.cost) == (None, None)
