"""API objects, as far as we read them, and their translation into domain values.

The API server's JSON is checked here and nowhere else: what does not have the shape that Kubernetes documents raises
`bad-answer`, which means that the state is unknown and nothing is done.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from midwatch.domain.errors import PermanentError
from midwatch.domain.lease import DURATION, LeaseView
from midwatch.domain.nodes import Claim, Condition, NodeView
from midwatch.domain.phases import NodePhase

RUN = "midwatch.dev/run"
BOOT_ID = "midwatch.dev/boot-id"
WAS_UNSCHEDULABLE = "midwatch.dev/was-unschedulable"
PHASE = "midwatch.dev/phase"
BY_HAND = "midwatch.dev/by-hand"
ANNOTATIONS = (RUN, BOOT_ID, WAS_UNSCHEDULABLE, PHASE, BY_HAND)
"""Every annotation that we write on a node."""
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
EXCLUDED_BY_US = "midwatch"
"""The value of that label that says it is ours. Its presence alone has the effect, whatever the value."""

_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")
_ZONE_LABEL = "topology.kubernetes.io/zone"
_OS_LABEL = "kubernetes.io/os"


class ApiObject(BaseModel):
    """An object of the API, or a part of one: camelCase, and fields that we do not read are left aside."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    @classmethod
    def read(cls, item: object) -> Self:
        """Check one object.

        Raises:
            PermanentError: `bad-answer`, with the first field that is not as documented.
        """
        try:
            return cls.model_validate(item)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            text = f"a {cls.__name__.strip('_')} from the API server has an unexpected {where}: {first['msg']}"
            raise PermanentError("bad-answer", text) from error


class OwnerReference(ApiObject):
    """An owner reference."""

    api_version: str
    kind: str
    name: str
    controller: bool = False


class Meta(ApiObject):
    """Object metadata."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    owner_references: list[OwnerReference] = Field(default_factory=list)


class StatusCondition(ApiObject):
    """A condition of a node or a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_heartbeat_time: datetime | None = None
    last_transition_time: datetime | None = None


class _NodeInfo(ApiObject):
    boot_id: str = Field(default="", alias="bootID")
    kernel_version: str = ""
    operating_system: str = ""


class _NodeStatus(ApiObject):
    conditions: list[StatusCondition] = Field(default_factory=list)
    node_info: _NodeInfo = _NodeInfo()
    volumes_attached: list[dict[str, object]] = Field(default_factory=list)


class _NodeSpec(ApiObject):
    unschedulable: bool = False


class Node(ApiObject):
    """core/v1 Node."""

    metadata: Meta
    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()

    def view(self) -> NodeView:
        """The node as the rules see it."""
        meta, info = self.metadata, self.status.node_info
        return NodeView(
            name=meta.name,
            uid=meta.uid,
            resource_version=meta.resource_version,
            labels=meta.labels,
            unschedulable=self.spec.unschedulable,
            conditions=tuple(
                Condition(
                    type=c.type,
                    status=c.status,
                    reason=c.reason,
                    message=c.message,
                    heartbeat=c.last_heartbeat_time,
                    since=c.last_transition_time,
                )
                for c in self.status.conditions
            ),
            boot_id=info.boot_id,
            kernel_version=info.kernel_version,
            os=meta.labels.get(_OS_LABEL) or info.operating_system,
            pool=next((meta.labels[label] for label in _POOL_LABELS if label in meta.labels), None),
            zone=meta.labels.get(_ZONE_LABEL) or None,
            claim=self._claim(),
            excluded_by=meta.labels.get(EXCLUDE),
            volumes_attached=bool(self.status.volumes_attached),
        )

    def _claim(self) -> Claim | None:
        notes = self.metadata.annotations
        if RUN not in notes:
            return None
        return Claim(
            run=notes[RUN],
            boot_id=notes.get(BOOT_ID, ""),
            was_unschedulable=notes.get(WAS_UNSCHEDULABLE) == "true",
            phase=_phase(notes.get(PHASE, "")),
            by_hand=notes.get(BY_HAND) == "true",
        )


def _phase(word: str) -> NodePhase:
    """The phase of a claim. A word that we did not write leaves the cordon to whoever made it."""
    return NodePhase(word) if word in set(NodePhase) else NodePhase.CLAIM


class _Source(ApiObject):
    component: str = ""


class Event(ApiObject):
    """core/v1 Event."""

    source: _Source = _Source()
    reporting_component: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class _LeaseSpec(ApiObject):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class Lease(ApiObject):
    """coordination.k8s.io/v1 Lease."""

    metadata: Meta
    spec: _LeaseSpec = _LeaseSpec()

    def view(self) -> LeaseView:
        """The lease as the rules see it. One without a duration lives as long as ours would."""
        seconds = self.spec.lease_duration_seconds
        return LeaseView(
            holder=self.spec.holder_identity or "",
            renewed=self.spec.renew_time,
            duration=timedelta(seconds=seconds) if seconds else DURATION,
            acquired=self.spec.acquire_time,
            resource_version=self.metadata.resource_version,
        )
