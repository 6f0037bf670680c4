"""Create, read, update: codes, reasons, metadata."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit.api import MERGE_PATCH, STRATEGIC_PATCH, JsonObject
from tests.kit.background import until


def _leases(space: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"


def _lease(name: str = "one", **spec: str) -> JsonObject:
    return {"metadata": {"name": name}, "spec": {"holderIdentity": "me", **spec}}


def _meta(doc: JsonObject) -> JsonObject:
    found = doc["metadata"]
    assert isinstance(found, dict)
    return found


def test_an_object_is_created_with_its_metadata(backend: Backend, space: str) -> None:
    answer = backend.api.ask("POST", _leases(space), _lease())
    assert answer.code == 201
    meta = _meta(answer.body)
    assert (meta["name"], meta["namespace"]) == ("one", space)
    assert meta["uid"]
    assert meta["resourceVersion"]
    assert str(meta["creationTimestamp"]).endswith("Z")
    assert (answer.body["kind"], answer.body["apiVersion"]) == ("Lease", "coordination.k8s.io/v1")
    assert backend.api.get(f"{_leases(space)}/one")["spec"] == {"holderIdentity": "me"}


def test_a_second_create_is_a_conflict(backend: Backend, space: str) -> None:
    backend.api.ask("POST", _leases(space), _lease())
    answer = backend.api.ask("POST", _leases(space), _lease())
    assert (answer.code, answer.reason) == (409, "AlreadyExists")
    assert answer.details == {"name": "one", "group": "coordination.k8s.io", "kind": "leases"}


def test_generated_names_differ(backend: Backend, space: str) -> None:
    body: JsonObject = {"metadata": {"generateName": "some-"}, "spec": {}}
    names = {str(_meta(backend.api.ask("POST", _leases(space), body).body)["name"]) for _ in range(2)}
    assert len(names) == 2
    assert {(name[:5], len(name)) for name in names} == {("some-", 10)}


def test_an_update_of_a_stale_version_is_a_conflict(backend: Backend, space: str) -> None:
    first = backend.api.ask("POST", _leases(space), _lease()).body
    path = f"{_leases(space)}/one"
    second = backend.api.ask("PUT", path, {**first, "spec": {"holderIdentity": "you"}})
    assert second.code == 200
    assert _meta(second.body)["resourceVersion"] != _meta(first)["resourceVersion"]
    assert _meta(second.body)["uid"] == _meta(first)["uid"]
    stale = backend.api.ask("PUT", path, first)
    assert (stale.code, stale.reason) == (409, "Conflict")
    assert stale.details["name"] == "one"


def test_an_update_without_a_version_is_invalid_where_that_is_unsafe(backend: Backend, space: str) -> None:
    backend.api.ask("POST", _leases(space), _lease())
    answer = backend.api.ask("PUT", f"{_leases(space)}/one", _lease())
    assert (answer.code, answer.reason) == (422, "Invalid")


def test_an_update_that_changes_nothing_is_no_new_version(backend: Backend, space: str) -> None:
    first = backend.api.ask("POST", _leases(space), _lease()).body
    again = backend.api.ask("PUT", f"{_leases(space)}/one", first).body
    assert _meta(again)["resourceVersion"] == _meta(first)["resourceVersion"]


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        ("GET", "/api/v1/nodes/none", 404, "NotFound"),
        ("DELETE", "/api/v1/namespaces/default/pods/none", 404, "NotFound"),
        ("POST", "/api/v1/namespaces/none/configmaps", 404, "NotFound"),
        ("GET", "/api/v1/nothing", 404, ""),
        ("GET", "/apis/nothing.example/v1/things", 404, ""),
        ("GET", "/api/v1/nodes/none/nothing", 404, ""),
        ("PUT", "/api/v1/nodes", 405, "MethodNotAllowed"),
        ("POST", "/api/v1/nodes/none", 405, "MethodNotAllowed"),
        ("POST", "/api/v1/pods", 405, "MethodNotAllowed"),
    ],
)
def test_what_is_not_there_is_said_so(backend: Backend, method: str, path: str, code: int, reason: str) -> None:
    body: JsonObject | None = {"metadata": {"name": "none"}} if method in {"POST", "PUT"} else None
    answer = backend.api.ask(method, path, body)
    assert answer.code == code
    assert not reason or answer.reason == reason


def test_the_details_of_a_404_name_the_object(backend: Backend) -> None:
    answer = backend.api.ask("GET", "/apis/apps/v1/namespaces/default/daemonsets/none")
    assert answer.details == {"name": "none", "group": "apps", "kind": "daemonsets"}


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"{not json", 400, "BadRequest"),
        (b'{"metadata": {"name": "Not_A_Name"}}', 422, "Invalid"),
        (b'{"metadata": {}}', 422, "Invalid"),
        (b'{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}', 400, "BadRequest"),
        (b'{"metadata": {"name": "x", "namespace": "elsewhere"}}', 400, "BadRequest"),
    ],
    ids=["no-json", "bad-name", "no-name", "another-kind", "another-namespace"],
)
def test_what_makes_no_sense_is_refused(backend: Backend, space: str, body: bytes, code: int, reason: str) -> None:
    answer = backend.api.ask("POST", _leases(space), body)
    assert (answer.code, answer.reason) == (code, reason)


def test_a_dry_run_answers_and_leaves_nothing(backend: Backend, space: str) -> None:
    path = f"{_leases(space)}/one"
    assert backend.api.ask("POST", _leases(space), _lease(), dryRun="All").code == 201
    assert not backend.exists(path)
    backend.api.ask("POST", _leases(space), _lease())
    before = backend.api.get(path)
    patched = backend.api.ask("PATCH", path, {"spec": {"holderIdentity": "you"}}, MERGE_PATCH, dryRun="All")
    assert patched.code == 200
    assert patched.body["spec"] == {"holderIdentity": "you"}
    assert backend.api.ask("DELETE", path, dryRun="All").code == 200
    assert backend.api.ask("POST", _leases(space), _lease(), dryRun="All").code == 409
    assert backend.api.get(path) == before


def test_another_dry_run_is_invalid(backend: Backend, space: str) -> None:
    answer = backend.api.ask("POST", _leases(space), _lease(), dryRun="Some")
    assert (answer.code, answer.reason) == (422, "Invalid")


def test_a_status_is_written_through_its_subresource_alone(backend: Backend) -> None:
    node = backend.nodes[0]
    path = f"/api/v1/nodes/{node}"
    image: JsonObject = {"status": {"nodeInfo": {"osImage": "Other"}}}
    backend.api.patch(path, image, MERGE_PATCH)
    backend.api.patch(f"{path}/status", {"spec": {"unschedulable": True}}, MERGE_PATCH)
    doc = backend.api.get(path)
    spec, status = doc["spec"], doc["status"]
    assert isinstance(spec, dict)
    assert isinstance(status, dict)
    assert "unschedulable" not in spec
    info = status["nodeInfo"]
    assert isinstance(info, dict)
    assert info["osImage"] != "Other"
    assert backend.api.ask("GET", f"{path}/status").code == 200


def test_a_status_patch_may_change_labels_too(backend: Backend) -> None:
    path = f"/api/v1/nodes/{backend.nodes[0]}"
    backend.api.patch(f"{path}/status", {"metadata": {"labels": {"contract": "yes"}}}, STRATEGIC_PATCH)
    labels = _meta(backend.api.get(path))["labels"]
    assert isinstance(labels, dict)
    assert labels["contract"] == "yes"
    backend.api.patch(path, {"metadata": {"labels": {"contract": None}}})


def test_a_generation_counts_changes_of_the_specification(backend: Backend, space: str) -> None:
    path = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
    body: JsonObject = {
        "metadata": {"name": "one"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    }
    assert _meta(backend.api.ask("POST", path, body).body)["generation"] == 1
    labelled = backend.api.patch(f"{path}/one", {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH)
    assert _meta(labelled)["generation"] == 1
    assert _meta(backend.api.patch(f"{path}/one", {"spec": {"minAvailable": 2}}, MERGE_PATCH))["generation"] == 2
    status: JsonObject = {}

    def observed() -> bool:
        found = backend.api.get(f"{path}/one")["status"]
        assert isinstance(found, dict)
        status.update(found)
        return found.get("observedGeneration") == 2

    until(observed, "the disruption controller")
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (0, 0)


def test_a_pod_is_completed_and_waits_for_a_node(backend: Backend, space: str) -> None:
    template = backend.template()
    spec = template["spec"]
    assert isinstance(spec, dict)
    nowhere: JsonObject = {"nodeSelector": {"no": "where"}}
    body: JsonObject = {"metadata": {"name": "one"}, "spec": {**spec, **nowhere}, "status": {"phase": "Running"}}
    doc = backend.api.ask("POST", f"/api/v1/namespaces/{space}/pods", body).body
    spec, status = doc["spec"], doc["status"]
    assert isinstance(spec, dict)
    assert isinstance(status, dict)
    assert (spec["restartPolicy"], spec["schedulerName"]) == ("Always", "default-scheduler")
    assert status["phase"] == "Pending"
    assert "nodeName" not in spec


def test_the_specification_of_a_pod_cannot_be_changed(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one")
    path = f"/api/v1/namespaces/{space}/pods/one"
    answer = backend.api.ask("PATCH", path, {"spec": {"nodeName": "elsewhere"}}, MERGE_PATCH)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert backend.api.ask("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, MERGE_PATCH).code == 200


def test_the_server_says_its_version_to_everybody(backend: Backend) -> None:
    stranger = backend.api_as("admin")
    stranger.token = ""
    assert str(stranger.ask("GET", "/version").body["gitVersion"]).startswith("v1.36")
    assert stranger.ask("GET", "/readyz").code == 200
