"""The three kinds of patches. All give a changed copy."""

from __future__ import annotations

import json
from collections.abc import Mapping

import jsonpatch
import jsonpointer

from midwatch.simulator.documents import JsonObject, JsonValue
from midwatch.simulator.refusals import Refusal, bad_request, unsupported_media_type
from midwatch.simulator.strategic import merge_strategically

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


def apply_patch(doc: JsonObject, patch: JsonValue, kind: str, merge_keys: Mapping[str, str]) -> JsonObject:
    """The document with a patch of a content type.

    Raises:
        Refusal: 400 for a patch that makes no sense, 415 for another content type, 422 when it cannot be applied.
    """
    if kind == JSON_PATCH:
        return _apply_operations(doc, patch)
    if kind not in {MERGE_PATCH, STRATEGIC_PATCH}:
        raise unsupported_media_type(kind)
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: it is no object")
    if kind == MERGE_PATCH:
        return merge(doc, patch)
    return merge_strategically(doc, patch, merge_keys)


def merge(doc: JsonObject, patch: JsonObject) -> JsonObject:
    """RFC 7386: null removes, objects are merged, everything else replaces."""
    result = dict(doc)
    for key, new in patch.items():
        if new is None:
            result.pop(key, None)
        elif isinstance(new, dict):
            old = result.get(key)
            result[key] = merge(old if isinstance(old, dict) else {}, new)
        else:
            result[key] = new
    return result


def _apply_operations(doc: JsonObject, patch: JsonValue) -> JsonObject:
    """RFC 6902, all or nothing."""
    operations = [item for item in patch if isinstance(item, dict)] if isinstance(patch, list) else []
    if not isinstance(patch, list) or len(operations) != len(patch):
        raise bad_request("error decoding patch: it is no list of operations")
    try:
        result = jsonpatch.apply_patch(doc, operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError, ValueError) as error:
        # Unknown operations, too: kube-apiserver checks them when it applies them.
        raise Refusal(422, "Invalid", "the server rejected our request due to an error in our request") from error
    if not isinstance(result, dict):
        raise bad_request("error decoding patch: the result is no object")
    return result


def parse(body: bytes) -> JsonValue:
    """The JSON of a request.

    Raises:
        Refusal: 400, when it is none.
    """
    try:
        parsed: JsonValue = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"the body of the request is no JSON: {error}") from error
    return parsed
