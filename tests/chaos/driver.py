"""One worker process: opens the project, maybe submits, works until nothing is left, or until it is killed.

Usage: driver.py FOLDER MODE DATABASE [POINT VISIT]. What clients were told goes to acknowledged.txt, forced to disk.
"""

import sys
import threading
import time
from pathlib import Path

import chaos_tasks

from overnight.app.project import Project
from overnight.base.points import Point, no_hook
from overnight.engine.model import Task
from overnight.testing.chaos import KillAt, append_line, both

CLIENTS = 4
EACH = 40


def main():
    folder, mode, database = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    kill = KillAt(Point(sys.argv[4]), int(sys.argv[5])) if len(sys.argv) > 4 else no_hook

    def tell(point):
        if point is Point.ENGINE_CLAIMED:
            append_line(folder / "claims.txt", repr(time.monotonic()))

    overrides = {"engine.database": database, "engine.max_concurrent": 4}
    with Project.create(folder, overrides=overrides, hook=both(tell, kill)) as project:
        project.add_task(Task(task_id="flow", action=chaos_tasks.three_steps, max_retries=0))
        project.add_task(Task(task_id="work", action=chaos_tasks.work, max_concurrent=None, max_retries=0))
        project.add_task(Task(task_id="nothing", action=chaos_tasks.nothing, executor="thread", max_concurrent=None))
        if mode == "flow":
            submit(project, folder, "flow", {"folder": str(folder)}, key="the flow")
        if mode == "load":
            project.start()
            under_load(project, folder)
            project.stop()
        else:
            project.run(until_idle=True)


def submit(project, folder, task_id, args=None, key=None):
    run_id = project.submit(task_id, args, key=key)
    append_line(folder / "acknowledged.txt", f"{run_id} {task_id}")
    return run_id


def under_load(project, folder):
    def client():
        for _ in range(EACH):
            project.wait(submit(project, folder, "nothing"), 30)

    flow = submit(project, folder, "flow", {"folder": str(folder)})
    clients = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    project.wait(flow, 30)


if __name__ == "__main__":
    main()
