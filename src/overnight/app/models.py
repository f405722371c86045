"""Models and their versions, as people and programs look at them; tags."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTransition, UnknownName, UserMistake
from overnight.base.instants import iso
from overnight.base.vocabulary import suggestion
from overnight.db.writer import Tx
from overnight.registry import store
from overnight.registry.store import Service
from overnight.registry.versions import CHAMPION, NEWEST, PREVIOUS, Version, differences, tag_complaint

Json = dict[str, Any]  # Any: JSON
DIFFERENT = ("signature", "metrics", "verdict", "code")
"""Parts of versions that are compared key by key."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model: its versions, newest first, the number of the one that serves, and what has served, newest first.

    `tags` gives for each tag the number of its version.
    """

    model_type: str
    serving: str | None
    versions: Sequence[Version]
    tags: Mapping[str, str]
    history: Sequence[Service]


def known_models(project: Workplace) -> list[str]:
    """Return the names of the models that have versions."""
    with project.database.read() as connection:
        return store.models(connection)


def list_models(project: Workplace) -> list[Model]:
    """Return all models that have versions, by name."""
    with project.database.read() as connection:
        return [_model(connection, name) for name in store.models(connection)]


def find_model(project: Workplace, name: str) -> Model:
    """Return a model.

    Raises:
        UnknownName: it has no version; the message names the nearest one that has.
    """
    with project.database.read() as connection:
        found = _model(connection, name)
        if not found.versions:
            raise _unknown_model(connection, name)
        return found


def _unknown_model(connection: sa.Connection, name: str) -> UnknownName:
    known = store.models(connection)
    hint = suggestion(name, known) if known else "; no model has any yet, `overnight jobs submit` makes one"
    return UnknownName(f"there is no version of a model {name!r}{hint}")


def _model(connection: sa.Connection, name: str) -> Model:
    champion, versions = store.serving(connection, name), store.history(connection, name)
    numbers = {one.version_id: one.number for one in versions}
    return Model(
        model_type=name,
        serving=None if champion is None else champion.number,
        versions=versions,
        tags={tag: numbers[version_id] for tag, version_id in store.tags_of(connection, name).items()},
        history=store.services(connection, name),
    )


def find_version(project: Workplace, model: str, ref: str = NEWEST) -> Version:
    """Return a version by its number, a tag, or the words `champion`, `previous` and `newest`.

    Raises:
        UnknownName: there is no such model or version; the message names the nearest one.
    """
    with project.database.read() as connection:
        return version_in(connection, model, ref)


def version_in(connection: sa.Connection, model: str, ref: str) -> Version:
    """Return the version, as `find_version` does, as the connection sees it."""
    newest = store.newest(connection, model)
    if newest is None:
        raise _unknown_model(connection, model)
    by_word: Mapping[str, Callable[[], Version | None]] = {
        NEWEST: lambda: newest,
        CHAMPION: lambda: store.serving(connection, model),
        PREVIOUS: lambda: store.served_before(connection, model),
    }
    if ref in by_word:
        found = by_word[ref]()
        if found is None:
            raise UnknownName(f"there is no {ref} of model {model!r}: {_why_none(ref)}")
        return found
    tagged = store.tags_of(connection, model).get(ref)
    found = store.of_number(connection, model, ref) if tagged is None else store.of_id(connection, tagged)
    if found is None:
        known = [*store.tags_of(connection, model), *(one.number for one in store.history(connection, model))]
        raise UnknownName(f"there is no version {ref!r} of model {model!r}{suggestion(ref, known[:20])}")
    return found


def _why_none(ref: str) -> str:
    return "no version of it serves" if ref == CHAMPION else "no other version has served before"


def tag(project: Workplace, model: str, ref: str, name: str, *, by: str, force: bool = False) -> Version:
    """Give a version a tag, which no other version of the model has; with `force` it moves here.

    Raises:
        UserMistake: the name cannot be one.
        UnknownName: there is no such model or version.
        InvalidTransition: another version has the tag, or the version's artifact is gone, which a tag would keep.
    """
    wrong = tag_complaint(name)
    if wrong is not None:
        raise UserMistake(f"the tag {name!r} {wrong}")

    def change(tx: Tx) -> Version:
        store.serialize(tx, model)
        version = version_in(tx.connection, model, ref)
        holder = store.tags_of(tx.connection, model).get(name)
        if holder == version.version_id:
            return version
        if holder is not None and not force:
            other = store.of_id(tx.connection, holder)
            assert other is not None, "versions are never removed"
            raise InvalidTransition(
                f"{model} {other.number} has the tag {name!r}; --force moves it to {version.number}"
            )
        if version.removed_us is not None:
            raise InvalidTransition(
                f"the artifact of {model} {version.number} was removed; a tag would not bring it back"
            )
        store.put_tag(tx, version, name, by=by)
        return version

    return project.database.writer.do(change)


def untag(project: Workplace, model: str, ref: str, name: str) -> Version:
    """Take a tag from the version.

    Raises:
        UnknownName: there is no such model or version, or it has no such tag.
    """

    def change(tx: Tx) -> Version:
        version = version_in(tx.connection, model, ref)
        own = [tag for tag, holder in store.tags_of(tx.connection, model).items() if holder == version.version_id]
        if name not in own:
            hint = suggestion(name, own) if own else "; it has none"
            raise UnknownName(f"{model} {version.number} has no tag {name!r}{hint}")
        store.drop_tag(tx, model, name)
        return version

    return project.database.writer.do(change)


# As programs read them.


def model_json(model: Model) -> Json:
    """Return a model for a program."""
    return {
        "model_type": model.model_type,
        "serving": model.serving,
        "tags": dict(model.tags),
        "versions": [version_json(one, model) for one in model.versions],
        "history": [service_json(one) for one in model.history],
    }


def version_json(version: Version, model: Model) -> Json:
    """Return all that is known of a version of the model; instants in ISO 8601."""
    numbers = {one.version_id: one.number for one in model.versions}
    return {
        "version": version.number,
        "created": iso(version.created_us),
        "serves": version.number == model.serving,
        "tags": [tag for tag, number in model.tags.items() if number == version.number],
        "parent": None if version.parent_id is None else numbers[version.parent_id],
        "run_id": version.run_id,
        "job_id": version.metrics.get("job_id") if version.origin is None else None,
        "snapshot": version.snapshot_id,
        "code": dict(version.code),
        "signature": dict(version.signature),
        "metrics": dict(version.metrics),
        "verdict": dict(version.verdict),
        "files": {name: dict(about) for name, about in version.manifest.items()},
        "artifact_removed": iso(version.removed_us),
        "origin": None if version.origin is None else dict(version.origin),
    }


def service_json(service: Service) -> Json:
    """Return since when a version has served, by whom and why."""
    return {"version": service.number, "since": iso(service.since_us), "by": service.by, "why": service.why}


def diff(a: Version, b: Version) -> Json:
    """Return what differs between two versions, each value as [in `a`, in `b`]; of files, which came and went."""
    found: Json = {"a": a.number, "b": b.number, "snapshot": _pair(a.snapshot_id, b.snapshot_id)}
    for part in DIFFERENT:
        differing = differences(getattr(a, part), getattr(b, part))
        found[part] = {key: list(pair) for key, pair in differing.items()}
    digests = [{name: about["sha256"] for name, about in one.manifest.items()} for one in (a, b)]
    files = differences(*digests)
    found["files"] = {
        "added": [name for name, (was, _) in files.items() if was is None],
        "removed": [name for name, (_, now) in files.items() if now is None],
        "changed": [name for name, pair in files.items() if None not in pair],
    }
    return found


def _pair(a: Any, b: Any) -> list[Any] | None:
    return None if a == b else [a, b]
