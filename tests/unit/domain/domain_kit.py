"""Builders of domain values: a test names only what matters to its claim."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypedDict, Unpack

from pydantic import BaseModel

from midwatch.domain.nodes import Claim, Condition, NodeView
from midwatch.domain.pods import Controller, PodView

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
REPLICA_SET = Controller(api_version="apps/v1", kind="ReplicaSet", name="cart")
DAEMON_SET = Controller(api_version="apps/v1", kind="DaemonSet", name="agent")


class PodFields(TypedDict, total=False):
    """What a test may say of a pod."""

    namespace: str
    name: str
    labels: dict[str, str]
    phase: str
    ready: bool
    deleted: datetime | None
    mirror: bool
    empty_dir: bool
    controller: Controller | None
    priority_class: str
    grace: timedelta
    claims: tuple[str, ...]
    uid: str


class NodeFields(TypedDict, total=False):
    """What a test may say of a node."""

    name: str
    labels: dict[str, str]
    unschedulable: bool
    conditions: tuple[Condition, ...]
    boot_id: str
    os: str
    claim: Claim | None


def pod(**fields: Unpack[PodFields]) -> PodView:
    """A running pod of a ReplicaSet."""
    whole: PodFields = {
        "namespace": "shop", "name": "cart-1", "labels": {}, "phase": "Running", "ready": True, "deleted": None,
        "mirror": False, "empty_dir": False, "controller": REPLICA_SET, "uid": "u1",
    }  # fmt: skip
    return PodView(**{**whole, **fields})


def condition(kind: str = "RebootRequired", status: str = "True", *, age: float = 60, held: float = 3600) -> Condition:
    """A condition that was confirmed `age` seconds before NOW, and has had its status for `held` seconds."""
    return Condition(
        type=kind,
        status=status,
        message="why",
        heartbeat=NOW - timedelta(seconds=age),
        since=NOW - timedelta(seconds=held),
    )


READY = condition("Ready", "True", age=10)
NEEDED = condition()


def node(**fields: Unpack[NodeFields]) -> NodeView:
    """A Ready, schedulable Linux node that asks for a reboot."""
    whole: NodeFields = {
        "name": "n1", "labels": {"kubernetes.io/os": "linux"}, "unschedulable": False, "conditions": (READY, NEEDED),
        "boot_id": "boot-1", "os": "linux", "claim": None,
    }  # fmt: skip
    return NodeView(
        uid="u1", resource_version="1", kernel_version="6.8.0-1", pool="pool1", zone="1", **{**whole, **fields}
    )


def changed[M: BaseModel](model: M, **fields: object) -> M:
    """The same model with other fields, validated."""
    return type(model).model_validate({**dict(model), **fields})
