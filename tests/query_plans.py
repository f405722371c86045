"""How a database answers what is sent to it."""

from collections.abc import Callable

import pytest

from overnight.db.writer import Tx


def plans(tx: Tx, ask: Callable[[Tx], object], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how the database answers everything that is sent to it meanwhile, on the connection of the writer."""
    driver = tx.connection.connection.driver_connection
    assert driver is not None
    if tx.dialect.name == "sqlite":
        texts: list[str] = []
        driver.set_trace_callback(texts.append)
        ask(tx)
        driver.set_trace_callback(None)
        rows = [row for text in texts for row in driver.execute(f"EXPLAIN QUERY PLAN {text}")]
        return "\n".join(row[3] for row in rows)
    import psycopg

    sent: list[tuple[str, object]] = []
    execute = psycopg.Cursor.execute

    def noting(cursor: object, query: str, params: object = None, **options: object) -> object:
        sent.append((query, params))
        return execute(cursor, query, params, **options)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", noting)
        ask(tx)
    rows = [row for query, params in sent for row in driver.execute(f"EXPLAIN (COSTS OFF) {query}", params)]
    return "\n".join(row[0] for row in rows)
