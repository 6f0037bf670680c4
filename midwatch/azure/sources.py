"""Clusters from all the places that were named, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from midwatch.azure.discovery import AzureDiscovery
from midwatch.domain.discovered import DiscoveredCluster
from midwatch.domain.resource_ids import AksId, FleetId

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to look.

    Attributes:
        ids: clusters by their IDs.
        subscriptions: GUIDs; all their clusters, or those of `groups` or with `tags`.
        groups: resource groups, looked for in each of the subscriptions.
        tags: what a cluster must carry, all of it; asked of Resource Graph.
        fleets: Fleet Managers, for their members.
    """

    ids: tuple[AksId, ...] = ()
    subscriptions: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    fleets: tuple[FleetId, ...] = ()


async def find(azure: AzureDiscovery, sources: Sources) -> list[DiscoveredCluster]:
    """The clusters of the sources, by ID, each once. All or nothing: a source that fails is an error.

    Raises:
        MidwatchError: as `AzureDiscovery`.
    """
    found: dict[str, DiscoveredCluster] = {}
    named: dict[str, AksId] = {aks.key(): aks for aks in sources.ids}
    groups: dict[str, str | None] = {}
    for fleet in sources.fleets:
        members = await azure.members(fleet)
        named |= {member.cluster.key(): member.cluster for member in members}
        groups |= {member.cluster.key(): member.group for member in members}
    if sources.tags:
        tagged = await azure.tagged(sources.subscriptions, dict(sources.tags))
        named |= {aks.key(): aks for aks in tagged if _in_groups(aks, sources.groups)}
    else:
        for subscription in sources.subscriptions:
            for cluster in await _listed(azure, subscription, sources.groups):
                found[cluster.id.key()] = cluster
    for cluster in await _read(azure, [aks for key, aks in named.items() if key not in found]):
        found[cluster.id.key()] = cluster
    return [replace(found[key], update_group=groups.get(key)) for key in sorted(found)]


def _in_groups(aks: AksId, groups: Iterable[str]) -> bool:
    wanted = {group.lower() for group in groups}
    return not wanted or aks.group.lower() in wanted


async def _listed(azure: AzureDiscovery, subscription: str, groups: tuple[str, ...]) -> list[DiscoveredCluster]:
    if not groups:
        return await azure.in_subscription(subscription)
    return [cluster for group in groups for cluster in await azure.in_group(subscription, group)]


async def _read(azure: AzureDiscovery, ids: list[AksId]) -> list[DiscoveredCluster]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(aks: AksId) -> DiscoveredCluster:
        async with gate:
            return await azure.cluster(aks)

    tasks = [asyncio.ensure_future(one(aks)) for aks in ids]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
