"""Who may do what."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit.api import JsonObject
from tests.kit.background import until

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def test_an_unknown_token_is_unauthorized(backend: Backend) -> None:
    api = backend.api_as("admin")
    api.token = "no-such-token"
    for path in ("/api/v1/nodes", "/api", "/apis/apps/v1/namespaces/default/daemonsets/x"):
        answer = api.ask("GET", path)
        assert (answer.code, answer.reason, answer.body["kind"]) == (401, "Unauthorized", "Status")


def test_nobody_in_particular_may_do_nothing(backend: Backend) -> None:
    api = backend.api_as("admin")
    api.token = ""
    answer = api.ask("GET", "/api/v1/nodes")
    assert (answer.code, answer.reason) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("method", "path", "details"),
    [
        ("GET", "/api/v1/nodes", {"kind": "nodes"}),
        ("GET", "/api/v1/nodes/x", {"name": "x", "kind": "nodes"}),
        ("DELETE", "/api/v1/namespaces/default/pods/x", {"name": "x", "kind": "pods"}),
        ("POST", "/api/v1/namespaces/default/pods/x/eviction", {"name": "x", "kind": "pods"}),
        ("POST", "/apis/apps/v1/namespaces/default/daemonsets", {"group": "apps", "kind": "daemonsets"}),
    ],
)
def test_what_a_user_may_not_do_is_forbidden(backend: Backend, method: str, path: str, details: dict[str, str]) -> None:
    answer = backend.api_as("nobody").ask(method, path, {} if method == "POST" else None)
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.details == details


def test_a_watch_needs_its_own_right(backend: Backend) -> None:
    answer = backend.api_as("nobody").ask("GET", "/api/v1/pods", watch="1")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert "watch" in str(answer.body["message"])


@pytest.mark.parametrize(("user", "allowed"), [("admin", True), ("nobody", False)])
def test_a_user_may_ask_what_is_allowed(backend: Backend, user: str, allowed: bool) -> None:
    review: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "subresource": "eviction"}},
    }
    api = backend.api if user == "admin" else backend.api_as(user)
    answer = api.ask("POST", _REVIEWS, review)
    assert answer.code == 201
    status = answer.body["status"]
    assert isinstance(status, dict)
    assert status["allowed"] is allowed


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        ({"verbs": ["get"], "resources": ["leases"]}, {"verb": "get"}, True),
        ({"verbs": ["get"], "resources": ["leases"]}, {"verb": "get", "name": "midwatch"}, True),
        ({"verbs": ["get"], "resources": ["leases"], "resourceNames": ["midwatch"]}, {"verb": "get"}, False),
        (
            {"verbs": ["get"], "resources": ["leases"], "resourceNames": ["midwatch"]},
            {"verb": "get", "name": "midwatch"},
            True,
        ),
        ({"verbs": ["get"], "resources": ["leases"]}, {"verb": "update"}, False),
        ({"verbs": ["get"], "resources": ["leases"]}, {"verb": "get", "namespace": "default"}, False),
        ({"verbs": ["get"], "resources": ["leases/status"]}, {"verb": "get"}, False),
    ],
)
def test_a_role_is_told_as_it_holds(
    backend: Backend, space: str, rule: JsonObject, asked: JsonObject, allowed: bool
) -> None:
    group = "coordination.k8s.io"
    marker: JsonObject = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    backend.grant(space, "npd", {"apiGroups": [group], **rule}, marker)
    until(lambda: _allowed(backend, {"namespace": space, "resource": "configmaps", "verb": "list"}), "the role")
    assert _allowed(backend, {"namespace": space, "group": group, "resource": "leases", **asked}) is allowed


def _allowed(backend: Backend, attributes: JsonObject) -> object:
    review: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = backend.api_as("npd").ask("POST", _REVIEWS, review)
    assert answer.code == 201
    status = answer.body["status"]
    assert isinstance(status, dict)
    return status["allowed"]


@pytest.mark.parametrize("user", ["midwatch", "nobody"])
def test_anybody_may_ask_who_they_are(backend: Backend, user: str) -> None:
    review: JsonObject = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = backend.api_as(user).ask("POST", _WHO_AM_I, review)
    assert (answer.code, answer.body["kind"]) == (201, "SelfSubjectReview")
    status = answer.body["status"]
    assert isinstance(status, dict)
    info = status["userInfo"]
    assert isinstance(info, dict)
    groups = info["groups"]
    assert info["username"] == user
    assert isinstance(groups, list)
    assert "system:authenticated" in groups


def test_a_stranger_may_not_even_ask(backend: Backend) -> None:
    api = backend.api_as("admin")
    api.token = "no-such-token"
    assert api.ask("POST", _WHO_AM_I, {}).code == 401


def test_a_dry_run_says_what_a_create_would_meet_and_leaves_nothing(backend: Backend, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/pods"
    body: JsonObject = {
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "x", "image": "x"}], "nodeName": "no-such-node"},
    }
    assert backend.api.ask("POST", path, body, dryRun="All").code == 201
    assert backend.pods(space) == []
    missing = backend.api.ask("POST", "/api/v1/namespaces/no-such-space/pods", body, dryRun="All")
    assert (missing.code, missing.reason) == (404, "NotFound")
    refused = backend.api_as("nobody").ask("POST", path, body, dryRun="All")
    assert (refused.code, refused.reason) == (403, "Forbidden")
