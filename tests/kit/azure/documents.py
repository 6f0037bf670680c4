"""Clusters as Azure Resource Manager describes them."""

from __future__ import annotations

from tests.kit.api import JsonObject

SUB = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"


def aks(name: str, group: str = "rg") -> str:
    """The ID of a cluster in the subscription `SUB`."""
    return f"/subscriptions/{SUB}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"


def document(name: str, group: str = "rg", **facts: str) -> JsonObject:
    """A cluster with the tag `a: b`.

    `facts` are power, state, channel; `entra` that is empty: it has no Entra ID.
    """
    properties: JsonObject = {
        "powerState": {"code": facts.get("power", "Running")},
        "provisioningState": facts.get("state", "Succeeded"),
        "aadProfile": {"managed": True} if facts.get("entra", "yes") else None,
        "autoUpgradeProfile": {"nodeOSUpgradeChannel": facts.get("channel", "Unmanaged")},
    }
    return {
        "id": aks(name, group),
        "name": name,
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": properties,
    }
