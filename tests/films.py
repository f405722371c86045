"""Real films and tunes for the tests of learners, as the example's sources give them."""

import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import overnight
from overnight.base.config import SourceSettings
from overnight.data.fields import picker
from overnight.data.records import Origin, flat, record_of
from overnight.data.sources import folder, sql

Record = dict[str, Any]

EXAMPLE = Path(overnight.__file__).parent / "examples" / "music_video"
SETTINGS = tomllib.loads((EXAMPLE / "overnight.toml").read_text())


@cache
def rows_of(source: str) -> list[Record]:
    """Return all records of one of the example's sources."""
    table = SETTINGS["sources"][source]
    package = table["path"].removeprefix("package:").partition("/")[0]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed (extra 'demo')")
    settings = SourceSettings(**table)
    if settings.kind == "sql":
        rows = sql.read(source, settings, EXAMPLE, variables={})
    else:
        rows = folder.read(source, settings, EXAMPLE)
    pick = picker(source, settings.fields)
    origin = Origin(source=source, platform=source, harvested_at="2026-11-26T00:00:00+00:00")
    found = [flat(record_of(pick(row), origin)) for _, row, _ in rows if row is not None]
    assert len(found) > 500
    return found


def with_target(source: str, target: str) -> list[Record]:
    """Return the records of a source that have the target."""
    return [record for record in rows_of(source) if record.get(target) is not None]


def agent(name: str) -> dict[str, Any]:
    """Return the settings of one of the example's agents."""
    found: dict[str, Any] = SETTINGS["agents"][name]
    return found
