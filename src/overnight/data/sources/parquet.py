"""Rows of one Parquet file, read by DuckDB in memory: it may open that file and nothing else."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.base.errors import ConfigError, MissingExtra
from overnight.data.sources.cells import found
from overnight.data.sources.reading import Found

if TYPE_CHECKING:
    import duckdb

BATCH = 1000
MEMORY = "512MB"
"""The most that DuckDB may take; a file whose row groups need more is refused."""


def rows(file: Path) -> Iterator[Found]:
    """Yield the rows of a file.

    Raises:
        ConfigError: the file is damaged, or cannot be read in the memory that is allowed.
        MissingExtra: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("Parquet files need the extra 'data': pip install 'overnight[data]'") from error
    # DuckDB takes the path for a pattern; in brackets, a character means itself.
    pattern = re.sub(r"[*?\[]", r"[\g<0>]", str(file))
    try:
        with closing(duckdb.connect(":memory:")) as connection:
            _confine(connection, [str(file), pattern])
            connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [pattern])
            columns = [column[0] for column in connection.description or ()]
            number = 0
            while batch := connection.fetchmany(BATCH):
                for number, cells in enumerate(batch, number + 1):  # noqa: B020  # it goes on counting
                    yield found(f"row {number}", columns, cells)
    except duckdb.Error as error:
        raise ConfigError(str(error).partition("\n")[0]) from error


def _confine(connection: "duckdb.DuckDBPyConnection", paths: list[str]) -> None:
    allowed = ", ".join("'{}'".format(path.replace("'", "''")) for path in paths)
    for setting in (
        "threads = 1",
        f"memory_limit = '{MEMORY}'",
        "temp_directory = ''",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
