"""Pods of a node: list, watch, evict; and what stands behind them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import timedelta

from midwatch.domain.eviction import Answer
from midwatch.domain.pods import Orphans, PodView
from midwatch.domain.selectors import BudgetView
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.errors import ApiError, NotFound
from midwatch.kube.objects import DisruptionBudget, Pod

_PODS = "/api/v1/pods"


async def list_pods(client: KubeClient, node: str) -> tuple[list[PodView], str]:
    """The pods bound to a node, and the resource version from which a watch goes on."""
    found = await client.list(_PODS, field_selector=f"spec.nodeName={node}")
    return [Pod.read(item).view() for item in found.items], found.resource_version


async def watch_pods(
    client: KubeClient, node: str, resource_version: str, hold: timedelta
) -> AsyncGenerator[tuple[str, PodView]]:
    """The changes of a node's pods for at most `hold`: (`ADDED` | `MODIFIED` | `DELETED`, pod)."""
    changes = client.watch(
        _PODS,
        field_selector=f"spec.nodeName={node}",
        resource_version=resource_version,
        hold=hold,
    )
    async with aclosing(changes):
        async for event in changes:
            yield event.type, Pod.read(event.object).view()


async def evict(client: KubeClient, pod: PodView, grace: timedelta | None) -> Answer:
    """Ask for one eviction, of just this pod (UID precondition).

    A refusal is an answer, not an error. It is never sent again on its own: the next pass decides.

    Args:
        client: the cluster.
        pod: as just listed; an old UID would spend the budget of its successor for two minutes.
        grace: at least one second; None leaves it to the pod.

    Raises:
        TransientError: the API server could not be reached; whether it acted is unknown.
    """
    options: JsonObject = {"preconditions": {"uid": pod.uid}}
    if grace is not None:
        options["gracePeriodSeconds"] = max(1, round(grace.total_seconds()))
    body: JsonObject = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": options,
    }
    try:
        await client.create(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", body, resend=False)
    except ApiError as error:
        return Answer(status=error.status, causes=frozenset(c.reason for c in error.causes), message=error.message)
    return Answer(status=201)


async def missing_daemon_sets(client: KubeClient, pods: Iterable[PodView]) -> Orphans:
    """The DaemonSets that pods name as controller and that no longer exist. Each is read once."""
    names = {(p.namespace, p.controller.name) for p in pods if p.controller is not None and p.controller.is_daemon_set}
    missing = set()
    for namespace, name in sorted(names):
        try:
            await client.get(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
        except NotFound:
            missing.add(f"{namespace}/{name}")
    return Orphans(daemon_sets=frozenset(missing))


async def list_budgets(client: KubeClient, namespaces: Iterable[str]) -> list[BudgetView]:
    """The PodDisruptionBudgets of these namespaces."""
    budgets = []
    for namespace in sorted(set(namespaces)):
        found = await client.list(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
        budgets += [DisruptionBudget.read(item).view() for item in found.items]
    return budgets
