"""Texts of a source's settings: what stands in them for a variable or a region, and which headers can be sent.

Looked at when a project starts, so nothing here loads what speaks HTTP.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from overnight.base.errors import ConfigError
from overnight.base.variables import put_in

_OURS = {
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "if-modified-since",
    "if-none-match",
    "te",
    "transfer-encoding",
    "upgrade",
}
"""Headers that say how an answer is sent, which no project may change."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
"""What the value of a header may hold."""
_REGION = re.compile(r"(?<!\$)\{region\}")


def expand(text: str, variables: Mapping[str, str], region: str | None, where: str) -> str:
    """Return the text with `${NAME}` replaced by that variable, and `{region}` by the region, percent-encoded.

    What is put in is not looked at again. `where` is the key of the setting.

    Raises:
        ConfigError: there is no such variable, or no region.
    """
    if _REGION.search(text) and region is None:
        raise ConfigError(f"{where}: {{region}} stands for nothing here; it needs `regions`, and stands in `url`")
    # A region first: encoded as it is, it holds no variable.
    encoded = "" if region is None else quote(region, safe="")
    return put_in(_REGION.sub(lambda _: encoded, text), variables, where)


def checked_headers(headers: Mapping[str, str], where: str) -> Mapping[str, str]:
    """Return the headers. `where` is the key of the setting.

    Raises:
        ConfigError: one of them cannot be sent; a value is never repeated.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{where}: {name!r} is no name of a header")
        if name.lower() in _OURS:
            raise ConfigError(f"{where}: {name!r} cannot be set: Overnight sends its own")
        if not HEADER_VALUE.fullmatch(value):
            raise ConfigError(
                f"{where}: the value of {name!r} cannot be sent; a line break, a space at an end and letters beyond "
                "Latin-1 are not allowed"
            )
    return headers
