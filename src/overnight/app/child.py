"""The one entry point of child processes: `child.main()` with the number of the control socket as the last argument.

It imports little, so that a child starts fast. It never opens the database.
"""

import socket
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from overnight.base.errors import InvalidTask
from overnight.base.refs import WorkOrder
from overnight.executors.inside import Wire, serve

_MAIN = "__mp_main__"
serving = False
"""True in a child process: what it loads of the host's program must not train a fleet again."""


def main() -> None:
    """Take the boot message, prepare imports as in the host, and serve orders until the host goes away."""
    global serving  # noqa: PLW0603 - one process, one life
    serving = True
    control = socket.socket(fileno=int(sys.argv[-1]))
    control.set_inheritable(False)
    wire = Wire(control)
    message = wire.receive()
    if message is None:
        return
    boot = message["boot"]
    sys.argv[1:] = []
    sys.path[:] = [str(Path(boot["project_dir"]).resolve()), *boot["sys_path"]]
    targets = Targets(boot["main_path"])
    serve(wire, targets.resolve_target, targets.load_main)


class Targets:
    """Finds the functions that orders name."""

    def __init__(self, main_path: str | None) -> None:
        self._main_path = main_path
        self._main: ModuleType | None = None

    def resolve_target(self, order: WorkOrder) -> Callable[..., object]:
        """Return the function of the order's target "module:qualname".

        Raises:
            InvalidTask: there is no such module or function. Whatever importing the module raises is passed on.
        """
        module_name, _, qualname = (order.target or "").partition(":")
        if not module_name or not qualname:
            raise InvalidTask(f"target {order.target!r} of task {order.task_id!r} must be 'module:function'")
        found: Any = self._module(module_name, order)  # any object can hang in a module
        for name in qualname.split("."):
            found = getattr(found, name, None)
        if not callable(found):
            raise InvalidTask(f"module {module_name!r} has no function {qualname!r} (task {order.task_id!r})")
        return found  # type: ignore[no-any-return]

    def _module(self, name: str, order: WorkOrder) -> object:
        if name == "__main__":
            if self._main_path is None:
                raise InvalidTask(f"{order.target!r} is in a program without a file; move it to a module")
            return self.load_main()
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise InvalidTask(f"there is no module {name!r} (task {order.task_id!r})") from error
            raise

    def load_main(self) -> object:
        """Load the host's main file under another name, as multiprocessing does, so that its main part does not run."""
        # Not looked up in sys.modules: importing multiprocessing puts the child's own main module there by this name.
        if self._main is None and self._main_path is not None:
            import runpy

            module = ModuleType(_MAIN)
            module.__dict__.update(runpy.run_path(self._main_path, run_name=_MAIN))
            sys.modules["__main__"] = sys.modules[_MAIN] = self._main = module
        return self._main
