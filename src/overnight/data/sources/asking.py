"""How one source asks for its pages over HTTP: its address, its headers and its limits, with the variables put in."""

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from overnight.base.config import SourceSettings
from overnight.data.sources.reading import Known, Validators
from overnight.data.templates import expand
from overnight.data.web import Answer, Web, parse_address

if TYPE_CHECKING:
    from httpx import URL


class Asking:
    """One source, and one of its regions, as a client of the web; all its answers share `max_mb`.

    Raises:
        ConfigError: the address is none that can be asked, or a variable is missing.
        MissingExtra: the extra `data` is not installed.
    """

    def __init__(
        self, name: str, settings: SourceSettings, *, region: str | None, variables: Mapping[str, str], web: Web
    ) -> None:
        key = f"sources.{name}"
        assert settings.url is not None, "`kinds.check` sees to it"
        self.first: URL = parse_address(expand(settings.url, variables, region, f"{key}.url"), f"{key}.url")
        self._headers = {
            header: expand(value, variables, None, f"{key}.headers.{header}")
            for header, value in settings.headers.items()
        }
        self._settings = settings
        self._web = web
        self._left_bytes = int(settings.max_mb * 1e6)

    def get(self, address: "URL", known: Known | None) -> Answer:
        """Read one page, unless it is unchanged since it was known. Raises what `Web.get` raises."""
        settings = self._settings
        answer = self._web.get(
            str(address.copy_with(userinfo=self.first.userinfo)),
            headers=self._headers,
            etag=known.validators.etag if known else None,
            last_modified=known.validators.last_modified if known else None,
            timeout_s=settings.timeout_s,
            max_retries=settings.max_retries,
            per_second=settings.per_second,
            max_bytes=self._left_bytes,
        )
        self._left_bytes -= len(answer.body)
        return answer


def key_of(address: "URL") -> str:
    """Return the page's key: the SHA-256 of its address, without a name and password, in hexadecimal digits."""
    return sha256(str(address.copy_with(userinfo=b"")).encode()).hexdigest()


def validators_of(answer: Answer) -> Validators:
    """Return what the answer's page is asked for the next time."""
    return Validators(etag=answer.etag, last_modified=answer.last_modified)
