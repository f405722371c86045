"""What import-linter cannot say about the house: each function takes source and returns what is wrong with it.

As a program, `pure-files` prints the files of the pure modules, for the coverage report.
"""

import ast
import configparser
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "overnight"

CLOCK = "base/clock.py"
SETTINGS = "base/settings.py"
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PACKAGE_LINES = 76_000
"""Lines of code: what explains it, and what is empty, costs nobody anything."""
PURE_BY_DESIGN = {f"engine/{name}.py" for name in ("machine", "retry", "cron", "graph", "queue")} | {
    "base/backoff.py",
    "resources/policy.py",
}
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

# Asking the time; sleeping, formatting and parsing are something else.
CLOCK_CALLS = {
    *(
        f"time.{name}{ns}"
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")
        for ns in ("", "_ns")
    ),
    *(f"time.{name}" for name in ("clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "ctime")),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}
IMPURE_BUILTINS = {"open", "input", "print", "breakpoint", "exec", "eval", "__import__"}


@cache
def files() -> tuple[tuple[str, ast.Module], ...]:
    """Every module of the package, as its path inside the package and its syntax tree."""
    paths = sorted(PACKAGE.rglob("*.py"))
    named = [(path.relative_to(PACKAGE).as_posix(), path) for path in paths]
    return tuple((name, ast.parse(path.read_text())) for name, path in named if not name.startswith("examples/"))


def lines_of_code(text: str) -> int:
    """How many lines hold code: none that are empty, a comment or part of a docstring."""
    lines: set[int] = set()
    begins = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (
            tokenize.NEWLINE,
            tokenize.NL,
            tokenize.INDENT,
            tokenize.DEDENT,
            tokenize.COMMENT,
            tokenize.ENDMARKER,
        ):
            begins = begins or token.type == tokenize.NEWLINE
            continue
        if not (begins and token.type == tokenize.STRING):
            lines.update(range(token.start[0], token.end[0] + 1))
        begins = False
    return len(lines)


def names_used(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The dotted names that the module uses, with imports resolved: `from time import time as t; t()` is time.time."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}", node.lineno
    for node in ast.walk(tree):
        parts: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id in known:
            yield ".".join([known[inner.id], *parts]), getattr(node, "lineno", 0)


def imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The modules that are imported, anywhere in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno


def uses_of(tree: ast.Module, forbidden: set[str]) -> list[str]:
    """The forbidden names that the module uses."""
    return [f"line {line}: {name}" for name, line in names_used(tree) if name in forbidden]


def root_imports(tree: ast.Module) -> list[str]:
    """Imports of the package root (its lazy names would tie every room to every other) and relative imports."""
    found = []
    for name, line in imports(tree):
        if name == "overnight" or name.startswith("."):
            found.append(f"line {line}: imports {name}")
    return found


def pickling(tree: ast.Module) -> list[str]:
    """Imports of what writes or reads pickles."""
    return [f"line {line}: imports {name}" for name, line in imports(tree) if name.split(".")[0] in PICKLES]


def too_long(source: str) -> list[str]:
    """A file or a function over its budget of lines; a function's docstring is free."""
    found = []
    lines = source.count("\n")
    if lines > MAX_FILE_LINES:
        found.append(f"{lines} lines, allowed are {MAX_FILE_LINES}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1
            if length > MAX_FUNCTION_LINES:
                found.append(f"line {node.lineno}: {node.name} has {length} lines, allowed are {MAX_FUNCTION_LINES}")
    return found


def more_than_a_docstring(tree: ast.Module) -> bool:
    """Whether an `__init__` of a folder holds code."""
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in tree.body)


def vague(name: str) -> bool:
    """Whether a folder or module is named after nothing."""
    return bool(VAGUE_NAMES & set(Path(name).with_suffix("").parts))


def impure_calls(tree: ast.Module) -> list[str]:
    """What a pure module does without an import: builtins that touch the world, and NumPy's random numbers."""
    found = [
        f"line {node.lineno}: calls {node.func.id}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_BUILTINS
    ]
    random = [f"line {line}: {name}" for name, line in names_used(tree) if name.startswith("numpy.random")]
    return found + random


def says_pure(tree: ast.Module) -> bool:
    """Whether the module's docstring says that it is pure."""
    words = (ast.get_docstring(tree) or "").replace(".", " ").replace(":", " ").replace(",", " ").split()
    return "Pure" in words


def runtime_imports(tree: ast.Module) -> set[str]:
    """The modules that are imported when the program runs, so not those under `if TYPE_CHECKING:`."""
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(ast.Module(body=node.body, type_ignores=[]))
    }
    seen = ast.Module(body=[], type_ignores=[])
    seen.body = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and id(n) not in hidden]
    return {name for name, _ in imports(seen)}


def pure_contract(key: str) -> list[str]:
    """A list of the pure-modules contract in .importlinter."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    return contract["importlinter:contract:pure"][key].split("\n")[1:]


def pure_files() -> list[str]:
    """The files of the pure modules, relative to the package."""
    found = []
    for module in pure_contract("source_modules"):
        path = PACKAGE / Path(*module.split(".")[1:])
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [path.relative_to(PACKAGE).as_posix() for path in found]


if __name__ == "__main__":
    if sys.argv[1:] != ["pure-files"]:
        sys.exit("usage: architecture.py pure-files")
    sys.stdout.write(",".join(f"src/overnight/{name}" for name in pure_files()))
