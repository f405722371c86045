"""The engine keeps its promises on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from overnight.testing.bench import empty
from overnight.testing.engine import RunConformance
from overnight.testing.engine_cycles import CycleConformance
from overnight.testing.engine_flows import FlowConformance
from overnight.testing.engine_policies import PolicyConformance
from overnight.testing.engine_recovery import RecoveryConformance
from overnight.testing.postgres import create_database, drop_database


@pytest.fixture(scope="module")
def one_database(postgres_url: str) -> Iterator[str]:
    url = create_database(postgres_url)
    yield url
    drop_database(postgres_url, url)


@pytest.fixture
def emptied_database(one_database: str) -> str:
    empty(one_database)
    return one_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, on PostgreSQL the same one for the whole file: making one takes longer than most tests."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'overnight.db'}"
    url: str = request.getfixturevalue("emptied_database")
    return url


class TestRuns(RunConformance):
    pass


class TestRecovery(RecoveryConformance):
    pass


class TestCycles(CycleConformance):
    pass


class TestPolicies(PolicyConformance):
    pass


class TestFlows(FlowConformance):
    pass
