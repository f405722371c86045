"""The short form of `make soak`: whatever a run needed is given back when it has ended."""

import gc
import os
import threading

import pytest

import overnight
from overnight import Task


def nothing():
    return None


def parking(flow):
    [ended] = flow.wait(flow.start("thread"))
    flow.sleep(0.01)
    return ended.state


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("kind", "count"),
    [("thread", 60), ("process", 10), ("flow", 10)],
)
def test_work_that_goes_on_and_on_leaves_no_file_thread_or_object_behind(tmp_path, kind, count):
    with overnight.Project.create(tmp_path, overrides={"engine.max_concurrent": 4}) as project:
        project.add_task(Task(task_id="thread", action=nothing, executor="thread", max_concurrent=None))
        project.add_task(Task(task_id="process", action=nothing, executor="process", max_concurrent=2))
        project.add_task(Task(task_id="flow", action=parking, max_concurrent=None))

        def wave():
            """Work so many runs off, and count what this process holds afterwards."""
            for run_id in [project.submit(kind) for _ in range(count)]:
                assert project.wait(run_id, 60).state == "COMPLETED"
            gc.collect()
            ours = sum(str(type(thing).__module__).startswith("overnight.") for thing in gc.get_objects())
            return len(os.listdir("/proc/self/fd")), threading.active_count(), ours  # noqa: PTH208

        with project.running():
            wave()  # connections, statements and warm children come to be
            files, threads, objects = zip(*(wave() for _ in range(3)), strict=True)
    assert files[-1] <= files[0] + 2, files
    assert threads[-1] <= threads[0] + 1, threads
    assert objects[-1] - objects[0] < count, f"less than one for two runs: {objects}"
