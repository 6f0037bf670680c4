"""Strategic merge patches, driven by a table: lists whose items have a merge key are merged, other lists replaced.

Source: apimachinery `strategicpatch`. The directives `$patch`, `$setElementOrder/...`, `$deleteFromPrimitiveList/...`
and `$retainKeys` are understood.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.refusals import bad_request

_COMMON = {"ownerReferences": "uid"}
_PRIMITIVE = frozenset({"finalizers"})
"""Lists of plain values that are merged as sets."""
_DIRECTIVE = "$patch"
_ORDER = "$setElementOrder/"
_DROP = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"


def merge_strategically(doc: JsonObject, patch: JsonObject, merge_keys: Mapping[str, str]) -> JsonObject:
    """The document with the patch.

    Args:
        doc: what is there.
        patch: what is to change.
        merge_keys: from the name of a list to the key of its items.

    Raises:
        Refusal: 400, for an item without its key or an unknown directive.
    """
    return _merge_map(doc, patch, {**_COMMON, **merge_keys})


def _merge_map(old: JsonObject, patch: JsonObject, keys: Mapping[str, str]) -> JsonObject:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {key: new for key, new in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise bad_request(f"unknown directive {_DIRECTIVE}: {directive}")
    retained = patch.get(_RETAIN)
    result = {key: kept for key, kept in old.items() if not isinstance(retained, list) or key in retained}
    for key, new in patch.items():
        if not key.startswith("$"):
            _merge_entry(result, key, new, keys)
    for key, listed in patch.items():
        _apply_list_directive(result, key, listed, keys)
    return result


def _merge_entry(result: JsonObject, key: str, new: JsonValue, keys: Mapping[str, str]) -> None:
    if new is None:
        result.pop(key, None)
        return
    old = result.get(key)
    if isinstance(new, dict):
        result[key] = _merge_map(old if isinstance(old, dict) else {}, new, keys)
    elif isinstance(new, list):
        result[key] = _merge_list(key, old if isinstance(old, list) else [], new, keys)
    else:
        result[key] = new


def _merge_list(name: str, old: list[JsonValue], new: list[JsonValue], keys: Mapping[str, str]) -> list[JsonValue]:
    if name in _PRIMITIVE:
        return [*old, *(item for item in new if item not in old)]
    key = keys.get(name)
    if key is None:
        return new
    items = [item for item in new if isinstance(item, dict)]
    if any(item.get(_DIRECTIVE) == "replace" for item in items):
        return [item for item in items if _DIRECTIVE not in item]
    merged = {_identity(item, key): item for item in old if isinstance(item, dict)}
    for item in items:
        name_of_item = _identity(item, key)
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(name_of_item, None)
        else:
            merged[name_of_item] = _merge_map(merged.get(name_of_item, {}), item, keys)
    return [*merged.values()]


def _identity(item: JsonObject, key: str) -> str:
    found = item.get(key, item.get("port") if key == "containerPort" else None)
    if found is None:
        raise bad_request(f"map: {item} does not contain declared merge key: {key}")
    return str(found)


def _apply_list_directive(result: JsonObject, key: str, listed: JsonValue, keys: Mapping[str, str]) -> None:
    if not isinstance(listed, list):
        return
    if key.startswith(_DROP):
        name = key.removeprefix(_DROP)
        found = result.get(name)
        result[name] = [item for item in found if item not in listed] if isinstance(found, list) else []
    elif key.startswith(_ORDER):
        name = key.removeprefix(_ORDER)
        found = result.get(name)
        if isinstance(found, list):
            result[name] = _ordered(found, listed, keys.get(name))


def _ordered(found: list[JsonValue], listed: list[JsonValue], key: str | None) -> list[JsonValue]:
    """The items in the order of the patch; those that it does not name stay behind them, in their own order."""

    def identity(item: JsonValue) -> str:
        return _identity(item, key) if key is not None and isinstance(item, dict) else str(item)

    places = {identity(item): place for place, item in enumerate(listed)}
    return sorted(found, key=lambda item: places.get(identity(item), len(places)))
