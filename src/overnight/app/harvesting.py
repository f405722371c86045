"""A project's harvester: its sources, its cache, its own scorers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from overnight.app.runtime import load_function
from overnight.base.config import CategorySettings, Config
from overnight.base.errors import ConfigError, UnknownName
from overnight.base.settings import environment
from overnight.data.asker import Asker
from overnight.data.harvest import Harvester
from overnight.data.quality import Scorer, own_scorer, scorer_of
from overnight.data.web import Web
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.text.duplicates import near_duplicates

CACHE = Path("data") / "cache"
"""Below the state folder: what sources gave, for as long as it may stand in for them."""


def harvester_of(config: Config, database: Database, blobs: Blobs, state_dir: Path) -> Harvester:
    """Return what harvests the categories of the project."""
    web = Web(database.clock, private_addresses=config.data.private_addresses == "allow")
    return Harvester(
        config=config,
        database=database,
        blobs=blobs,
        cache=Blobs(str(state_dir / CACHE)),
        ask=Asker(project_dir=config.project_dir, variables=environment(), web=web),
        scorer=partial(_scorer, config.project_dir),
        duplicates=duplicates,
    )


def duplicates(texts: Sequence[str], threshold: float) -> Sequence[int]:
    """Return the place of the first text of each one's cluster; nothing is loaded for fewer than two texts."""
    return near_duplicates(texts, threshold=threshold) if len(texts) > 1 else range(len(texts))


def _scorer(project_dir: Path, category: str, settings: CategorySettings) -> Scorer | None:
    if settings.scorer is None:
        return scorer_of(category)
    key = f"categories.{category}.scorer"
    try:
        return own_scorer(key, load_function(settings.scorer, project_dir))
    except UnknownName as error:
        raise ConfigError(f"{key}: there is no function {settings.scorer!r}") from error
