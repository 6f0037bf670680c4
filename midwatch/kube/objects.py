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
from midwatch.domain.pods import Controller, PodView
from midwatch.domain.selectors import BudgetView, Requirement

RUN = "midwatch.dev/run"
BOOT_ID = "midwatch.dev/boot-id"
WAS_UNSCHEDULABLE = "midwatch.dev/was-unschedulable"
PHASE = "midwatch.dev/phase"
ANNOTATIONS = (RUN, BOOT_ID, WAS_UNSCHEDULABLE, PHASE)
"""Every annotation that we write on a node."""

_MIRROR = "kubernetes.io/config.mirror"
_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")
_ZONE_LABEL = "topology.kubernetes.io/zone"
_OS_LABEL = "kubernetes.io/os"


class _ApiObject(BaseModel):
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


class _Owner(_ApiObject):
    api_version: str
    kind: str
    name: str
    controller: bool = False


class _Meta(_ApiObject):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: datetime | None = None
    owner_references: list[_Owner] = Field(default_factory=list)


class _Condition(_ApiObject):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_heartbeat_time: datetime | None = None
    last_transition_time: datetime | None = None


class _NodeInfo(_ApiObject):
    boot_id: str = Field(default="", alias="bootID")
    kernel_version: str = ""
    operating_system: str = ""


class _NodeStatus(_ApiObject):
    conditions: list[_Condition] = Field(default_factory=list)
    node_info: _NodeInfo = _NodeInfo()


class _NodeSpec(_ApiObject):
    unschedulable: bool = False


class Node(_ApiObject):
    """core/v1 Node."""

    metadata: _Meta
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
        )

    def _claim(self) -> Claim | None:
        notes = self.metadata.annotations
        if RUN not in notes:
            return None
        return Claim(
            run=notes[RUN],
            boot_id=notes.get(BOOT_ID, ""),
            was_unschedulable=notes.get(WAS_UNSCHEDULABLE) == "true",
        )


class _Volume(_ApiObject):
    name: str = ""
    empty_dir: dict[str, object] | None = None


class _PodSpec(_ApiObject):
    node_name: str = ""
    volumes: list[_Volume] = Field(default_factory=list)


class _Terminated(_ApiObject):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class _Stuck(_ApiObject):
    reason: str = ""
    message: str = ""


class _State(_ApiObject):
    waiting: _Stuck | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(_ApiObject):
    state: _State = _State()


class _PodStatus(_ApiObject):
    phase: str = ""
    conditions: list[_Condition] = Field(default_factory=list)
    container_statuses: list[_ContainerStatus] = Field(default_factory=list)


class Pod(_ApiObject):
    """core/v1 Pod."""

    metadata: _Meta
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def view(self) -> PodView:
        """The pod as the rules see it."""
        meta = self.metadata
        owner = next((o for o in meta.owner_references if o.controller), None)
        return PodView(
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            labels=meta.labels,
            phase=self.status.phase,
            ready=any(c.type == "Ready" and c.status == "True" for c in self.status.conditions),
            deleted=meta.deletion_timestamp,
            mirror=_MIRROR in meta.annotations,
            empty_dir=any(volume.empty_dir is not None for volume in self.spec.volumes),
            controller=Controller(api_version=owner.api_version, kind=owner.kind, name=owner.name) if owner else None,
        )


class _Source(_ApiObject):
    component: str = ""


class Event(_ApiObject):
    """core/v1 Event."""

    source: _Source = _Source()
    reporting_component: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


class _LeaseSpec(_ApiObject):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None


class Lease(_ApiObject):
    """coordination.k8s.io/v1 Lease."""

    metadata: _Meta
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


class _Expression(_ApiObject):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class _Selector(_ApiObject):
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[_Expression] = Field(default_factory=list)


class _BudgetSpec(_ApiObject):
    selector: _Selector | None = None


class _BudgetStatus(_ApiObject):
    disruptions_allowed: int = 0


class DisruptionBudget(_ApiObject):
    """policy/v1 PodDisruptionBudget."""

    metadata: _Meta
    spec: _BudgetSpec = _BudgetSpec()
    status: _BudgetStatus = _BudgetStatus()

    def view(self) -> BudgetView:
        """The budget as the rules see it."""
        selector = self.spec.selector
        return BudgetView(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            match_labels=None if selector is None else selector.match_labels,
            match_expressions=tuple(
                Requirement(key=e.key, operator=e.operator, values=e.values)
                for e in (selector.match_expressions if selector else ())
            ),
            disruptions_allowed=self.status.disruptions_allowed,
        )
