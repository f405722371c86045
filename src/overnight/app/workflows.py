"""Which tasks of a project can be told by which strategy they execute; their functions are read, and not loaded."""

import ast
from pathlib import Path

from overnight.app.campaign_tasks import PREFIX
from overnight.app.fleet_tasks import NIGHTLY
from overnight.base.config import Config
from overnight.base.engine_settings import TaskSettings

ARGUMENT = "strategy"


def takers(config: Config, file: str) -> list[str]:
    """Return the tasks of the settings that take a strategy and have none, or one that `file` (as included) says."""
    return [
        name
        for name, one in config.tasks.items()
        if (one.strategy is None or config.set_by.get(f"tasks.{name}.strategy") == file)
        and _takes(one, config.project_dir)
    ]


def _takes(task: TaskSettings, folder: Path) -> bool:
    if not isinstance(task.action, str):
        return any(f"{{{ARGUMENT}}}" in word for word in task.action)
    if task.action == NIGHTLY or task.action.startswith(PREFIX):
        return True
    module, _, function = task.action.partition(":")
    base = folder / Path(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return _has_parameter(path, function)
    return False


def _has_parameter(path: Path, function: str) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            named = [*node.args.args, *node.args.kwonlyargs]
            return node.args.kwarg is not None or any(one.arg == ARGUMENT for one in named)
    return False
