"""Lists: selectors, and pages."""

from __future__ import annotations

import base64
import json

import pytest

from tests.contract.backend import Backend
from tests.kit.api import Answer, JsonObject


def _names(answer: Answer) -> list[str]:
    assert answer.code == 200, answer.body
    items = answer.body["items"]
    assert isinstance(items, list)
    return [
        str(item["metadata"]["name"]) for item in items if isinstance(item, dict) and isinstance(item["metadata"], dict)
    ]


def _meta(answer: Answer) -> JsonObject:
    meta = answer.body["metadata"]
    assert isinstance(meta, dict)
    return meta


@pytest.fixture
def leases(backend: Backend, space: str) -> str:
    """Four leases with labels."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
    for name, labels in {
        "a": {"tier": "web", "env": "dev"},
        "b": {"tier": "web"},
        "c": {"tier": "db"},
        "d": {},
    }.items():
        body: JsonObject = {"metadata": {"name": name, "labels": {**labels}}, "spec": {}}
        backend.api.create(path, body)
    return path


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=web", "ab"),
        ("tier==web", "ab"),
        ("tier!=web", "cd"),
        ("tier", "abc"),
        ("!tier", "d"),
        ("tier in (web, db)", "abc"),
        ("tier notin (web)", "cd"),
        ("tier=web,env=dev", "a"),
        ("tier=web,!env", "b"),
        ("tier in (web),env notin (dev)", "b"),
        ("tier=", ""),
    ],
)
def test_labels_select(backend: Backend, leases: str, selector: str, names: str) -> None:
    assert _names(backend.api.ask("GET", leases, labelSelector=selector)) == list(names)


@pytest.mark.parametrize("selector", ["tier in web", "=", "tier=web=x"])
def test_a_label_selector_that_cannot_be_read_is_a_bad_request(backend: Backend, leases: str, selector: str) -> None:
    answer = backend.api.ask("GET", leases, labelSelector=selector)
    assert (answer.code, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "names"), [("metadata.name=b", "b"), ("metadata.name!=b", "acd"), ("metadata.name=none", "")]
)
def test_names_select(backend: Backend, leases: str, selector: str, names: str) -> None:
    assert _names(backend.api.ask("GET", leases, fieldSelector=selector)) == list(names)


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/pods"])
def test_a_field_that_cannot_be_selected_by_is_a_bad_request(backend: Backend, path: str) -> None:
    answer = backend.api.ask("GET", path, fieldSelector="spec.nothing=x")
    assert (answer.code, answer.reason) == (400, "BadRequest")


def test_pods_are_selected_by_node_and_phase(backend: Backend, space: str) -> None:
    first, second, _ = backend.nodes
    backend.run_on(first, space, "here", app="a")
    backend.run_on(second, space, "there", app="a")
    backend.run_on(first, space, "done", app="b", phase="Succeeded", run_seconds="0.1")
    everywhere, here = "/api/v1/pods", f"/api/v1/namespaces/{space}/pods"
    ours = set(_names(backend.api.ask("GET", here)))
    assert ours == {"here", "there", "done"}

    def select(fields: str, **query: str) -> set[str]:
        return set(_names(backend.api.ask("GET", everywhere, fieldSelector=fields, **query))) & ours

    assert select(f"spec.nodeName={first}") == {"here", "done"}
    assert select(f"spec.nodeName={first},status.phase!=Succeeded,status.phase!=Failed") == {"here"}
    assert select(f"spec.nodeName={first}", labelSelector="app=b") == {"done"}
    assert select(f"metadata.namespace={space},metadata.name=there") == {"there"}
    assert select("spec.nodeName=none") == set()


def test_nodes_are_selected_by_schedulability(backend: Backend) -> None:
    assert _names(backend.api.ask("GET", "/api/v1/nodes", fieldSelector="spec.unschedulable=true")) == []
    assert set(_names(backend.api.ask("GET", "/api/v1/nodes", fieldSelector="spec.unschedulable=false"))) >= set(
        backend.nodes
    )


def test_events_are_selected_by_what_they_are_about(backend: Backend) -> None:
    node = backend.nodes[0]
    for name, kind in (("contract-a", "Node"), ("contract-b", "Pod")):
        body: JsonObject = {
            "metadata": {"name": name},
            "involvedObject": {
                "kind": kind,
                "name": node,
                "uid": "u-1",
                "namespace": "default" if kind == "Pod" else "",
            },
            "reason": "Contract",
            "message": "hello",
            "type": "Normal",
            "source": {"component": "contract"},
        }
        backend.api.create("/api/v1/namespaces/default/events", body)

    def select(fields: str) -> list[str]:
        return _names(backend.api.ask("GET", "/api/v1/namespaces/default/events", fieldSelector=fields))

    assert select(f"involvedObject.kind=Node,involvedObject.name={node},source=contract") == ["contract-a"]
    assert select("involvedObject.uid=u-1,reason=Contract,type=Normal") == ["contract-a", "contract-b"]
    assert select("reason=Contract,involvedObject.kind=None") == []


def test_an_event_belongs_where_its_object_is(backend: Backend, space: str) -> None:
    body: JsonObject = {"metadata": {"name": "x"}, "involvedObject": {"kind": "Node", "name": "n"}, "reason": "R"}
    assert backend.api.ask("POST", f"/api/v1/namespaces/{space}/events", body).code == 422


def test_pages_make_up_the_whole_list_of_one_moment(backend: Backend, leases: str) -> None:
    first = backend.api.ask("GET", leases, limit="2")
    token = str(_meta(first)["continue"])
    assert _names(first) == ["a", "b"]
    assert _meta(first)["remainingItemCount"] == 2
    backend.api.delete(f"{leases}/c")
    backend.api.create(leases, {"metadata": {"name": "e"}, "spec": {}})
    second = backend.api.ask("GET", leases, **{"limit": "2", "continue": token})
    assert _names(second) == ["c", "d"]
    assert "continue" not in _meta(second)
    assert _meta(second)["resourceVersion"] == _meta(first)["resourceVersion"]
    assert _names(backend.api.ask("GET", leases)) == ["a", "b", "d", "e"]


def test_pages_of_a_selection_do_not_say_how_much_is_left(backend: Backend, leases: str) -> None:
    answer = backend.api.ask("GET", leases, limit="1", labelSelector="tier")
    assert "remainingItemCount" not in _meta(answer)
    token = str(_meta(answer)["continue"])
    rest = backend.api.ask("GET", leases, labelSelector="tier", **{"continue": token})
    assert _names(rest) == ["b", "c"]


def test_a_token_whose_list_is_forgotten_has_expired(backend: Backend, leases: str) -> None:
    """The API server keeps the lists of the last minutes in memory, so one from long ago is asked for."""
    space = leases.split("/")[5]
    content = json.dumps({"v": "meta.k8s.io/v1", "rv": 1, "start": f"{space}/b\0"})
    token = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    backend.compact()
    answer = backend.api.ask("GET", leases, **{"limit": "2", "continue": token})
    assert (answer.code, answer.reason) == (410, "Expired")


@pytest.mark.parametrize("query", [{"continue": "nonsense"}, {"limit": "many"}])
def test_parameters_that_cannot_be_read_are_a_bad_request(backend: Backend, leases: str, query: dict[str, str]) -> None:
    assert backend.api.ask("GET", leases, **query).code == 400


def test_a_list_says_what_it_is_a_list_of(backend: Backend, leases: str) -> None:
    answer = backend.api.ask("GET", leases)
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("LeaseList", "coordination.k8s.io/v1")
    assert int(str(_meta(answer)["resourceVersion"])) > 0
