"""Writes the parts of the documentation that follow from the code and from a real run.

python docs/build.py settings    docs/reference/settings.md, from the settings and the texts below them
python docs/build.py report      docs/nightly_report.txt and .svg, from a real training of the example (15 s)
"""

import ast
import inspect
import io
import sys
import tempfile
import textwrap
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

from overnight.base import config

HERE = Path(__file__).parent


def texts_below(table: type) -> dict[str, str]:
    """Return the text below each field of a table of the settings."""
    body = ast.parse(textwrap.dedent(inspect.getsource(table))).body[0].body  # type: ignore[attr-defined]
    found = {}
    for node, after in pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            found[node.target.id] = inspect.cleandoc(after.value.value)  # type: ignore[union-attr,attr-defined]
    return found


def default_of(item: "Field[Any]") -> str:
    """Return the default of a field as it would stand in the file."""
    if item.default is MISSING and item.default_factory is MISSING:
        return "must be given"
    value = item.default if item.default_factory is MISSING else item.default_factory()
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return "[]" if value == () else "{}" if value == {} else str(value)


def settings() -> str:
    """Return the reference of all settings."""
    lines = [
        "# Settings",
        "",
        "Written from the code by `make docs`. Files come first, then variables such as",
        "`OVERNIGHT_ENGINE__MAX_CONCURRENT` (two underscores stand for a dot), then flags; `overnight config show`",
        "tells where each value comes from.",
    ]
    hints = get_type_hints(config.Settings)
    for section in fields(config.Settings):
        table, name = hints[section.name], section.name
        if not is_dataclass(table):
            table, name = get_args(table)[1], f"{section.name}.NAME"
        lines += rows_of(table, name)
    return "\n".join(lines) + "\n"


def rows_of(table: Any, name: str) -> list[str]:
    """Return the chapter of one table and of the tables in it."""
    about = inspect.getdoc(table).partition(": ")[2]
    about = about[:1].upper() + about[1:]
    lines = ["", f"## [{name}]", "", about, "", "| key | default | meaning |", "|---|---|---|"]
    below, inner = texts_below(table), list[str]()
    hints = get_type_hints(table)
    for item in fields(table):
        key = config.key_of(item.name, item.metadata)
        if is_dataclass(hints[item.name]):
            inner += rows_of(hints[item.name], f"{name}.{key}")
        else:
            lines.append(f"| `{key}` | `{default_of(item)}` | {' '.join(below[item.name].split())} |")
    return [*lines, *inner]


def report() -> None:
    """Train the example on its real films and keep the report as text and as a picture."""
    from rich.console import Console

    from overnight.app.examples import new_project
    from overnight.app.project import Project
    from overnight.app.training import begin

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "music_video"
        new_project(place, "music_video")
        with Project.open(place) as project, project.running():
            run_id, _ = begin(project)
            text = Path(project.result(run_id)["report"]).read_text()
    (HERE / "nightly_report.txt").write_text(text)
    console = Console(record=True, width=80, file=io.StringIO(), markup=False, highlight=False)
    console.print(text)
    console.save_svg(str(HERE / "nightly_report.svg"), title="overnight train")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["settings", "report"]
    if "settings" in wanted:
        (HERE / "reference").mkdir(exist_ok=True)
        (HERE / "reference" / "settings.md").write_text(settings())
    if "report" in wanted:
        report()
