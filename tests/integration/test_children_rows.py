"""The rows of children that a crash would need do not pile up."""

import sqlalchemy as sa

import overnight
from overnight.engine.tables import children


def test_children_that_have_ended_are_forgotten_when_the_next_one_is_recorded(tmp_path):
    with overnight.Project.create(tmp_path) as project:
        project.add_task(overnight.Task(task_id="true", action=("true",)))
        with project.running():
            for _ in range(6):
                assert project.wait(project.submit("true"), 20).state == "COMPLETED"
            with project.database.read() as connection:
                rows = connection.execute(sa.select(children)).fetchall()
    assert len(rows) <= 2
