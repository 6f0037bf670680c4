"""Who may do what."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit.api import JsonObject


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
    answer = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert answer.code == 201
    status = answer.body["status"]
    assert isinstance(status, dict)
    assert status["allowed"] is allowed
