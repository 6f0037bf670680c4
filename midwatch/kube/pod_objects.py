"""Pods and PodDisruptionBudgets of the API, as far as we read them, as domain values."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from midwatch.domain.pod_budgets import BudgetView
from midwatch.domain.pods import Controller, PodView
from midwatch.domain.selectors import Requirement
from midwatch.kube.objects import ApiObject, Meta, StatusCondition

_MIRROR = "kubernetes.io/config.mirror"


class _ClaimSource(ApiObject):
    claim_name: str = ""


class _Volume(ApiObject):
    name: str = ""
    empty_dir: dict[str, object] | None = None
    persistent_volume_claim: _ClaimSource | None = None
    ephemeral: dict[str, object] | None = None


class _PodSpec(ApiObject):
    node_name: str = ""
    volumes: list[_Volume] = Field(default_factory=list)
    priority_class_name: str = ""
    termination_grace_period_seconds: int = 30


class _Terminated(ApiObject):
    exit_code: int = 0
    reason: str = ""
    message: str = ""


class _Stuck(ApiObject):
    reason: str = ""
    message: str = ""


class _State(ApiObject):
    waiting: _Stuck | None = None
    terminated: _Terminated | None = None


class _ContainerStatus(ApiObject):
    state: _State = _State()


class _PodStatus(ApiObject):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[StatusCondition] = Field(default_factory=list)
    container_statuses: list[_ContainerStatus] = Field(default_factory=list)


class Pod(ApiObject):
    """core/v1 Pod."""

    metadata: Meta
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
            priority_class=self.spec.priority_class_name,
            grace=timedelta(seconds=max(0, self.spec.termination_grace_period_seconds)),
            claims=tuple(filter(None, (self._claim(volume) for volume in self.spec.volumes))),
        )

    def _claim(self, volume: _Volume) -> str:
        """The claim behind a volume; that of an ephemeral one has the names of pod and volume together."""
        if volume.persistent_volume_claim is not None:
            return volume.persistent_volume_claim.claim_name
        return f"{self.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


class _Expression(ApiObject):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class _Selector(ApiObject):
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[_Expression] = Field(default_factory=list)


class _BudgetSpec(ApiObject):
    selector: _Selector | None = None
    unhealthy_pod_eviction_policy: str = "IfHealthyBudget"


class _BudgetStatus(ApiObject):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    observed_generation: int = 0
    disrupted_pods: dict[str, object] = Field(default_factory=dict)


class DisruptionBudget(ApiObject):
    """policy/v1 PodDisruptionBudget."""

    metadata: Meta
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
            current=self.status.observed_generation >= self.metadata.generation,
            current_healthy=self.status.current_healthy,
            desired_healthy=self.status.desired_healthy,
            expected_pods=self.status.expected_pods,
            disrupted_pods=len(self.status.disrupted_pods),
            always_allow_unhealthy=self.spec.unhealthy_pod_eviction_policy == "AlwaysAllow",
        )
