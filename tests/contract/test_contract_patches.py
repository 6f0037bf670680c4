"""Merge, strategic and JSON patches."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit.api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, JsonObject, JsonValue
from tests.kit.objects import Node


@pytest.fixture
def path(backend: Backend, space: str) -> str:
    """A lease with an annotation."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
    body: JsonObject = {
        "metadata": {"name": "one", "annotations": {"a": "1", "b": "2"}},
        "spec": {"holderIdentity": "me"},
    }
    backend.api.create(leases, body)
    return f"{leases}/one"


def _annotations(doc: JsonObject) -> JsonValue:
    meta = doc["metadata"]
    assert isinstance(meta, dict)
    return meta.get("annotations")


@pytest.mark.parametrize("kind", [MERGE_PATCH, STRATEGIC_PATCH])
def test_null_removes_and_the_rest_is_merged(backend: Backend, path: str, kind: str) -> None:
    answer = backend.api.ask("PATCH", path, {"metadata": {"annotations": {"a": None, "c": "3"}}}, kind)
    assert answer.code == 200
    assert _annotations(answer.body) == {"b": "2", "c": "3"}
    assert answer.body["spec"] == {"holderIdentity": "me"}


def test_removing_what_is_not_there_is_fine(backend: Backend, path: str) -> None:
    before = backend.api.get(path)
    answer = backend.api.ask("PATCH", path, {"metadata": {"annotations": {"none": None}}}, MERGE_PATCH)
    assert (answer.code, answer.body) == (200, before)


@pytest.mark.parametrize("kind", [MERGE_PATCH, STRATEGIC_PATCH])
def test_a_patch_of_another_version_is_a_conflict(backend: Backend, path: str, kind: str) -> None:
    stale = backend.api.get(path)["metadata"]
    assert isinstance(stale, dict)
    backend.api.patch(path, {"metadata": {"annotations": {"a": "x"}}}, MERGE_PATCH)
    guarded: JsonObject = {"resourceVersion": stale["resourceVersion"], "annotations": {"a": "y"}}
    answer = backend.api.ask("PATCH", path, {"metadata": guarded}, kind)
    assert (answer.code, answer.reason) == (409, "Conflict")
    fresh = backend.api.get(path)["metadata"]
    assert isinstance(fresh, dict)
    guarded["resourceVersion"] = fresh["resourceVersion"]
    assert backend.api.ask("PATCH", path, {"metadata": guarded}, kind).code == 200


def test_a_json_patch_changes_all_or_nothing(backend: Backend, path: str) -> None:
    good: list[JsonValue] = [
        {"op": "test", "path": "/spec/holderIdentity", "value": "me"},
        {"op": "replace", "path": "/spec/holderIdentity", "value": "you"},
        {"op": "remove", "path": "/metadata/annotations/a"},
        {"op": "add", "path": "/metadata/annotations/x.y~1z", "value": "4"},
    ]
    answer = backend.api.ask("PATCH", path, good, JSON_PATCH)
    assert answer.code == 200
    assert _annotations(answer.body) == {"b": "2", "x.y/z": "4"}
    refused = backend.api.ask("PATCH", path, good, JSON_PATCH)
    assert refused.code == 422
    assert backend.api.get(path) == answer.body


@pytest.mark.parametrize(
    ("patch", "kind", "code"),
    [
        ([{"op": "remove", "path": "/spec/none"}], JSON_PATCH, 422),
        ([{"op": "no-such-operation", "path": "/spec"}], JSON_PATCH, 422),
        ({"op": "remove", "path": "/spec"}, JSON_PATCH, 400),
        ([1], MERGE_PATCH, 400),
        ({"spec": {}}, "application/json", 415),
        ({"metadata": {"name": "two"}}, MERGE_PATCH, 400),
    ],
    ids=["missing-path", "no-operation", "no-list", "no-object", "no-patch-type", "another-name"],
)
def test_a_patch_that_makes_no_sense_is_refused(
    backend: Backend, path: str, patch: JsonValue, kind: str, code: int
) -> None:
    before = backend.api.get(path)
    assert backend.api.ask("PATCH", path, patch, kind).code == code
    assert backend.api.get(path) == before


def test_a_patch_of_what_is_not_there_is_not_found(backend: Backend, path: str) -> None:
    answer = backend.api.ask("PATCH", f"{path}-not", {"spec": {}}, MERGE_PATCH)
    assert (answer.code, answer.reason) == (404, "NotFound")


def _beat(kind: str, status: str, time: str = "2030-01-01T00:00:00Z") -> JsonObject:
    return {
        "type": kind, "status": status, "reason": "Contract", "message": "said so",
        "lastHeartbeatTime": time, "lastTransitionTime": time,
    }  # fmt: skip


def test_conditions_of_a_node_are_merged_by_type(backend: Backend) -> None:
    path = f"/api/v1/nodes/{backend.nodes[1]}/status"
    before = {c.type for c in Node.model_validate(backend.api.get(path)).status.conditions}
    patch: JsonObject = {"status": {"conditions": [_beat("Contract", "True")]}}
    node = Node.model_validate(backend.api.patch(path, patch, STRATEGIC_PATCH))
    assert {c.type for c in node.status.conditions} == before | {"Contract"}
    patch = {"status": {"conditions": [{"type": "Contract", "status": "False"}]}}
    node = Node.model_validate(backend.api.patch(path, patch, STRATEGIC_PATCH))
    found = node.condition("Contract")
    assert found is not None
    assert (found.status, found.message) == ("False", "said so")
    gone: JsonObject = {"type": "Contract", "$patch": "delete"}
    node = Node.model_validate(backend.api.patch(path, {"status": {"conditions": [gone]}}, STRATEGIC_PATCH))
    assert {c.type for c in node.status.conditions} == before


def test_a_merge_patch_replaces_lists(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    path = f"/api/v1/namespaces/{space}/pods/one/status"
    patch: JsonObject = {"status": {"conditions": [{"type": "Contract", "status": "True"}]}}
    status = backend.api.ask("PATCH", path, patch, MERGE_PATCH, dryRun="All").body["status"]
    assert isinstance(status, dict)
    conditions = status["conditions"]
    assert isinstance(conditions, list)
    assert len(conditions) == 1


def test_an_order_given_with_a_strategic_patch_holds(backend: Backend) -> None:
    path = f"/api/v1/nodes/{backend.nodes[1]}/status"
    types = [c.type for c in Node.model_validate(backend.api.get(path)).status.conditions]
    order: list[JsonValue] = [{"type": kind} for kind in reversed(types)]
    patch: JsonObject = {"status": {"$setElementOrder/conditions": order, "conditions": []}}
    node = Node.model_validate(backend.api.patch(path, patch, STRATEGIC_PATCH))
    assert [c.type for c in node.status.conditions] == types[::-1]


def test_a_list_without_a_merge_key_is_replaced(backend: Backend) -> None:
    path = f"/api/v1/nodes/{backend.nodes[1]}"
    for key in ("one", "two"):
        taint: JsonValue = {"key": f"contract/{key}", "effect": "PreferNoSchedule"}
        backend.api.patch(path, {"spec": {"taints": [taint]}}, STRATEGIC_PATCH)
    node = Node.model_validate(backend.api.get(path))
    assert [t.key for t in node.spec.taints] == ["contract/two"]
    backend.api.patch(path, {"spec": {"taints": None}}, STRATEGIC_PATCH)
    assert Node.model_validate(backend.api.get(path)).spec.taints == []
