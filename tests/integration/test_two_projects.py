"""Two projects in one process: nothing is shared, whatever their tasks are called."""

import pytest

import overnight
from overnight import Task
from overnight.base.errors import UnknownName


def say(word):
    return word


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_two_projects_with_equal_task_ids_do_not_know_each_other(tmp_path, executor):
    with overnight.Project.create(tmp_path / "one") as one, overnight.Project.create(tmp_path / "two") as two:
        for project, word in ((one, "first"), (two, "second")):
            project.add_task(Task(task_id="say", action=say, executor=executor, args={"word": word}))
            project.add_task(Task(task_id=f"only-{word}", action=say))
        waiting = one.submit("say", key="the same"), two.submit("say", key="the same")
        assert waiting == (1, 1)
        two.cancel(1)
        with one.running(), two.running():
            assert one.result(1, 60) == "first"
            assert two.result(two.submit("say"), 60) == "second"
        assert [(run.run_id, run.state) for run in one.runs()] == [(1, "COMPLETED")]
        assert [(run.run_id, run.state) for run in two.runs()] == [(2, "COMPLETED"), (1, "CANCELLED")]
        with pytest.raises(UnknownName):
            one.submit("only-second")
