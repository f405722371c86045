"""A database made at once, and one made by the chain of migrations, are the same."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.errors import DatabaseBroken, NewerDatabase
from overnight.db.database import Database


@pytest.fixture
def database(database_url, tmp_path):
    opened = Database(database_url, SystemClock(), tmp_path)
    yield opened
    opened.close()


def condition(index):
    """Return the condition of a partial index as text."""
    return [str(value) for key, value in index["dialect_options"].items() if key.endswith("where")]


def shape(database):
    """Return tables, columns, keys and indexes as the database describes them."""
    with database.read() as connection:
        inspector = sa.inspect(connection)
        tables = {}
        for name in sorted(inspector.get_table_names()):
            columns = [
                (column["name"], str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            ]
            indexes = sorted(
                (index["name"], tuple(index["column_names"]), bool(index["unique"]), str(condition(index)))
                for index in inspector.get_indexes(name)
            )
            unique = sorted(str(item["column_names"]) for item in inspector.get_unique_constraints(name))
            flags = []
            if connection.dialect.name == "sqlite":
                query = f"SELECT sql FROM sqlite_master WHERE type = 'table' AND name = '{name}'"
                made = connection.exec_driver_sql(query).scalar_one()
                flags = [word for word in ("AUTOINCREMENT", "WITHOUT ROWID") if word in made]
            tables[name] = (flags, columns, inspector.get_pk_constraint(name)["constrained_columns"], indexes, unique)
        return tables


def without_everything(database):
    with database.engine.connect() as connection:
        for metadata in schema.METADATA:
            metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        connection.commit()


def test_the_chain_of_migrations_makes_what_is_made_at_once(database):
    schema.prepare(database)
    at_once = shape(database)
    without_everything(database)
    schema.upgrade(database)
    assert shape(database) == at_once
    assert schema.version_of(database) == schema.HEAD


def test_the_newest_migration_is_the_one_that_the_program_asks_for():
    assert schema.known_versions()[0] == schema.HEAD


def test_preparing_twice_changes_nothing(database):
    schema.prepare(database)
    before = shape(database)
    schema.prepare(database)
    assert shape(database) == before


def test_a_newer_database_is_refused_and_not_touched(database):
    schema.prepare(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    before = shape(database)
    with pytest.raises(NewerDatabase, match="9999"):
        schema.prepare(database)
    assert shape(database) == before


def test_a_database_of_another_program_is_refused(database):
    with database.engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
        connection.commit()
    with pytest.raises(DatabaseBroken, match="another program"):
        schema.prepare(database)
    assert list(shape(database)) == ["customers"]


def test_a_project_on_sqlite_without_agents_starts_without_what_others_need(tmp_path):
    program = (
        "import sys, overnight\n"
        f"with overnight.Project.create({str(tmp_path)!r}).running(): pass\n"
        "rooms = ('flows', 'fleet', 'training.run', 'training.agents', 'proof', 'reports', 'data.quality')\n"
        "unwanted = ('sqlalchemy.dialects.postgresql', 'psycopg', 'alembic')\n"
        "unwanted += tuple('overnight.' + room for room in rooms)\n"
        "print([name for name in sys.modules if name.startswith(unwanted)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
