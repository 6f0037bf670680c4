"""The API server's JSON, before `objects` checks its fields."""

from __future__ import annotations

import json
from dataclasses import dataclass

from midwatch.kube.errors import bad_answer

type JsonValue = str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None
type JsonObject = dict[str, JsonValue]
type JsonPatch = list[JsonValue]


@dataclass(frozen=True, slots=True)
class ListResult:
    """The items of a list, of all its pages, and the resource version from which a watch goes on."""

    items: list[JsonObject]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `token` leads to the next, and is empty on the last."""

    items: list[JsonObject]
    resource_version: str
    token: str


def read_object(what: str, data: bytes) -> JsonObject:
    """The object in an answer.

    Raises:
        BadAnswer: it is no JSON object.
    """
    try:
        answer: JsonValue = json.loads(data)
    except (ValueError, RecursionError):
        raise bad_answer(what, data, "no JSON") from None
    if not isinstance(answer, dict):
        raise bad_answer(what, data, "no JSON object")
    return answer


def read_page(what: str, data: bytes) -> Page:
    """A page of a list. An object without `items` is no empty list: nothing may be concluded from it.

    Raises:
        BadAnswer: it is no list of objects.
    """
    answer = read_object(what, data)
    found, meta = answer.get("items", ""), answer.get("metadata")
    items = [] if found is None else found  # Go writes an empty slice as null here and there
    if not isinstance(items, list) or not isinstance(meta, dict):
        raise bad_answer(what, data, "no list")
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) != len(items):
        raise bad_answer(what, data, "a list of something else than objects")
    return Page(objects, str(meta.get("resourceVersion") or ""), str(meta.get("continue") or ""))
