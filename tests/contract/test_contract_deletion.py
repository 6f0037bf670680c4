"""Deletion: preconditions, grace, finalizers, owners, namespaces."""

from __future__ import annotations

import pytest

from tests.contract.backend import Backend
from tests.kit import workloads
from tests.kit.api import MERGE_PATCH, Answer, JsonObject, JsonValue
from tests.kit.background import until


def _delete(backend: Backend, path: str, **options: JsonValue) -> Answer:
    return backend.api.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})


def _pods(space: str) -> str:
    return f"/api/v1/namespaces/{space}/pods"


def test_a_deletion_answers_with_a_success(backend: Backend, space: str) -> None:
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{space}/leases"
    backend.api.create(leases, {"metadata": {"name": "one"}, "spec": {}})
    answer = _delete(backend, f"{leases}/one")
    assert (answer.code, answer.body["kind"], answer.body["status"]) == (200, "Status", "Success")
    assert answer.details["name"] == "one"
    assert _delete(backend, f"{leases}/one").code == 404


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
def test_a_deletion_of_another_object_is_a_conflict(backend: Backend, space: str, precondition: str) -> None:
    backend.run_pod(space, "one")
    answer = _delete(backend, f"{_pods(space)}/one", preconditions={precondition: "1"})
    assert (answer.code, answer.reason) == (409, "Conflict")
    assert backend.pod(space, "one").metadata.deletion_timestamp is None
    uid = backend.pod(space, "one").metadata.uid
    assert _delete(backend, f"{_pods(space)}/one", preconditions={"uid": uid}).code == 200


def test_a_running_pod_has_its_grace(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="15")
    assert _delete(backend, f"{_pods(space)}/one").code == 200
    meta = backend.pod(space, "one").metadata
    assert meta.deletion_timestamp is not None
    assert meta.deletion_grace_period_seconds == 20
    assert _delete(backend, f"{_pods(space)}/one", gracePeriodSeconds=2).code == 200
    assert backend.pod(space, "one").metadata.deletion_grace_period_seconds == 2
    assert _delete(backend, f"{_pods(space)}/one", gracePeriodSeconds=10).code == 200
    assert backend.pod(space, "one").metadata.deletion_grace_period_seconds == 2, "a grace only gets shorter"


def test_no_grace_is_at_once(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="15")
    answer = _delete(backend, f"{_pods(space)}/one", gracePeriodSeconds=0)
    assert (answer.code, answer.body["kind"]) == (200, "Pod")
    assert not backend.exists(f"{_pods(space)}/one")


def test_a_finished_pod_and_one_without_a_node_have_no_grace(backend: Backend, space: str) -> None:
    backend.run_pod(space, "done", phase="Succeeded", run_seconds="0.1")
    template = backend.template()
    spec = template["spec"]
    assert isinstance(spec, dict)
    nowhere: JsonObject = {"metadata": {"name": "nowhere"}, "spec": {**spec, "nodeSelector": {"no": "where"}}}
    backend.api.create(_pods(space), nowhere)
    for name in ("done", "nowhere"):
        assert _delete(backend, f"{_pods(space)}/{name}").code == 200
        assert not backend.exists(f"{_pods(space)}/{name}")


def test_a_finalizer_holds_an_object(backend: Backend, space: str) -> None:
    maps = f"/api/v1/namespaces/{space}/configmaps"
    backend.api.create(maps, {"metadata": {"name": "one", "finalizers": ["contract.example/hold"]}})
    assert _delete(backend, f"{maps}/one").code == 200
    meta = backend.api.get(f"{maps}/one")["metadata"]
    assert isinstance(meta, dict)
    assert "deletionTimestamp" in meta
    backend.api.patch(f"{maps}/one", {"metadata": {"finalizers": None}}, MERGE_PATCH)
    assert not backend.exists(f"{maps}/one")


def test_a_collection_is_deleted_by_selector(backend: Backend, space: str) -> None:
    maps = f"/api/v1/namespaces/{space}/configmaps"
    for name in ("a", "b"):
        backend.api.create(maps, {"metadata": {"name": name, "labels": {"name": name}}})
    assert backend.api.ask("DELETE", maps, labelSelector="name=a").code == 200
    assert not backend.exists(f"{maps}/a")
    assert backend.exists(f"{maps}/b")


def test_what_a_workload_owns_goes_with_it(backend: Backend, space: str) -> None:
    deployments = f"/apis/apps/v1/namespaces/{space}/deployments"
    backend.api.create(deployments, workloads.deployment("x", 2, backend.template()))
    until(lambda: sum(p.ready for p in backend.pods(space)) == 2, "two pods")
    assert _delete(backend, f"{deployments}/x", propagationPolicy="Background").code == 200
    until(lambda: not backend.pods(space), "no pods")
    assert backend.api.get(f"/apis/apps/v1/namespaces/{space}/replicasets")["items"] == []


def test_orphans_stay(backend: Backend, space: str) -> None:
    daemons = f"/apis/apps/v1/namespaces/{space}/daemonsets"
    backend.api.create(daemons, workloads.daemon_set("x", backend.template()))
    until(lambda: sum(p.ready for p in backend.pods(space)) == 3, "a pod per node")
    _delete(backend, f"{daemons}/x", propagationPolicy="Orphan")
    until(lambda: not backend.exists(f"{daemons}/x"), "the DaemonSet gone")
    assert [p.metadata.owner_references for p in backend.pods(space)] == [[], [], []]


def test_a_namespace_ends_with_all_that_is_in_it(backend: Backend, space: str) -> None:
    backend.run_pod(space, "one", stop_seconds="2")
    assert _delete(backend, f"/api/v1/namespaces/{space}").code == 200
    doc = backend.api.get(f"/api/v1/namespaces/{space}")
    status = doc["status"]
    assert isinstance(status, dict)
    assert status["phase"] == "Terminating"
    refused = backend.api.ask("POST", f"/api/v1/namespaces/{space}/configmaps", {"metadata": {"name": "x"}})
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.causes == ["NamespaceTerminating"]
    until(lambda: not backend.exists(f"/api/v1/namespaces/{space}"), "the namespace gone")
