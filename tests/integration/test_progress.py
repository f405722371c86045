"""How far a run is can be read while it works, although nothing else wakes the worker."""

import json
import threading

import overnight

LIMIT_S = 20


def test_progress_is_written_while_the_worker_has_nothing_else_to_do(tmp_path):
    release = threading.Event()

    def work(ctx):
        ctx.progress(1, 4, loss=0.5)
        release.wait(LIMIT_S)

    with overnight.Project.create(tmp_path) as project:
        project.add_task(overnight.Task(task_id="work", action=work, executor="thread"))
        with project.running():
            run_id = project.submit("work")
            seen = None
            while seen is None:
                seen = project.wait(run_id, 0.02).progress
            release.set()
            project.wait(run_id, LIMIT_S)
        assert json.loads(seen) == {"done": 1, "total": 4, "loss": 0.5}
        assert project.get(run_id).progress is None
