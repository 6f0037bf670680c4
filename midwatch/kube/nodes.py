"""Nodes: read, annotate, cordon, release. Every write names the resource version that it was decided on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from urllib.parse import quote

from midwatch.domain.nodes import Claim, NodeView
from midwatch.domain.phases import NodePhase
from midwatch.kube.client import MERGE_PATCH, JsonObject, KubeClient
from midwatch.kube.errors import NotFound
from midwatch.kube.objects import (
    ANNOTATIONS,
    BOOT_ID,
    BY_HAND,
    EXCLUDE,
    EXCLUDED_BY_US,
    PHASE,
    RUN,
    WAS_UNSCHEDULABLE,
    Node,
)

_NODES = "/api/v1/nodes"


async def list_nodes(client: KubeClient) -> list[NodeView]:
    """All nodes, in pages."""
    found = await client.list(_NODES)
    return [Node.read(item).view() for item in found.items]


async def can_read(client: KubeClient) -> None:
    """Whether nodes can be listed with these credentials; the smallest question that is not open to everybody.

    Raises:
        MidwatchError: they cannot, and why.
    """
    await client.get(_NODES, params={"limit": "1"})


async def read_node(client: KubeClient, name: str) -> NodeView | None:
    """The node, or None when there is none of that name."""
    try:
        return Node.read(await client.get(f"{_NODES}/{quote(name, safe='')}")).view()
    except NotFound:
        return None


async def watch_node(client: KubeClient, node: NodeView, hold: timedelta) -> AsyncGenerator[NodeView | None]:
    """The node at each change since `node` was read, for at most `hold`; None when it is deleted."""
    changes = client.watch(
        _NODES,
        field_selector=f"metadata.name={node.name}",
        resource_version=node.resource_version,
        hold=hold,
    )
    async with aclosing(changes):
        async for event in changes:
            yield None if event.type == "DELETED" else Node.read(event.object).view()


async def claim_node(client: KubeClient, node: NodeView, claim: Claim) -> None:
    """Write the claim.

    Raises:
        Conflict: the node has changed since it was read; read and decide again.
    """
    notes = {
        RUN: claim.run,
        BOOT_ID: claim.boot_id,
        WAS_UNSCHEDULABLE: "true" if claim.was_unschedulable else "false",
        PHASE: claim.phase.value,
        BY_HAND: "true" if claim.by_hand else None,
    }
    await _patch(client, node, {"metadata": {"annotations": {**notes}}})


async def cordon_node(client: KubeClient, node: NodeView) -> None:
    """Make the node unschedulable, as `kubectl cordon` does.

    Raises:
        Conflict: the node has changed since it was read.
    """
    notes: JsonObject = {PHASE: NodePhase.DRAIN.value}
    await _patch(client, node, {"metadata": {"annotations": notes}, "spec": {"unschedulable": True}})


async def exclude_node(client: KubeClient, node: NodeView) -> None:
    """The same, and keep external load balancers off the node. A label that somebody else has set stays theirs.

    Raises:
        Conflict: the node has changed since it was read.
    """
    meta: JsonObject = {"annotations": {PHASE: NodePhase.DRAIN.value}}
    if node.excluded_by is None:
        meta["labels"] = {EXCLUDE: EXCLUDED_BY_US}
    await _patch(client, node, {"metadata": meta, "spec": {"unschedulable": True}})


async def note_phase(client: KubeClient, node: NodeView, phase: NodePhase) -> None:
    """Say on the node where its patch is.

    Raises:
        Conflict: the node has changed since it was read.
    """
    await _patch(client, node, {"metadata": {"annotations": {PHASE: phase.value}}})


async def release_node(client: KubeClient, node: NodeView, *, uncordon: bool) -> None:
    """Remove our annotations, our label for load balancers, and the cordon if asked to, in one write.

    Raises:
        Conflict: the node has changed since it was read.
    """
    meta: JsonObject = {"annotations": dict.fromkeys(ANNOTATIONS)}
    if node.excluded_by == EXCLUDED_BY_US:
        meta["labels"] = {EXCLUDE: None}
    body: JsonObject = {"metadata": meta}
    if uncordon:
        body["spec"] = {"unschedulable": None}
    await _patch(client, node, body)


async def _patch(client: KubeClient, node: NodeView, body: JsonObject) -> None:
    metadata = body.setdefault("metadata", {})
    assert isinstance(metadata, dict)
    metadata["resourceVersion"] = node.resource_version
    await client.patch(f"{_NODES}/{node.name}", body, content_type=MERGE_PATCH)
