"""Pods of a node: list, watch, evict, delete; and the DaemonSets behind them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import timedelta

from midwatch.domain.eviction import Answer
from midwatch.domain.pods import Orphans, PodView
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.errors import ApiError, NotFound, TransientApiError
from midwatch.kube.objects import ApiObject, Meta
from midwatch.kube.pod_objects import Pod

_PODS = "/api/v1/pods"


class _Named(ApiObject):
    metadata: Meta


async def list_pods(client: KubeClient, node: str) -> tuple[list[PodView], str]:
    """The pods bound to a node, and the resource version from which a watch goes on."""
    found = await client.list(_PODS, field_selector=f"spec.nodeName={node}")
    return [Pod.read(item).view() for item in found.items], found.resource_version


async def watch_pods(
    client: KubeClient, node: str, resource_version: str, hold: timedelta
) -> AsyncGenerator[tuple[str, str]]:
    """The changes of a node's pods for at most `hold`: (`ADDED` | `MODIFIED` | `DELETED`, the pod's UID)."""
    changes = client.watch(
        _PODS,
        field_selector=f"spec.nodeName={node}",
        resource_version=resource_version,
        hold=hold,
    )
    async with aclosing(changes):
        async for event in changes:
            yield event.type, _Named.read(event.object).metadata.uid


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
    return await _ask(client, pod, options)


async def try_evict(client: KubeClient, pod: PodView) -> Answer:
    """What the API server would answer to the eviction. A server-side dry run: nothing goes, no budget is spent."""
    return await _ask(client, pod, {"preconditions": {"uid": pod.uid}, "dryRun": ["All"]})


async def _ask(client: KubeClient, pod: PodView, options: JsonObject) -> Answer:
    body: JsonObject = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": options,
    }
    try:
        await client.create(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", body, resend=False)
    except ApiError as error:
        return _refusal(error)
    return Answer(status=201)


async def delete_pod(client: KubeClient, pod: PodView, grace: timedelta) -> Answer:
    """Delete just this pod (UID precondition), past its PodDisruptionBudgets. A second call shortens its grace at most.

    Args:
        client: the cluster.
        pod: as just listed.
        grace: at least one second: none at all would take the pod's name away while its processes still run.
    """
    seconds = max(1, round(grace.total_seconds()))
    try:
        await client.delete(
            f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", uid=pod.uid, grace_period_seconds=seconds
        )
    except ApiError as error:
        return _refusal(error)
    return Answer(status=200)


def _refusal(error: ApiError) -> Answer:
    after = error.retry_after if isinstance(error, TransientApiError) else None
    causes = frozenset(cause.reason for cause in error.causes)
    return Answer(status=error.status, causes=causes, message=error.message, retry_after=after)


async def missing_daemon_sets(client: KubeClient, pods: Iterable[PodView], known: Iterable[str] = ()) -> Orphans:
    """The DaemonSets that live pods name as controller and that no longer exist. Each is read once.

    Args:
        client: the cluster.
        pods: as just listed; finished ones may go whatever has become of their DaemonSet.
        known: DaemonSets (`namespace/name`) that were there a moment ago, and are not read again.
    """
    wanted = daemon_sets_of(pods) - set(known)
    missing = set()
    for full_name in sorted(wanted):
        namespace, _, name = full_name.partition("/")
        try:
            await client.get(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
        except NotFound:
            missing.add(full_name)
    return Orphans(daemon_sets=frozenset(missing))


def daemon_sets_of(pods: Iterable[PodView]) -> set[str]:
    """The DaemonSets (`namespace/name`) of the pods that have not finished."""
    found = [pod for pod in pods if not pod.finished and pod.controller is not None and pod.controller.is_daemon_set]
    return {f"{pod.namespace}/{pod.controller.name}" for pod in found if pod.controller is not None}
