"""How the tables of `base.config` are read from nested values: which keys exist, what kind they are, what is wrong.

Keys are walked here, so that an unknown one is answered with the nearest known one; values are checked by pydantic,
which is loaded on first use.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from overnight.base.config import Settings, key_of, shown
from overnight.base.errors import ConfigError
from overnight.base.vocabulary import suggestion

Key = tuple[str, ...]

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_KINDS = {"priority": "a priority", "executor": "an executor", "kind": "a kind of {}"}


@dataclass(frozen=True, kw_only=True)
class Value:
    """What one key was set to, and by what."""

    content: Any  # Any: whatever TOML can hold; checked by `validate`
    origin: str


def sections() -> list[str]:
    """Return the names of the tables."""
    return [item.name for item in fields(Settings)]


def flatten(table: Mapping[str, Any], origin: str) -> Iterator[tuple[Key, Any]]:
    """Yield the keys that a nested table sets, with their values.

    Raises:
        ConfigError: a key is unknown, or a value stands where a table should.
    """
    yield from _flatten(Settings, table, (), origin)


def _flatten(kind: Any, content: Any, key: Key, origin: str) -> Iterator[tuple[Key, Any]]:
    members = _members(kind)
    inner = _inner(kind)
    if members is None and inner is None:
        yield key, content
        return
    if not isinstance(content, Mapping):
        raise ConfigError(f"{_at(origin, key)}: {shown(key[-1], content)!r} is not a table ([{'.'.join(key)}])")
    for name, value in content.items():
        if members is not None and name not in members:
            raise _unknown(name, members, key, origin)
        if members is None and not _NAME.fullmatch(name):
            raise ConfigError(f"{_at(origin, key)}: {name!r} is not a name (letters, digits, _ and -)")
        if members is None and value == {}:
            raise ConfigError(f"{_at(origin, (*key, name))}: the table is empty")
        yield from _flatten(inner if members is None else members[name], value, (*key, name), origin)


def resolve(words: Sequence[str], known: Mapping[Key, Any], origin: str) -> Key:
    """Return the key that a variable's or a flag's words mean; names of tables are found whatever their case.

    Raises:
        ConfigError: there is no such key.
    """
    key: Key = ()
    kind: Any = Settings
    for word in words:
        members, inner = _members(kind), _inner(kind)
        if members is not None:
            if word not in members:
                raise _unknown(word, members, key, origin)
            key, kind = (*key, word), members[word]
        elif inner is not None:
            if not _NAME.fullmatch(word):
                raise ConfigError(f"{_at(origin, key)}: {word!r} is not a name (letters, digits, _ and -)")
            key, kind = (*key, _existing(word, key, known)), inner
        else:
            raise ConfigError(f"{_at(origin, key)}: has no key {word!r} below it")
    if _members(kind) is not None or _inner(kind) is not None:
        raise ConfigError(f"{_at(origin, key)}: is a table; name a key below it")
    return key


def from_text(key: Key, text: str) -> Any:
    """Return what the text of a variable or flag means for that key: itself, a number, true or false, or JSON."""
    kinds = _alternatives(_type_of(key))
    structured = any(get_origin(item) in (tuple, Mapping) for item in kinds)
    if not text.startswith(("[", "{")) if structured else str in kinds:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def validate(values: Mapping[Key, Value]) -> Settings:
    """Return the settings.

    Raises:
        ConfigError: a value is missing or not allowed; one line says which, where it was set, and what is allowed.
    """
    nested: dict[str, Any] = {}
    for key, value in values.items():
        table = nested
        for word in key[:-1]:
            table = table.setdefault(word, {})
        table[_field_name(key)] = value.content
    # Only what somebody has set is looked at: to make ready for all tables takes longer than all the rest.
    found = {name: _validated(name, nested[name], values) for name in sections() if name in nested}
    return Settings(**found)


def _validated(section: str, content: Any, values: Mapping[Key, Value]) -> Any:
    from pydantic import ValidationError

    try:
        return _checker(section).validate_json(json.dumps(content, default=_iso))
    except ValidationError as error:
        raise _complaint(section, error.errors(include_url=False)[0], values) from None


@cache
def _checker(section: str) -> Any:  # Any: a pydantic.TypeAdapter of a type that is known at run time alone
    from pydantic import TypeAdapter

    return TypeAdapter(_type_of((section,)))


def _complaint(section: str, error: Mapping[str, Any], values: Mapping[Key, Value]) -> ConfigError:
    location = (section, *("class" if part == "class_" else str(part) for part in error["loc"]))
    for length in range(len(location), 0, -1):
        value = values.get(location[:length])
        if value is not None:
            key = location[:length]
            text = repr(shown(key[-1], value.content))
            return ConfigError(f"{_at(value.origin, key)}: {text} {_reason(key, value.content, error)}")
    # The keys are known and were set by somebody, so that only a missing one has no value of its own.
    table = location[:-1]
    origin = next(value.origin for key, value in values.items() if key[: len(table)] == table)
    return ConfigError(f"{_at(origin, table)}: {location[-1]} is missing")


def _reason(key: Key, content: Any, error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    kind = str(error["type"])
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        what = _KINDS.get(key[-1], "allowed").format(key[0].removesuffix("s"))
        return f"is not {what}{suggestion(str(content), allowed)}"
    bounds = {
        "greater_than_equal": "is below {ge}",
        "greater_than": "must be more than {gt}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "is above {le}",
        "string_too_short": "is empty",
    }
    if kind in bounds:
        return bounds[kind].format(**context)
    return f"is not {_expected(_type_of(key))}"


def _expected(kind: Any) -> str:
    """What a person calls values of that type."""
    if len(_alternatives(kind)) > 1:
        return " or ".join(_expected(item) for item in _alternatives(kind))
    plain = _alternatives(kind)[0]
    if get_origin(plain) is tuple:
        first, *others = get_args(plain)
        count = "" if Ellipsis in others else f"{1 + len(others)} "
        return f"a list of {count}{'text' if first is str else 'numbers'}"
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(get_origin(plain) or plain, "a table")


def _unknown(name: str, members: Mapping[str, Any], key: Key, origin: str) -> ConfigError:
    known = [*members, "include"] if not key else list(members)
    if key[:1] == ("tasks",) and name in ("task_id", "id", "name"):
        return ConfigError(f"{_at(origin, (*key, name))}: unknown key; a task's id is its table's name, [tasks.NAME]")
    return ConfigError(f"{_at(origin, (*key, name))}: unknown key{suggestion(name, known)}")


def _at(origin: str, key: Key) -> str:
    return f"{origin}: {'.'.join(key)}" if key else origin


def _existing(word: str, table: Key, known: Mapping[Key, Any]) -> str:
    folded = word.lower().replace("-", "_")
    names = (key[len(table)] for key in known if key[: len(table)] == table)
    return next((name for name in names if name.lower().replace("-", "_") == folded), word)


def _field_name(key: Key) -> str:
    return "class_" if key[0] == "agents" and key[-1] == "class" else key[-1]


def _iso(value: Any) -> str:
    # TOML's dates and times are the only values that JSON does not know.
    return str(value.isoformat())


def _type_of(key: Key) -> Any:
    kind: Any = Settings
    for word in key:
        members = _members(kind)
        kind = _inner(kind) if members is None else members[word]
    return kind


@cache
def _members(kind: Any) -> dict[str, Any] | None:
    """The keys of a table and their types; None for anything else."""
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return None
    hints = get_type_hints(kind)
    return {key_of(item.name, item.metadata): hints[item.name] for item in fields(kind)}


def _inner(kind: Any) -> Any:
    """The type of the tables below a table of names; None for anything else."""
    arguments = get_args(kind)
    named = get_origin(kind) is not None and len(arguments) == 2 and _members(arguments[1]) is not None
    return arguments[1] if named and arguments[0] is str else None


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """What a value may be, None aside."""
    if get_origin(kind) not in (Union, UnionType):
        return (kind,)
    return tuple(item for item in get_args(kind) if item is not type(None))
