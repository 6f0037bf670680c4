"""The section `drain` of the policy: how a node is emptied. kubectl's meaning, with kured's defaults."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator

from midwatch.domain.durations import Duration, StepLimit
from midwatch.domain.section import Section
from midwatch.domain.selectors import parse_selector


class PodAction(StrEnum):
    """What a drain does with a pod."""

    DRAIN = "drain"
    SKIP = "skip"
    WAIT = "wait"


class OnTimeout(StrEnum):
    """What happens at a deadline of the drain."""

    FAIL = "fail"
    DELETE = "delete"
    REBOOT_ANYWAY = "reboot-anyway"


class DrainRule(Section):
    """What to do with some pods, and when."""

    namespace: str | None = Field(
        default=None, min_length=1, description="Only pods of this namespace. `null`: of all."
    )
    select: dict[str, str] = Field(
        default_factory=dict, description="Labels that the pod must carry, all of them. Empty: every pod."
    )
    action: Annotated[PodAction, Field(strict=False)] = Field(
        default=PodAction.DRAIN,
        description="`drain`: evict it. `skip`: leave it on the node. `wait`: do not evict it, and go on only when it "
        "has run to its end.",
    )
    order: int = Field(
        default=0,
        ge=-1000,
        le=1000,
        description="Pods of a lower order go first, and must be gone before those of the next are evicted. Within one "
        "order, pods of the priority classes `system-cluster-critical` and `system-node-critical` go last.",
    )


class DrainPolicy(Section):
    """How a node is emptied. kubectl's meaning, with kured's defaults."""

    timeout: StepLimit = Field(
        default=timedelta(minutes=15), description="How long the whole drain may take, at most 12h."
    )
    budget_timeout: Duration | None = Field(
        default=None,
        description="How long PodDisruptionBudgets may block while no pod gets away. `null`: until `timeout`.",
    )
    misconfigured_timeout: Duration | None = Field(
        default=timedelta(minutes=2),
        description="How long a budget may block that can never allow an eviction (all its pods are healthy, and it "
        "wants every one), or two budgets on one pod. `null`: until `timeout`.",
    )
    termination_timeout: Duration | None = Field(
        default=None,
        description="How long a pod may take to go after its grace is over. `null`: until `timeout`.",
    )
    on_timeout: Annotated[OnTimeout, Field(strict=False)] = Field(
        default=OnTimeout.FAIL,
        description="At any of these deadlines. `fail`: put the node back and report what was left. `delete`: delete "
        "what is left, past its PodDisruptionBudgets, and name each pod in the report; pods that are waited for until "
        "they complete are never deleted. `reboot-anyway`: reboot with what is left on the node, also when the drain "
        "was refused (kured's `force-reboot`).",
    )
    delete_grace_period: Duration = Field(
        default=timedelta(seconds=30),
        description="With `onTimeout: delete`: the most grace that a deleted pod gets; its own, if that is less. "
        "At least `1s`.",
    )
    grace_period: Duration | None = Field(
        default=None, description="Grace given to every pod. `null`: each pod's own. At least `1s`."
    )
    delete_empty_dir_data: bool = Field(
        default=True, description="`true`: pods with emptyDir volumes may go; `false`: they fail the drain."
    )
    force: bool = Field(
        default=True,
        description="`true`: pods that no controller will bring back may go; `false`: they fail the drain.",
    )
    ignore_daemon_sets: bool = Field(
        default=True, description="`true`: pods of DaemonSets stay on the node; `false`: they fail the drain."
    )
    skip_wait_for_delete_timeout: Duration | None = Field(
        default=None,
        description="Pods that have been terminating for longer than this are left aside, and named. `null` or `0s`: "
        "none.",
    )
    pod_selector: str | None = Field(
        default=None,
        description="Label selector, as kubectl writes it (`app=web,tier in (a,b),!keep`). Only pods that match are "
        "drained, the others stay. `null`: all pods.",
    )
    rules: tuple[DrainRule, ...] = Field(
        default=(),
        strict=False,
        description="What to do with some pods; the first rule that matches a pod decides. A pod's own label "
        "`midwatch.dev/drain: skip|wait`, or `cluster.x-k8s.io/drain: skip|wait-completed`, goes before all rules.",
    )
    minimum_time: Duration = Field(
        default=timedelta(0),
        description="The drain takes at least that long, and looks again at the end, to catch pods that were "
        "scheduled late. `0s`: it ends when the node is empty.",
    )
    detach_timeout: Duration = Field(
        default=timedelta(minutes=1),
        description="How long to wait, once the pods are gone, until their volumes are detached; then the drain "
        "goes on. Volumes of pods that stay are not waited for. `0s`: no wait.",
    )
    exclude_from_load_balancers: bool = Field(
        default=False,
        description="`true`: the node gets the label `node.kubernetes.io/exclude-from-external-load-balancers` with "
        "the cordon, and loses it with the release if we had set it.",
    )
    load_balancer_wait: Duration = Field(
        default=timedelta(0),
        description="Pause between that label and the first eviction, for load balancers to take it up. `0s`: none.",
    )

    @field_validator(
        "timeout",
        "grace_period",
        "delete_grace_period",
        "budget_timeout",
        "misconfigured_timeout",
        "termination_timeout",
    )
    @classmethod
    def _long_enough(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value < timedelta(seconds=1):
            raise ValueError("it must be at least 1s")
        return value

    @field_validator("pod_selector")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            parse_selector(value)
        return value
