"""Watches: where they begin, what they show, how they end."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.contract.backend import Backend
from tests.kit.api import MERGE_PATCH, ApiError, JsonObject, JsonValue


@pytest.fixture
def leases(space: str) -> str:
    """The path of a namespace's leases."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"


def _version(backend: Backend, path: str) -> str:
    meta = backend.api.get(path)["metadata"]
    assert isinstance(meta, dict)
    return str(meta["resourceVersion"])


def _version_of(doc: JsonValue) -> int:
    assert isinstance(doc, dict)
    meta = doc["metadata"]
    assert isinstance(meta, dict)
    return int(str(meta["resourceVersion"]))


def _brief(event: JsonObject) -> tuple[str, str]:
    doc = event["object"]
    assert isinstance(doc, dict)
    meta = doc["metadata"]
    assert isinstance(meta, dict)
    return str(event["type"]), str(meta.get("name", ""))


def _watch(backend: Backend, path: str, version: str, count: int | None = None, **query: str) -> list[JsonObject]:
    """The first events of a watch; without a count all of one second."""
    query = {"timeoutSeconds": "1" if count is None else "10", "resourceVersion": version, **query}
    return list(islice(backend.api.watch(path, **query), count))


def _lease(name: str, **labels: str) -> JsonObject:
    return {"metadata": {"name": name, "labels": {**labels}}, "spec": {}}


def test_a_watch_goes_on_where_a_list_ended(backend: Backend, leases: str) -> None:
    backend.api.create(leases, _lease("old"))
    version = _version(backend, leases)
    backend.api.create(leases, _lease("new"))
    backend.api.patch(f"{leases}/new", {"spec": {"holderIdentity": "me"}}, MERGE_PATCH)
    backend.api.delete(f"{leases}/old")
    events = _watch(backend, leases, version, 3)
    assert [_brief(e) for e in events] == [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "old")]
    versions = [_version_of(event["object"]) for event in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)


def test_a_watch_from_nowhere_begins_with_what_is_there(backend: Backend, leases: str) -> None:
    for name in ("a", "b"):
        backend.api.create(leases, _lease(name))
    assert sorted(_brief(e) for e in _watch(backend, leases, "", 2)) == [("ADDED", "a"), ("ADDED", "b")]
    assert sorted(_brief(e) for e in _watch(backend, leases, "0", 2)) == [("ADDED", "a"), ("ADDED", "b")]


def test_who_enters_a_selection_is_added_and_who_leaves_it_deleted(backend: Backend, leases: str) -> None:
    backend.api.create(leases, _lease("a", tier="web"))
    version = _version(backend, leases)
    backend.api.create(leases, _lease("b"))
    backend.api.patch(f"{leases}/b", {"metadata": {"labels": {"tier": "web"}}}, MERGE_PATCH)
    backend.api.patch(f"{leases}/a", {"metadata": {"labels": {"tier": None}}}, MERGE_PATCH)
    backend.api.patch(f"{leases}/a", {"spec": {"holderIdentity": "me"}}, MERGE_PATCH)
    events = _watch(backend, leases, version, 2, labelSelector="tier=web")
    assert [_brief(e) for e in events] == [("ADDED", "b"), ("DELETED", "a")]


def test_a_watch_of_one_name_shows_no_other(backend: Backend, leases: str) -> None:
    version = _version(backend, leases)
    for name in ("a", "b"):
        backend.api.create(leases, _lease(name))
    events = _watch(backend, leases, version, 1, fieldSelector="metadata.name=b")
    assert [_brief(e) for e in events] == [("ADDED", "b")]


def test_a_watch_of_a_nodes_pods_sees_them_go(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    pods = f"/api/v1/namespaces/{space}/pods"
    version = _version(backend, pods)
    assert backend.evict(space, "one").code == 201
    query = {"timeoutSeconds": "3", "fieldSelector": f"spec.nodeName={backend.nodes[0]}", "resourceVersion": version}
    seen = []
    for event in backend.api.watch("/api/v1/pods", **query):
        if _brief(event)[1] == "one":
            seen.append(str(event["type"]))
        if seen[-1:] == ["DELETED"]:
            break
    assert seen[0] == "MODIFIED"
    assert seen[-1] == "DELETED"


def test_a_version_that_is_too_old_has_expired(backend: Backend, leases: str) -> None:
    backend.compact()
    for path in (leases, "/api/v1/nodes", "/api/v1/pods"):
        [event] = _watch(backend, path, "1", 1)
        status = event["object"]
        assert isinstance(status, dict)
        assert (event["type"], status["code"], status["reason"]) == ("ERROR", 410, "Expired")


def test_bookmarks_say_how_far_a_watch_has_come(backend: Backend, leases: str) -> None:
    version = _version(backend, leases)
    backend.api.create(leases, _lease("a"))
    query = {"resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "5"}
    events = backend.api.watch(leases, **query)
    assert next(events)["type"] == "ADDED"
    event = next(events)
    assert event["type"] == "BOOKMARK"
    mark = event["object"]
    assert isinstance(mark, dict)
    assert (mark["kind"], mark["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
    meta = mark["metadata"]
    assert isinstance(meta, dict)
    assert int(str(meta["resourceVersion"])) >= int(version)
    assert "name" not in meta


def test_without_being_asked_for_there_are_no_bookmarks(backend: Backend, leases: str) -> None:
    assert _watch(backend, leases, _version(backend, leases)) == []


def test_a_watch_with_a_bad_selector_does_not_begin(backend: Backend, leases: str) -> None:
    with pytest.raises(ApiError) as caught:
        _watch(backend, leases, "", fieldSelector="spec.nothing=x")
    assert caught.value.code == 400
