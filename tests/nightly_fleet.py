"""A small project for tests of the nightly training: a table with a real signal, and learners in plain Python.

`score` is 2 + 2a + 2b + 3ab and a little noise. One column explains a part of it (the naive baseline finds that), a
plane more, a plane with the product nearly all.
"""

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from overnight.app.project import Project
from overnight.app.training import begin

ROWS = 600
BLIND, LINE, PLANE, CURVED = ["one"], ["one", "a"], ["one", "a", "b"], ["one", "a", "b", "ab"]

AGENTS = '''
import json, os, sys, time
from pathlib import Path

FEATURES = {"one": lambda r: 1.0, "a": lambda r: r["a"], "b": lambda r: r["b"], "ab": lambda r: r["a"] * r["b"]}
USED = %(used)r


def tell(line):
    """Add a line to the project's log; it is on disk when this returns."""
    handle = os.open("told.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + "\\n").encode())
    os.fsync(handle)
    os.close(handle)


def least_squares(rows, wanted):
    size = len(rows[0])
    table = [[sum(r[i] * r[j] for r in rows) for j in range(size)] + [sum(r[i] * w for r, w in zip(rows, wanted))]
             for i in range(size)]
    for i in range(size):
        table[i] = [cell / table[i][i] for cell in table[i]]
        for j in range(size):
            if j != i:
                table[j] = [x - table[j][i] * y for x, y in zip(table[j], table[i])]
    return [row[-1] for row in table]


class Plain:
    used = USED

    def train(self, data, ctx):
        tell("begin " + type(self).__name__ + " " + str(os.getpid()))
        Path("seen-" + type(self).__name__ + ".json").write_text(json.dumps(sorted(r["id"] for r in data)))
        self.meet(ctx)
        if os.path.exists("slow"):
            time.sleep(float(Path("slow").read_text()))
        rows = [[FEATURES[name](r) for name in self.used] for r in data]
        self.weights = least_squares(rows, [r[ctx.target] for r in data])
        tell("end " + type(self).__name__)
        return {"status": "completed", "claim": 10}

    def meet(self, ctx):
        pass

    def predict(self, items):
        assert not any("score" in item or "other" in item for item in items)
        return [sum(w * FEATURES[name](item) for w, name in zip(self.weights, self.used)) for item in items]

    def save(self, folder):
        (folder / "weights.json").write_text(json.dumps({"weights": self.weights, "used": self.used}))

    def load(self, folder):
        values = json.loads((folder / "weights.json").read_text())
        self.weights, self.used = values["weights"], values["used"]


class Child(Plain):
    """Builds on the version of the agent `first`."""

    def meet(self, ctx):
        self.load(Path(ctx.parents["first"]))


class Raising(Plain):
    def train(self, data, ctx):
        return {}["no such key"]

class Nothing(Plain):
    def train(self, data, ctx):
        return None

class Hanging(Plain):
    def train(self, data, ctx):
        time.sleep(60)

class Nan(Plain):
    def predict(self, items):
        return [float("nan")] * len(items)

class Leaving(Plain):
    def train(self, data, ctx):
        sys.exit(3)

class Vanishing(Plain):
    def train(self, data, ctx):
        os._exit(0)

class Unsure(Plain):
    predict = None

class Huge(Plain):
    def predict(self, items):
        return [(-1) ** place * 1.7e308 for place, item in enumerate(items)]
'''


def write_rows(folder: Path, *, rows: int = ROWS, seed: int = 1, shuffled: bool = False) -> None:
    """Write `numbers.db`. 20 rows more have no score, 5 lie out of the scale."""
    random = Random(seed)
    table = []
    for place in range(rows):
        a, b = random.random(), random.random()
        score = 2 + 2 * a + 2 * b + 3 * a * b + random.gauss(0, 0.2)
        table.append([f"n{place}", a, b, min(10.0, max(0.0, score)), 10 * a])
    if shuffled:
        scores = [row[3] for row in table]
        random.shuffle(scores)
        table = [[*row[:3], score, row[4]] for row, score in zip(table, scores, strict=True)]
    table += [[f"empty{place}", 0.5, 0.5, None, 1.0] for place in range(20)]
    table += [[f"far{place}", 0.5, 0.5, 99.0, 1.0] for place in range(5)]
    (folder / "numbers.db").unlink(missing_ok=True)
    connection = sqlite3.connect(folder / "numbers.db")
    connection.execute("CREATE TABLE numbers (id TEXT, a REAL, b REAL, score REAL, other REAL)")
    connection.executemany("INSERT INTO numbers VALUES (?, ?, ?, ?, ?)", table)
    connection.commit()
    connection.close()


def write_agents(folder: Path, used: list[str], more: str = "") -> None:
    """Write `agents.py`; its learners use these features."""
    (folder / "agents.py").write_text(AGENTS % {"used": used} + more)


def agent(class_: str = "Plain", **changes: Any) -> dict[str, Any]:
    """Return the table of an agent."""
    known = {"data": "numbers", "target": "score", "scale": [0, 10], "inputs": ["a", "b"], "timeout_s": 60.0}
    return {"class": f"agents:{class_}", **known, **changes}


def write_config(
    folder: Path, agents: Mapping[str, Mapping[str, Any]], *, queries: Mapping[str, str] | None = None, more: str = ""
) -> None:
    """Write `overnight.toml`."""
    lines = ["[project]", 'name = "fleet"', "[engine.retry]", "base_s = 0.0", more]
    for name, query in (queries or {"numbers": "SELECT * FROM numbers"}).items():
        lines += [f"[sources.{name}]", 'kind = "sql"', 'path = "numbers.db"', f'query = "{query}"']
        lines += [f"[categories.{name}]", "limit = 10000"]
    for name, table in agents.items():
        lines.append(f"[agents.{name}]")
        # JSON is TOML for text, numbers and lists of them.
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items() if value is not None]
    (folder / "overnight.toml").write_text("\n".join(lines) + "\n")


def make_fleet(folder: Path, used: list[str] = PLANE, **agents: Mapping[str, Any]) -> Path:
    """Make the project with these agents (one plain learner without any) and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder)
    write_agents(folder, used)
    write_config(folder, agents or {"first": agent()})
    return folder


def train(folder: Path) -> dict[str, Any]:
    """Run a nightly training in this process and return its result."""
    with Project.open(folder) as project, project.running():
        run_id, _ = begin(project)
        result: dict[str, Any] = project.result(run_id, 60)
    return result


def told(folder: Path) -> list[str]:
    """Return what the learners wrote into the log, pids left out."""
    path = folder / "told.log"
    return [" ".join(line.split()[:2]) for line in path.read_text().splitlines()] if path.exists() else []


def timeless(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a training found out, without times and the names of this run and folder."""
    left_out = {
        "snapshot",
        "sources",
        "at",
        "ms",
        "age_s",
        "time_ms",
        "run",
        "seconds",
        "total_time_seconds",
        "total_time_minutes",
        "timestamp",
        "report",
        "page",
        "metrics",
        "log",
        "peak_memory_gb",
        "database",
        "next_scheduled",
    }

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items() if key not in left_out}
        if isinstance(value, list):
            return [clean(inner) for inner in value]
        return value

    cleaned: dict[str, Any] = clean(result)
    return cleaned


def processes_with(mark: str) -> list[int]:
    """Return the living processes that have this text in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
