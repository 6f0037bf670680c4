"""API objects as JSON documents: reading parts of them, and making changed copies.

A document that is in the store is never changed in place; what did not change is shared between its versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None
type JsonObject = dict[str, JsonValue]

_NOTHING: JsonObject = {}


def part(doc: JsonObject, *path: str) -> JsonObject:
    """The object at a path; an empty one, not to be changed, where there is none."""
    for step in path:
        found = doc.get(step)
        if not isinstance(found, dict):
            return _NOTHING
        doc = found
    return doc


def value(doc: JsonObject, *path: str) -> JsonValue:
    """What is at a path; None where there is nothing."""
    return part(doc, *path[:-1]).get(path[-1])


def text(doc: JsonObject, *path: str) -> str:
    """The string at a path; empty where there is none."""
    found: JsonValue = doc
    for step in path:
        if not isinstance(found, dict):
            return ""
        found = found.get(step)
    return found if isinstance(found, str) else ""


def number(doc: JsonObject, *path: str) -> int:
    """The whole number at a path; 0 where there is none."""
    found = value(doc, *path)
    return int(found) if isinstance(found, int | float) else 0


def objects(doc: JsonObject, *path: str) -> list[JsonObject]:
    """The objects of the list at a path."""
    found = value(doc, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings(doc: JsonObject, *path: str) -> dict[str, str]:
    """The entries of a map of strings, such as labels."""
    return {key: item for key, item in part(doc, *path).items() if isinstance(item, str)}


def texts(doc: JsonObject, *path: str) -> list[str]:
    """The strings of the list at a path."""
    found = value(doc, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def put(doc: JsonObject, new: JsonValue, *path: str) -> JsonObject:
    """A copy with another value at a path; None takes the key away."""
    head, *rest = path
    copy = dict(doc)
    if rest:
        copy[head] = put(part(doc, head), new, *rest)
    elif new is None:
        copy.pop(head, None)
    else:
        copy[head] = new
    return copy


def condition(doc: JsonObject, kind: str) -> JsonObject:
    """The condition of a type in `status.conditions`; empty where there is none."""
    return next((c for c in objects(doc, "status", "conditions") if c.get("type") == kind), _NOTHING)


def is_true(doc: JsonObject, kind: str) -> bool:
    """Whether a condition is `True`."""
    return condition(doc, kind).get("status") == "True"


def with_conditions(doc: JsonObject, changed: Iterable[JsonObject]) -> JsonObject:
    """A copy in which these conditions replace those of the same types. A time of transition lives as long as a status.

    `changed` carry the time of now as `lastTransitionTime`.
    """
    conditions = {text(c, "type"): c for c in objects(doc, "status", "conditions")}
    for new in changed:
        kind = text(new, "type")
        old = conditions.get(kind, _NOTHING)
        same = old.get("status") == new.get("status") and "lastTransitionTime" in old
        conditions[kind] = {**new, "lastTransitionTime": old["lastTransitionTime"]} if same else new
    listed: list[JsonValue] = [*conditions.values()]
    return put(doc, listed, "status", "conditions")


def name_of(doc: JsonObject) -> str:
    """`metadata.name`."""
    return text(doc, "metadata", "name")


def namespace_of(doc: JsonObject) -> str:
    """`metadata.namespace`; empty for what has none."""
    return text(doc, "metadata", "namespace")


def uid_of(doc: JsonObject) -> str:
    """`metadata.uid`."""
    return text(doc, "metadata", "uid")


def labels_of(doc: JsonObject) -> dict[str, str]:
    """`metadata.labels`."""
    return strings(doc, "metadata", "labels")


def is_deleting(doc: JsonObject) -> bool:
    """Whether it has a deletion timestamp."""
    return "deletionTimestamp" in part(doc, "metadata")


def controller_of(doc: JsonObject) -> JsonObject:
    """The owner reference that is marked as controller; empty where there is none."""
    owners = objects(doc, "metadata", "ownerReferences")
    return next((owner for owner in owners if owner.get("controller") is True), _NOTHING)


def stamp(when: datetime) -> str:
    """A time as the API has it: whole seconds."""
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def moment(said: str) -> datetime | None:
    """A time of the API, with or without a fraction; None where there is none."""
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return None
