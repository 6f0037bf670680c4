"""Faults, time, seeds, and what is left behind."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from midwatch.simulator import Behaviour, Change, Fault, FaultKind, SimulatedCluster, SimulatedFleet, Timings, Workload
from tests.kit.api import MERGE_PATCH, JsonObject
from tests.kit.objects import Node, Pod
from tests.simulator.simulator_kit import api_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.api import Api

_CORDON: JsonObject = {"spec": {"unschedulable": True}}
_NODE = "/api/v1/nodes/blue-0"


@pytest.fixture
def cluster() -> Iterator[SimulatedCluster]:
    """Two nodes."""
    with SimulatedFleet(scale=0) as fleet:
        [made] = fleet.create("blue", nodes=2)
        yield made


@pytest.fixture
def api(cluster: SimulatedCluster, tmp_path: Path) -> Api:
    """Its client."""
    return api_of(cluster, tmp_path)


def _cordoned(api: Api) -> bool:
    return Node.model_validate(api.get(_NODE)).spec.unschedulable


def _only(*verbs: str) -> frozenset[str]:
    return frozenset(verbs)


def test_an_error_is_answered_and_nothing_done(cluster: SimulatedCluster, api: Api) -> None:
    fault = cluster.add_fault(Fault(FaultKind.ERROR, verbs=_only("patch"), status=503, retry_after=7, times=1))
    answer = api.ask("PATCH", _NODE, _CORDON, MERGE_PATCH)
    assert (answer.code, answer.reason, answer.retry_after) == (503, "ServiceUnavailable", "7")
    assert not _cordoned(api)
    assert api.ask("PATCH", _NODE, _CORDON, MERGE_PATCH).code == 200
    assert fault.hits == 1


def test_a_fault_strikes_only_what_it_names(cluster: SimulatedCluster, api: Api) -> None:
    cluster.add_fault(Fault(FaultKind.ERROR, resources=_only("pods/eviction"), status=500))
    cluster.add_fault(Fault(FaultKind.ERROR, users=_only("midwatch"), status=401))
    path = "/api/v1/namespaces/default/pods/none"
    assert api.ask("GET", path).code == 404
    assert api.ask("POST", f"{path}/eviction", {}).code == 500
    cluster.clear_faults()
    assert api.ask("POST", f"{path}/eviction", {}).code == 404


def test_a_fault_can_wait_its_turn(cluster: SimulatedCluster, api: Api) -> None:
    cluster.add_fault(Fault(FaultKind.ERROR, verbs=_only("get"), status=409, skip=2, times=2))
    assert [api.ask("GET", _NODE).code for _ in range(6)] == [200, 200, 409, 409, 200, 200]


def test_a_reset_connection_means_that_nothing_was_done(cluster: SimulatedCluster, api: Api) -> None:
    cluster.add_fault(Fault(FaultKind.RESET, verbs=_only("patch"), times=1))
    with pytest.raises(OSError, match=r"."):
        api.ask("PATCH", _NODE, _CORDON, MERGE_PATCH)
    assert not _cordoned(api)


def test_a_lost_answer_means_that_it_was_done(cluster: SimulatedCluster, api: Api) -> None:
    cluster.add_fault(Fault(FaultKind.LOST_ANSWER, verbs=_only("patch"), times=1))
    with pytest.raises(OSError, match=r"."):
        api.ask("PATCH", _NODE, _CORDON, MERGE_PATCH)
    assert _cordoned(api)


def test_an_answer_can_be_late(cluster: SimulatedCluster, tmp_path: Path) -> None:
    cluster.add_fault(Fault(FaultKind.LATENCY, seconds=5, times=1))
    impatient = api_of(cluster, tmp_path, seconds=0.2)
    with pytest.raises(TimeoutError):
        impatient.ask("GET", _NODE)
    assert impatient.ask("GET", _NODE).code == 200


def test_a_watch_can_break(cluster: SimulatedCluster, api: Api) -> None:
    cluster.add_fault(Fault(FaultKind.DROP_WATCH, seconds=0.1, times=1))
    began = time.monotonic()
    assert list(api.watch("/api/v1/pods", resourceVersion="", timeoutSeconds="10")) == []
    assert time.monotonic() - began < 5


def test_open_watches_can_be_ended(cluster: SimulatedCluster, api: Api) -> None:
    seen: list[JsonObject] = []
    reader = threading.Thread(target=lambda: seen.extend(api.watch("/api/v1/nodes", timeoutSeconds="10")))
    reader.start()
    deadline = time.monotonic() + 5
    while not cluster.drop_watches():
        assert time.monotonic() < deadline
    reader.join(5)
    assert not reader.is_alive()


def test_a_history_that_is_forgotten_has_expired(cluster: SimulatedCluster, api: Api) -> None:
    page = api.get("/api/v1/nodes", limit="1")["metadata"]
    assert isinstance(page, dict)
    cluster.cordon("blue-0")
    cluster.forget_history()
    query = {"limit": "1", "continue": str(page["continue"])}
    assert api.ask("GET", "/api/v1/nodes", **query).code == 410
    [event] = api.watch("/api/v1/nodes", resourceVersion=str(page["resourceVersion"]), timeoutSeconds="1")
    assert event["type"] == "ERROR"


def test_a_revoked_token_is_unknown(cluster: SimulatedCluster, tmp_path: Path) -> None:
    api = api_of(cluster, tmp_path, "midwatch")
    assert api.ask("GET", _NODE).code == 200
    cluster.revoke("midwatch")
    assert api.ask("GET", _NODE).code == 401
    cluster.token("midwatch")
    assert api.ask("GET", _NODE).code == 200
    assert cluster.calls["midwatch", "get", "nodes"] == 2


def test_what_an_observer_raises_is_not_lost(cluster: SimulatedCluster) -> None:
    def look(change: Change) -> None:
        raise AssertionError(change.record.key[1])

    cluster.observe(look)
    cluster.cordon("blue-1")
    with pytest.raises(ExceptionGroup) as caught:
        cluster.check()
    assert str(caught.value.exceptions[0]) == "blue-1"


def _story(seed: int) -> list[tuple[str, str, str]]:
    """All changes of a cluster; each step waits for the end of the one before."""
    with SimulatedFleet(seed=seed, scale=0) as fleet:
        [cluster] = fleet.create("blue", nodes=4)
        cluster.quiesce()
        story: list[tuple[str, str, str]] = []
        cluster.observe(lambda c: story.append((c.type, c.resource.plural, c.record.key[1])))
        cluster.deploy(Workload("shop", replicas=8, max_unavailable=1), Workload("agent", daemon=True))
        cluster.quiesce()
        cluster.behave("blue-2", returns=False)
        for node in ("blue-2", "blue-1"):
            cluster.power_off(node)
            cluster.quiesce()
        fleet.check()
        return story


def test_the_same_seed_tells_the_same_story() -> None:
    assert _story(1) == _story(1)
    assert _story(1) != _story(2)


@pytest.mark.parametrize(("scale", "least", "most"), [(0.01, 0.5, 3.0), (0.0, 0.0, 0.5)], ids=["fast", "no-time"])
def test_a_minute_takes_as_long_as_the_scale_says(scale: float, least: float, most: float) -> None:
    with SimulatedFleet(scale=scale) as fleet:
        [cluster] = fleet.create("blue", nodes=1, behaviour=Behaviour(boot_seconds=60))
        began = time.monotonic()
        cluster.power_off("blue-0")
        cluster.quiesce()
        assert 60 <= cluster.elapsed_seconds < 70
        assert least <= time.monotonic() - began <= most
        assert cluster.boots == {"blue-0": 1}


def test_heartbeats_are_renewed_in_real_time_whatever_the_scale(tmp_path: Path) -> None:
    with SimulatedFleet(scale=0, timings=Timings(heartbeat=0.2)) as fleet:
        [cluster] = fleet.create("blue", nodes=1)
        api = api_of(cluster, tmp_path)
        for event in api.watch("/api/v1/nodes", resourceVersion="", timeoutSeconds="10"):
            if event["type"] == "MODIFIED":
                break
        else:
            pytest.fail("no heartbeat in ten seconds")


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with SimulatedFleet(scale=0) as fleet:
        [cluster] = fleet.create("blue", nodes=1)
        api = api_of(cluster, tmp_path)
        events = api.watch("/api/v1/nodes", resourceVersion="")
        assert next(events)["type"] == "ADDED"
        assert set(threading.enumerate()) != before
    assert set(threading.enumerate()) == before
    with pytest.raises(OSError, match=r"."):
        api.ask("GET", "/version")


def test_bulk_pods_are_spread_evenly_and_run() -> None:
    with SimulatedFleet(scale=0) as fleet:
        [cluster] = fleet.create("blue", nodes=10)
        cluster.deploy(*(Workload(f"app{n}", replicas=10, min_available=9) for n in range(10)))
        cluster.quiesce()
        pods = [Pod.model_validate(doc) for doc in cluster.objects("v1", "Pod")]
        assert all(pod.ready for pod in pods)
        assert {node: sum(p.spec.node_name == node for p in pods) for node in cluster.machines} == dict.fromkeys(
            cluster.machines, 10
        )
        for deployment in cluster.objects("apps/v1", "Deployment"):
            status = deployment["status"]
            assert isinstance(status, dict)
            assert (status["readyReplicas"], status["updatedReplicas"]) == (10, 10)
