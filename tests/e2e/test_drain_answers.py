"""What a real API server answers to an eviction, row by row, and how we read it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from midwatch.domain.clusters import ClusterRef
from midwatch.domain.eviction import Answer, EvictionResult, read_answer
from midwatch.domain.pod_budgets import covering
from midwatch.kube import budgets, pods
from midwatch.kube.pool import ClientPool
from tests.e2e.midwatch import Midwatch, leftovers, require_reboot
from tests.kit import background, workloads
from tests.kit.background import until

if TYPE_CHECKING:
    from midwatch.domain.pods import PodView
    from midwatch.kube.client import KubeClient
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_NODE = "blue-0"
_PDBS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"


def _ask[R](fleet: Fleet, act: Callable[[KubeClient], Awaitable[R]]) -> R:
    """Do something as Midwatch, with its own client."""

    async def whole() -> R:
        pool = ClientPool({**os.environ, "KUBECONFIG": str(fleet.kubeconfig())})
        try:
            return await act(await pool.client(ClusterRef(name="blue", context="blue")))
        finally:
            await pool.close()

    return background.run(whole())


def _listed(fleet: Fleet, prefix: str) -> PodView:
    found, _ = _ask(fleet, lambda client: pods.list_pods(client, _NODE))
    return next(pod for pod in found if pod.name.startswith(prefix))


def _evict(fleet: Fleet, pod: PodView) -> tuple[Answer, EvictionResult]:
    async def act(client: KubeClient) -> tuple[Answer, EvictionResult]:
        answer = await pods.evict(client, pod, None)
        found, _ = await budgets.list_budgets(client, pod.namespace)
        return answer, read_answer(answer, len(covering(found, pod)))

    return _ask(fleet, act)


def _try(fleet: Fleet, pod: PodView) -> Answer:
    return _ask(fleet, lambda client: pods.try_evict(client, pod))


def test_every_answer_of_a_real_api_server_is_read_by_status_and_cause(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    Midwatch(fleet)
    for app, least in (("free", None), ("shut", 1), ("twice", 0)):
        cluster.deploy(app, 1, min_available=least)
    cluster.api.create(_PDBS, {**workloads.budget("twice", min_available=0), "metadata": {"name": "again"}})
    free, shut, twice = (_listed(fleet, app) for app in ("free", "shut", "twice"))
    read: dict[str, tuple[int, EvictionResult]] = {}

    def note(what: str, pod: PodView) -> None:
        answer, result = _evict(fleet, pod)
        read[what] = (answer.status, result)

    note("a budget", shut)
    note("two budgets", twice)
    note("another UID", free.model_copy(update={"uid": "another"}))
    note("no such pod", free.model_copy(update={"name": "no-such-pod"}))
    note("a pod", free)
    note("it again", free)
    assert read == {
        "a budget": (429, EvictionResult.BUDGET),
        "two budgets": (500, EvictionResult.TWO_BUDGETS),
        "another UID": (409, EvictionResult.REPLACED),
        "no such pod": (404, EvictionResult.GONE),
        "a pod": (201, EvictionResult.LEAVING),
        "it again": (201, EvictionResult.LEAVING),
    }


def test_a_dry_run_of_an_eviction_answers_as_the_eviction_would_and_spends_nothing(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    Midwatch(fleet)
    cluster.deploy("open", 2, min_available=1)
    cluster.deploy("shut", 1, min_available=1)
    answers = [_try(fleet, _listed(fleet, app)) for app in ("open", "open", "shut")]
    assert [answer.status for answer in answers] == [201, 201, 429]
    [allowed] = [b.disruptions_allowed for b in _ask(fleet, budgets.list_all_budgets) if b.name == "open"]
    assert allowed == 1
    assert [pod.metadata.deletion_timestamp for pod in cluster.pods()] == [None] * 3


def test_a_namespace_that_ends_takes_its_pods_along(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    cluster.api.create("/api/v1/namespaces", {"metadata": {"name": "ending"}})
    until(lambda: cluster.api.answers("/api/v1/namespaces/ending/serviceaccounts/default"), "the namespace")
    body = workloads.bare_pod("last", _NODE, workloads.pod_template("last"))
    cluster.create_pod(body, namespace="ending")
    require_reboot(cluster, _NODE)
    cluster.api.delete("/api/v1/namespaces/ending")
    run = Midwatch(fleet).patch()
    assert run.outcomes == {_NODE: "rebooted"}, run.data
    assert leftovers(cluster) == []


def test_on_a_node_that_cannot_be_reached_pods_get_a_short_grace_and_stuck_ones_are_named(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=2)
    cluster.deploy("shop", 2)
    pod = next(p for p in cluster.pods("shop") if p.spec.node_name == _NODE)
    cluster.machines[_NODE].behave(returns=False, clean=False)
    cluster.machines[_NODE].power_off()
    until(lambda: _unknown(cluster), "the node to be unreachable", seconds=60)
    midwatch = Midwatch(fleet, drain={"skipWaitForDeleteTimeout": "2s", "timeout": "1m"})
    done = midwatch.drain(_NODE)
    assert (done.code, done.json["outcome"]) == (0, "drained"), done.stderr
    assert f"stayed on the node: Pod default/{pod.metadata.name} (terminating-too-long)" in done.stderr
    stuck = cluster.pod(pod.metadata.name)
    assert stuck.metadata.deletion_grace_period_seconds == 1


def _unknown(cluster: Cluster) -> bool:
    ready = cluster.node(_NODE).condition("Ready")
    return ready is not None and ready.status == "Unknown"
