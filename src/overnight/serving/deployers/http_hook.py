"""Versions that serve in another server, which is told by HTTP, such as vLLM.

vLLM: POST /v1/load_lora_adapter and /v1/unload_lora_adapter {lora_name, lora_path}, which it has with
VLLM_ALLOW_RUNTIME_LORA_UPDATING=True (https://docs.vllm.ai/en/latest/features/lora/); requests name the adapter.
"""

from collections.abc import Callable
from urllib.parse import quote

from overnight.base.errors import ConfigError, DeployFailed, TransientError
from overnight.base.serving_settings import DeployerSettings
from overnight.resources.probes.call import Refused, call, parsed
from overnight.serving.deployers import templates
from overnight.serving.host import verified
from overnight.serving.ports import VersionRef

_GONE = frozenset({404, 410})
"""Answers that mean that a version is not there (any more)."""


class HttpHook:
    """Sends each wish to an address; one without an address is granted."""

    def __init__(self, settings: DeployerSettings, where: str) -> None:
        """`where` names the settings.

        Raises:
            ConfigError: there is no address for loading or swapping, or one is none.
        """
        if settings.load_url is None and settings.swap_url is None:
            raise ConfigError(f"{where}: kind 'http' needs load_url, swap_url or both")
        urls = {name: getattr(settings, name) for name in ("load_url", "healthy_url", "swap_url", "unload_url")}
        for name, url in urls.items():
            if url is not None:
                templates.check(f"{where}.{name}", [url])
                parsed(templates.filled(url, dict.fromkeys(templates.WORDS, "x")), f"{where}.{name}")
        templates.check(f"{where}.body", list(settings.body.values()))
        self._settings = settings

    def load(self, version: VersionRef) -> None:
        """Send the files' folder; see `serving.ports.Deployer`."""
        verified(version)
        self._post(self._settings.load_url, version, self._is_loaded)

    def healthy(self, version: VersionRef) -> str | None:
        """Return why the address of its health does not answer well."""
        url = self._settings.healthy_url
        if url is None:
            return None
        try:
            call("GET", self._filled(url, version), timeout_s=self._settings.timeout_s)
        except TransientError as error:
            return str(error)
        return None

    def swap(self, version: VersionRef) -> None:
        """Say which version is the champion."""
        self._post(self._settings.swap_url, version)

    def unload(self, version: VersionRef) -> None:
        """Say which version is to go."""
        self._post(self._settings.unload_url, version, lambda refused: refused.status in _GONE)

    def _is_loaded(self, refused: Refused) -> bool:
        said = self._settings.loaded_text
        return said is not None and said in refused.content.decode(errors="replace")

    def _post(
        self, url: str | None, version: VersionRef, done: Callable[[Refused], bool] = lambda refused: False
    ) -> None:
        """Send the version; a refusal of which `done` says that it was done already is none."""
        if url is None:
            return
        words = templates.words_of(version)
        more = {name: templates.filled(template, words) for name, template in self._settings.body.items()}
        try:
            call("POST", self._filled(url, version), {**words, **more}, timeout_s=self._settings.timeout_s)
        except TransientError as error:
            if not (isinstance(error, Refused) and done(error)):
                raise DeployFailed(str(error)) from error

    def _filled(self, url: str, version: VersionRef) -> str:
        words = {name: quote(value, safe="") for name, value in templates.words_of(version).items()}
        return templates.filled(url, words)
