"""Records as a file for other programs: JSON lines as they are; CSV and Parquet with a column for each field."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from overnight.base.errors import MissingExtra, UserMistake
from overnight.base.files import replace_file
from overnight.data.records import flat

Record = dict[str, Any]  # Any: a cell holds whatever JSON holds


def export(records: Sequence[Record], target: Path) -> None:
    """Write the records into `target`, whole or not at all; its suffix says how: .jsonl, .csv or .parquet.

    Raises:
        UserMistake: the suffix is another one.
        MissingExtra: Parquet needs the extra `data`.
        OSError: the file cannot be written.
    """
    writer = WRITERS.get(target.suffix.lower())
    if writer is None:
        raise UserMistake(f"{target.name}: the end of its name must be one of {', '.join(WRITERS)}")
    replace_file(target, writer(records))


def _jsonl(records: Sequence[Record]) -> bytes:
    return "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records).encode()


def _csv(records: Sequence[Record]) -> bytes:
    rows = [flat(record) for record in records]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    columns = columns_of(rows)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return file.getvalue().encode()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _parquet(records: Sequence[Record]) -> bytes:
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("Parquet needs the extra `data`: pip install 'overnight[data]'") from None
    rows = [flat(record) for record in records]
    kinds = {name: _kind([row.get(name) for row in rows]) for name in columns_of(rows)}
    folded = {name.casefold(): name for name in kinds}
    for name in kinds:
        if (other := folded[name.casefold()]) != name:
            raise UserMistake(f"Parquet knows no case: the columns {name!r} and {other!r} are one there")
    lines = (json.dumps({name: _typed(row.get(name), kind) for name, kind in kinds.items()}) for row in rows)
    with tempfile.TemporaryDirectory(prefix="overnight-export-") as folder, duckdb.connect() as connection:
        source, target = Path(folder) / "rows.jsonl", Path(folder) / "rows.parquet"
        source.write_text("".join(f"{line}\n" for line in lines))
        connection.execute(
            "COPY (SELECT * FROM read_ndjson($source, columns = $columns, maximum_object_size = 67108864)) "
            "TO $target (FORMAT parquet)",
            {"source": str(source), "columns": kinds, "target": str(target)},
        )
        return target.read_bytes()


def _kind(cells: Sequence[Any]) -> str:
    """Return the type of a column that holds these cells: it never follows from what a text looks like."""
    given = {type(cell) for cell in cells if cell is not None}
    if given == {bool}:
        return "BOOLEAN"
    if given == {int}:
        return "BIGINT"
    return "DOUBLE" if given and given <= {int, float} else "VARCHAR"


def _typed(value: Any, kind: str) -> Any:
    if value is None or kind != "VARCHAR" or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns that at least one row has: what names a record first, then the others in their first order."""
    first = ("id", "title", "quality_score")
    others = dict.fromkeys(name for row in rows for name in row if name not in first)
    return [*first, *others]


WRITERS: Mapping[str, Callable[[Sequence[Record]], bytes]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
