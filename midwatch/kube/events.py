"""Events on nodes: ours, once each, and those of AKS node auto-repair."""

from __future__ import annotations

from datetime import UTC, datetime

from midwatch.domain import ids
from midwatch.domain.nodes import NodeView
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.errors import AlreadyExists
from midwatch.kube.objects import Event

_EVENTS = "/api/v1/namespaces/default/events"
"""Events on cluster-scoped objects live in `default`."""
_SOURCE = "midwatch"
_AUTO_REPAIR = "aks-auto-repair"
_LONGEST_MESSAGE = 1000
"""The API server takes 1,024 bytes."""


async def record(  # noqa: PLR0913, PLR0917 - what an event consists of
    client: KubeClient, node: NodeView, run: str, reason: str, message: str, now: datetime, what: str = ""
) -> None:
    """Write an event on the node; a second call for the same run, reason and `what` writes none."""
    stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": ids.event_name(run, node.name, reason, what), "namespace": "default"},
        "involvedObject": {"kind": "Node", "apiVersion": "v1", "name": node.name, "uid": node.uid},
        "type": "Normal",
        "reason": reason,
        "message": message[:_LONGEST_MESSAGE],
        "source": {"component": _SOURCE},
        "reportingComponent": _SOURCE,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    try:
        await client.create(_EVENTS, body)
    except AlreadyExists:
        return


async def auto_repair(client: KubeClient, node: str, since: datetime | None) -> str | None:
    """What AKS auto-repair last said of the node after `since`, None when it said nothing."""
    found = await client.list(_EVENTS, field_selector=f"involvedObject.kind=Node,involvedObject.name={node}")
    for item in reversed(found.items):
        event = Event.read(item)
        when = event.last_timestamp or event.event_time
        ours = _AUTO_REPAIR in {event.source.component, event.reporting_component}
        if ours and (since is None or when is None or when > since):
            return f"{event.reason}: {event.message}"
    return None
