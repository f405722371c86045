"""The project's own module: who loads it, and who calls its `configure`."""

import sys

from overnight.app.project import Project

MODULE = """
import os
from overnight import Task

CONFIGURED = []

def configure(project):
    CONFIGURED.append(os.getpid())
    project.add_task(Task(task_id="look", action=look))

def look():
    return {"here": __name__, "configured": len(CONFIGURED)}
"""


def test_a_child_loads_the_module_of_its_function_and_does_not_configure_a_project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "overnight.toml").write_text('[project]\nmodule = "own_module_of_a_test"\n')
    (tmp_path / "own_module_of_a_test.py").write_text(MODULE)
    with Project.open(tmp_path) as project, project.running():
        assert project.result(project.submit("look"), 60) == {"here": "own_module_of_a_test", "configured": 0}
