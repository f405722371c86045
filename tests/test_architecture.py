"""The house stands as DESIGN and .importlinter say, and each check can fail."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import architecture as house

# They read the code and run none of it.
pytestmark = pytest.mark.no_cover

HEAVY = {
    "PIL",
    "apprise",
    "av",
    "fastapi",
    "openai",
    "opentelemetry",
    "prometheus_client",
    "uvicorn",
    "alembic",
    "asyncio",
    "cronsim",
    "fsspec",
    "httpx",
    "numpy",
    "pandas",
    "psutil",
    "psycopg",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
    "typer",
}


def everywhere(check, *, but: str = "") -> dict[str, list[str]]:
    return {name: found for name, tree in house.files() if name != but and (found := check(tree))}


def planted(text: str) -> ast.Module:
    return ast.parse(text)


# -- time and environment


def test_only_the_clock_asks_the_time():
    assert everywhere(lambda tree: house.uses_of(tree, house.CLOCK_CALLS), but=house.CLOCK) == {}


@pytest.mark.parametrize(
    "text",
    [
        "import time\nstart = time.monotonic()",
        "import time as t\ndef f():\n    return t.time_ns()",
        "from time import perf_counter",
        "from datetime import datetime\nnow = datetime.now()",
        "import datetime\nday = datetime.date.today()",
        "import datetime as dt\ntick = dt.datetime.utcnow",
    ],
)
def test_asking_the_time_is_found(text):
    assert house.uses_of(planted(text), house.CLOCK_CALLS)


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)",
        "from datetime import datetime\nat = datetime.fromisoformat('2026-01-01')",
        "from overnight.base.clock import Clock\ndef f(time: Clock): return time.monotonic()",
    ],
)
def test_what_does_not_ask_the_time_is_left_alone(text):
    assert not house.uses_of(planted(text), house.CLOCK_CALLS)


def test_only_the_settings_read_the_environment():
    assert everywhere(lambda tree: house.uses_of(tree, house.ENVIRONMENT), but=house.SETTINGS) == {}


@pytest.mark.parametrize(
    "text",
    ["import os\nos.environ['A']", "from os import getenv", "import os as o\ndef f(): return o.environ.get('A')"],
)
def test_reading_the_environment_is_found(text):
    assert house.uses_of(planted(text), house.ENVIRONMENT)


# -- imports


def test_nothing_inside_imports_the_package_root():
    assert everywhere(house.root_imports) == {}


@pytest.mark.parametrize("text", ["import overnight", "from overnight import Task", "def f():\n    from . import x"])
def test_an_import_of_the_root_is_found(text):
    assert house.root_imports(planted(text))


def test_nothing_is_pickled_but_what_travels_to_a_child_and_back():
    assert list(everywhere(house.pickling)) == ["executors/parcels.py"]


@pytest.mark.parametrize("text", ["import pickle", "def f():\n    from joblib.numpy_pickle import dump"])
def test_a_pickle_is_found(text):
    assert house.pickling(planted(text))


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*(name.split('.')[0] for name in sys.modules))"
    child = [sys.executable, "-c", code]
    return set(subprocess.run(child, capture_output=True, text=True, check=True, timeout=60).stdout.split())


def test_importing_overnight_loads_nothing_heavy():
    assert loaded_by("import overnight") & HEAVY == set()


def test_a_heavy_import_is_found():
    assert loaded_by("import overnight, psutil") & HEAVY == {"psutil"}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-logo", "--no-cache", "--config", str(house.ROOT / ".importlinter")],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(house.PACKAGE, tmp_path / "overnight", ignore=shutil.ignore_patterns("__pycache__", "examples"))
    return tmp_path


def test_the_import_contracts_hold(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("file", "text", "broken"),
    [
        ("base/planted.py", "def f():\n    import overnight.db", "Rooms know only the rooms below them BROKEN"),
        ("proof/planted.py", "import overnight.training", "Rooms know only the rooms below them BROKEN"),
        ("data/planted.py", "import overnight.registry", "Rooms know only the rooms below them BROKEN"),
        ("attic/__init__.py", "", "overnight.attic"),
        ("proof/planted.py", "def f():\n    import time", "What decides is pure BROKEN"),
        ("proof/planted.py", "from overnight.base.clock import SystemClock", "What decides is pure BROKEN"),
        ("flows/planted.py", "import overnight.flows.other", "Flows do not know each other BROKEN"),
        ("db/planted.py", "def f():\n    import overnight.db.other", "No circles at any depth BROKEN"),
    ],
)
def test_a_planted_import_breaks_its_contract(copy, file, text, broken):
    path = copy / "overnight" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (path.parent / "other.py").write_text("import overnight.db.planted" if file.startswith("db") else "")
    result = lint(copy)
    assert result.returncode != 0
    assert broken in result.stdout


# -- purity


def test_pure_modules_touch_nothing():
    pure = set(house.pure_files())
    assert {name: found for name, found in everywhere(house.impure_calls).items() if name in pure} == {}


@pytest.mark.parametrize("text", ["open('x')", "print(1)", "import numpy as np\nnp.random.default_rng()"])
def test_an_impure_call_is_found(text):
    assert house.impure_calls(planted(text))


def test_the_contract_lists_exactly_the_modules_that_say_they_are_pure():
    pure = set(house.pure_files())
    rooms = {Path(name).parts[0] for name in pure if name.endswith("/__init__.py")}
    said = {name for name, tree in house.files() if house.says_pure(tree)}
    assert {name for name in pure if Path(name).parts[0] not in rooms} == {
        name for name in said if Path(name).parts[0] not in rooms
    }


def test_what_the_design_calls_pure_is_in_the_contract():
    listed = set(house.pure_files())
    assert {name for name in house.PURE_BY_DESIGN if (house.PACKAGE / name).is_file()} <= listed


def test_saying_pure_is_read_from_the_docstring():
    assert house.says_pure(planted('"""How long to wait. Pure."""'))
    assert not house.says_pure(planted('"""Purely a store."""'))


def test_what_the_pure_contract_ignores_is_imported_for_types_only():
    ignored = {line.split(" -> ")[1] for line in house.pure_contract("ignore_imports")}
    pure = set(house.pure_files())
    found = everywhere(lambda tree: sorted(house.runtime_imports(tree) & ignored))
    assert {name: what for name, what in found.items() if name in pure} == {}


def test_an_import_for_types_only_is_told_from_one_that_runs():
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from random import Random"
    assert house.runtime_imports(planted(hidden)) == {"typing"}
    assert house.runtime_imports(planted(hidden + "\nimport random")) == {"typing", "random"}


# -- shape


def test_files_and_functions_keep_their_budget():
    found = {p.name: house.too_long(p.read_text()) for p in house.PACKAGE.rglob("*.py")}
    assert {name: what for name, what in found.items() if what} == {}


def test_what_is_too_long_is_found():
    assert house.too_long("x = 1\n" * (house.MAX_FILE_LINES + 1))
    assert house.too_long("def f():\n" + "    x = 1\n" * (house.MAX_FUNCTION_LINES + 1))
    assert not house.too_long("def f():\n" + "    x = 1\n" * house.MAX_FUNCTION_LINES)


def test_the_package_keeps_its_budget():
    assert sum(house.lines_of_code(path.read_text()) for path in house.PACKAGE.rglob("*.py")) <= house.MAX_PACKAGE_LINES


def test_code_is_counted_and_what_explains_it_is_not():
    text = '"""Says."""\n\nimport os  # why\n\n\ndef f(x):\n    """Do.\n\n    More.\n    """\n    # why\n'
    text += '    return """a\nb"""\n'
    assert house.lines_of_code(text) == 4


def test_folders_hold_a_docstring_only():
    inits = [(name, tree) for name, tree in house.files() if name.endswith("/__init__.py")]
    assert [name for name, tree in inits if house.more_than_a_docstring(tree)] == []
    assert [name for name, tree in inits if not ast.get_docstring(tree)] == []


def test_code_in_a_folder_is_found():
    assert house.more_than_a_docstring(planted('"""Words."""\nimport x'))
    assert not house.more_than_a_docstring(planted('"""Words."""'))


def test_names_say_what_is_inside():
    assert [name for name, _ in house.files() if house.vague(name)] == []


def test_a_vague_name_is_found():
    assert house.vague("db/utils.py")
    assert house.vague("core/engine.py")
    assert not house.vague("db/writer.py")
