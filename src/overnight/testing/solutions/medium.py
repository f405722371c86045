"""Right answers to the medium exercises."""

import re
from collections.abc import Mapping

_API = '''"""Keeps {thing}s for those who have a token."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

_PATH = "/{thing}s"
App = Callable[[dict[str, Any], Callable[..., Any]], list[bytes]]


class _FaultError(Exception):
    def __init__(self, status: str, allow: str = "") -> None:
        super().__init__(status)
        self.status, self.allow = status, allow


class _Store:
    def __init__(self, token_hashes: frozenset[str]) -> None:
        self._hashes = token_hashes
        self._kept: dict[int, tuple[str, str]] = {{}}
        self._last = 0

    def owner(self, header: str) -> str:
        scheme, _, token = header.partition(" ")
        digest = hashlib.sha256(token.encode()).hexdigest()
        known = [hmac.compare_digest(digest, one) for one in self._hashes]
        if scheme != "Bearer" or not any(known):
            raise _FaultError("401 Unauthorized")
        return digest

    def answer(self, owner: str, method: str, path: str, body: bytes) -> tuple[str, Any]:
        if path == _PATH:
            return self._all(owner, method, body)
        number = path.removeprefix(f"{{_PATH}}/")
        if not path.startswith(f"{{_PATH}}/") or not (number.isascii() and number.isdigit()):
            raise _FaultError("404 Not Found")
        return self._one(owner, method, int(number))

    def _all(self, owner: str, method: str, body: bytes) -> tuple[str, Any]:
        mine = [number for number, (who, _) in self._kept.items() if who == owner]
        if method == "GET":
            return "200 OK", [self._told(number) for number in mine]
        if method != "POST":
            raise _FaultError("405 Method Not Allowed", "GET, POST")
        text = _text_of(body)
        if len(mine) >= {limit}:
            raise _FaultError("409 Conflict")
        self._last += 1
        self._kept[self._last] = owner, text
        return "201 Created", self._told(self._last)

    def _one(self, owner: str, method: str, number: int) -> tuple[str, Any]:
        if method not in ("GET", "DELETE"):
            raise _FaultError("405 Method Not Allowed", "GET, DELETE")
        if self._kept.get(number, ("", ""))[0] != owner:
            raise _FaultError("404 Not Found")
        if method == "GET":
            return "200 OK", self._told(number)
        del self._kept[number]
        return "204 No Content", None

    def _told(self, number: int) -> dict[str, Any]:
        return {{"id": number, "{field}": self._kept[number][1]}}


def _text_of(body: bytes) -> str:
    try:
        found = json.loads(body)
    except ValueError:
        raise _FaultError("400 Bad Request") from None
    if not isinstance(found, dict) or set(found) != {{"{field}"}}:
        raise _FaultError("400 Bad Request")
    text = found["{field}"]
    if not isinstance(text, str) or not 1 <= len(text) <= {most}:
        raise _FaultError("400 Bad Request")
    return text


def make_app(token_hashes: frozenset[str]) -> App:
    """Return the application."""
    store = _Store(token_hashes)

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        headers = []
        told: Any
        try:
            owner = store.owner(environ.get("HTTP_AUTHORIZATION", ""))
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
            status, told = store.answer(owner, method, path, body)
        except _FaultError as fault:
            status, told = fault.status, {{"error": fault.status}}
            if fault.allow:
                headers.append(("Allow", fault.allow))
        content = b"" if told is None else json.dumps(told).encode()
        if told is not None:
            headers.append(("Content-Type", "application/json"))
        start(status, headers)
        return [content]

    return app
'''
_PRICE = '''"""Prices."""

_RATES = {{{rates}}}


def price(kind, weight, express, member):
    """Return what it costs to send something."""
    if kind not in _RATES:
        raise KeyError(kind)
    if weight <= 0:
        raise ValueError("weight")
    if weight > {limit}:
        raise ValueError("too heavy")
    base, kilo = _RATES[kind]
    return _rounded(base + kilo * weight, express, member)


def _rounded(total, express, member):
    total = total * 2 if express else total
    return round(total - total * {share} / 100 if member else total, 2)
'''
_FAST = '''"""Events."""


def {name}(times: list[int], window: int = {window}) -> tuple[int, int]:
    """Return the earliest time of the fullest window, and how many events it has."""
    ordered = sorted(times)
    best, most, end = 0, 0, 0
    for place, start in enumerate(ordered):
        if place and ordered[place - 1] == start:
            continue
        while end < len(ordered) and ordered[end] < start + window:
            end += 1
        if end - place > most:
            best, most = start, end - place
    return best, most
'''


def api(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return an interface that answers as asked."""
    field, most = _groups(r"(\w+) \(text of 1 to (\d+)", facts["field"])
    thing, limit = facts["path"].strip("/").removesuffix("s"), facts["most that one token may keep"]
    return {facts["module"]: _API.format(thing=thing, field=field, most=most, limit=limit)}


def refactor(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the prices as a table."""
    source = files[facts["module"]]
    found = re.findall(r"kind == '(\w+)':.*?total = (\d+) \+ (\d+) \*", source, re.DOTALL)
    limit, share = _groups(r"weight > (\d+).*?total \* (\d+) / 100", source)
    rates = ", ".join(f'"{kind}": ({base}, {kilo})' for kind, base, kilo in found)
    return {facts["module"]: _PRICE.format(rates=rates, limit=limit, share=share)}


def performance(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the function that goes through sorted times once."""
    name, window = _groups(r"(\w+)\(.*window: int = (\d+)", facts["function"])
    return {facts["module"]: _FAST.format(name=name, window=window)}


def _groups(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text, re.DOTALL)
    assert found is not None, (pattern, text)
    return found.groups()
