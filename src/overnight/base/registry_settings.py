"""The tables of `overnight.toml` that describe where versions are kept and who is told of them; see `base.config`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class RegistrySettings(Table):
    """`[registry]`: where the files of model versions are kept, for how long, and who is told of new ones."""

    storage: str | None = None
    """Folder or URL ("s3://BUCKET/PREFIX" with the extra `s3`, "gs://..." with `gs`) of this project alone; without it,
    the project's own blobs."""

    keep: Annotated[int, Ge(1)] = 10
    """Newest versions of each model whose files stay; so do those of the version that serves, of the one before it, of
    tagged ones, and of those being rolled out. What is known of a version always stays."""

    webhook_url: str | None = None
    """Address that is told of each new version (`model_ready`), by a signed POST."""

    webhook_signed_with: str = "OVERNIGHT_WEBHOOK_KEY"
    """Variable of the environment that holds the secret of the signature."""


@dataclass(frozen=True, kw_only=True)
class MlflowSettings(Table):
    """`[mlflow]`: an MLflow server that gets a copy of each training and version."""

    tracking_uri: str | None = None
    """Its address, such as "http://127.0.0.1:5000"; without it, nothing is copied."""

    experiment: str | None = None
    """Name of the experiment there; without it, the project's name."""
