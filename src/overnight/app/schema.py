"""The tables of all parts as one linear chain of migrations, and the check that database and program fit."""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from overnight.base.errors import DatabaseBroken, NewerDatabase
from overnight.campaigns import tables as campaign_tables
from overnight.data import tables as data_tables
from overnight.db import stream
from overnight.db.database import Database
from overnight.engine import tables as engine_tables
from overnight.learning import tables as learning_tables
from overnight.registry import tables as registry_tables
from overnight.resources import tables as resource_tables
from overnight.serving import tables as serving_tables
from overnight.training import tables as training_tables
from overnight.training.tuning import tables as tuning_tables

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0016"
"""The newest migration; a test compares it with the chain."""

METADATA = (
    engine_tables.metadata,
    stream.metadata,
    registry_tables.metadata,
    data_tables.metadata,
    training_tables.metadata,
    serving_tables.metadata,
    campaign_tables.metadata,
    learning_tables.metadata,
    tuning_tables.metadata,
    resource_tables.metadata,
)

_version = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def version_of(database: Database) -> str | None:
    """Return the migration that the database is at; None for an empty one."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table(_version.name):
            return None
        return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()


def prepare(database: Database) -> None:
    """Make an empty database ready, bring an older one up to date, and leave a newer one untouched.

    Raises:
        NewerDatabase: a newer Overnight wrote it.
        DatabaseBroken: it holds tables, but none of Overnight's.
    """
    version = version_of(database)
    if version == HEAD:
        return
    if version is None:
        _create(database)
    elif version in known_versions():
        upgrade(database)
    else:
        raise NewerDatabase(
            f"the database is at version {version}, this program knows versions up to {HEAD}: "
            "install a newer overnight; the database was not touched"
        )


def _create(database: Database) -> None:
    """Create all tables at once, which takes a tenth of the time that the chain takes; a test compares the two."""
    with database.engine.connect() as connection:
        database.dialect.begin_write(connection)
        database.dialect.serialize(connection, 0)
        inspector = sa.inspect(connection)
        if inspector.has_table(_version.name):
            return
        if inspector.get_table_names():
            raise DatabaseBroken("the database holds tables of another program; give Overnight one of its own")
        for metadata in METADATA:
            metadata.create_all(connection)
        _version.create(connection)
        connection.execute(sa.insert(_version).values(version_num=HEAD))
        connection.commit()


def upgrade(database: Database) -> None:
    """Run the migrations that the database lacks."""
    from alembic import command

    with database.engine.connect() as connection:
        database.dialect.begin_write(connection)
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def known_versions() -> list[str]:
    """Return the migrations of this program, newest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_alembic_config()).walk_revisions()]


def _alembic_config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
