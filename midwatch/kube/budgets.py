"""PodDisruptionBudgets: list and watch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from midwatch.domain.pod_budgets import BudgetView
from midwatch.kube.client import KubeClient
from midwatch.kube.pod_objects import DisruptionBudget

_ALL = "/apis/policy/v1/poddisruptionbudgets"


def _path(namespace: str) -> str:
    return f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"


async def list_budgets(client: KubeClient, namespace: str) -> tuple[list[BudgetView], str]:
    """The budgets of a namespace, and the resource version from which a watch goes on."""
    found = await client.list(_path(namespace))
    return [DisruptionBudget.read(item).view() for item in found.items], found.resource_version


async def list_all_budgets(client: KubeClient) -> list[BudgetView]:
    """The budgets of all namespaces."""
    return [DisruptionBudget.read(item).view() for item in (await client.list(_ALL)).items]


async def watch_budgets(
    client: KubeClient, namespace: str, resource_version: str, hold: timedelta
) -> AsyncIterator[tuple[str, BudgetView]]:
    """The changes of a namespace's budgets for at most `hold`: (`ADDED` | `MODIFIED` | `DELETED`, budget)."""
    changes = client.watch(_path(namespace), field_selector=None, resource_version=resource_version, hold=hold)
    async for event in changes:
        yield event.type, DisruptionBudget.read(event.object).view()
