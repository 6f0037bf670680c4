"""The least that a drain can take: every eviction sent at once, then listing until all pods are gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.kit import background
from tests.kit.kubelet.client import KubeletClient
from tests.kit.objects import Pod

if TYPE_CHECKING:
    from tests.kit.api import JsonObject
    from tests.kit.cluster import Cluster


def drain(cluster: Cluster, node: str) -> float:
    """Cordon a node, evict all its pods at once, wait until they are gone; the seconds that this took."""
    cluster.cordon(node)
    names = {pod.metadata.name for pod in _pods(cluster, node)}
    began = time.monotonic()
    background.run(_evict(cluster, names))
    background.until(lambda: not names & {p.metadata.name for p in _pods(cluster, node)}, f"{node} to be empty")
    return time.monotonic() - began


def _pods(cluster: Cluster, node: str) -> list[Pod]:
    items = cluster.api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")["items"]
    assert isinstance(items, list)
    pods = [Pod.model_validate(item) for item in items]
    return [pod for pod in pods if not any(owner.kind == "DaemonSet" for owner in pod.metadata.owner_references)]


async def _evict(cluster: Cluster, names: set[str]) -> None:
    client = KubeletClient(cluster.api)

    async def one(name: str) -> None:
        body: JsonObject = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await client.call("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body)

    try:
        await asyncio.gather(*(one(name) for name in names))
    finally:
        await client.close()
