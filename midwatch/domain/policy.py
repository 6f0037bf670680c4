"""The policy: what may be rebooted, how carefully, and when to stop. `docs/policy.md` is written from this file."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, field_validator

from midwatch.domain.cluster_sources import ClusterSource
from midwatch.domain.drain_policy import DrainPolicy
from midwatch.domain.durations import Duration, StepLimit
from midwatch.domain.section import Section

REBOOT_REQUIRED = "RebootRequired"
"""The node condition that our node-problem-detector plugin sets."""


class NeedStatus(StrEnum):
    """The condition status that counts as a need."""

    TRUE = "True"
    FALSE = "False"


class Need(Section):
    """A node condition that asks for a reboot."""

    condition: str = Field(default=REBOOT_REQUIRED, min_length=1, description="Type of the node condition.")
    status: Annotated[NeedStatus, Field(strict=False)] = Field(
        default=NeedStatus.TRUE, description='Status that asks for a reboot: "True" or "False", in quotes.'
    )
    for_: Duration = Field(
        default=timedelta(0), alias="for", description="How long the condition must have held. `0s`: at once."
    )

    @field_validator("status", mode="before")
    @classmethod
    def _quoted(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError(f'write it in quotes: "{value}"')  # noqa: TRY004 - pydantic turns ValueError into our error
        return value


class NodeOrder(StrEnum):
    """The order in which candidates are taken."""

    LONGEST_WAITING = "longest-waiting"
    ZONE_THEN_AGE = "zone-then-age"
    NAME = "name"


class NodePolicy(Section):
    """Which nodes, how many at once, in which order."""

    needs: tuple[Need, ...] = Field(
        default=(Need(),), min_length=1, strict=False, description="What asks for a reboot; any one of them is enough."
    )
    select: dict[str, str] = Field(
        default_factory=lambda: {"kubernetes.io/os": "linux"},
        description="Labels that a node must carry, all of them. Windows nodes are never rebooted, whatever is here.",
    )
    max_unavailable: int | str = Field(
        default=1,
        description="Most nodes of the cluster that may be unavailable at once: a number, or a percentage of all its "
        'nodes such as "10%", rounded down, at least 1. Nodes that are not Ready for any reason count, and all that we '
        "hold.",
    )
    count_cordoned: bool = Field(
        default=False, description="`true`: Ready nodes that somebody else cordoned count as unavailable too."
    )
    order: Annotated[NodeOrder, Field(strict=False)] = Field(
        default=NodeOrder.LONGEST_WAITING, description="Which candidate is taken first."
    )
    settle: Duration = Field(
        default=timedelta(seconds=60), description="Pause after a node is back, before the next is started. `0s`: none."
    )

    @field_validator("max_unavailable")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, str):
            digits = value.removesuffix("%")
            if not value.endswith("%") or not digits.isdecimal() or not 1 <= int(digits) <= 100:
                raise ValueError(f'{value!r} is neither a number nor a percentage from "1%" to "100%"')
        elif value < 1:
            raise ValueError(f"{value} would never let a node be rebooted: write 1 or more")
        return value


class RebootMethod(StrEnum):
    """How the node is told to reboot."""

    SIGNAL = "signal"
    COMMAND = "command"


class RebootPolicy(Section):
    """How a node is rebooted, and how long it may be away."""

    method: Annotated[RebootMethod, Field(strict=False)] = Field(
        default=RebootMethod.SIGNAL,
        description="`signal`: a pod with CAP_KILL alone sends SIGRTMIN+5 to the node's systemd. `command`: a "
        "privileged pod runs `systemctl reboot` in the node's mount namespace.",
    )
    timeout: StepLimit = Field(
        default=timedelta(minutes=15),
        description="How long the node may take from the reboot until it is Ready, at most 12h. A budget that other "
        "nodes use up is waited for as long.",
    )
    image: str = Field(
        default="mcr.microsoft.com/azurelinux/busybox:1.36",
        min_length=1,
        description="Image of the reboot pod; it needs `sh`, `cat` and `kill` (and `nsenter` for `command`).",
    )

    @field_validator("timeout")
    @classmethod
    def _long_enough(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("it must be at least 1s")
        return value


class VerifyPolicy(Section):
    """What proves that a node is back."""

    stable_for: StepLimit = Field(
        default=timedelta(seconds=30), description="How long the node must stay Ready after its boot. `0s`: one look."
    )
    condition_clears: StepLimit = Field(
        default=timedelta(minutes=5),
        description="How long the condition may take to say that no reboot is needed any more.",
    )


class FailurePolicy(Section):
    """What happens after a failure."""

    max_failed_nodes: int = Field(
        default=1,
        ge=0,
        description="Failed nodes of a cluster that are tolerated; one more and nothing more is started.",
    )
    keep_cordoned: bool = Field(
        default=False, description="`true`: a node that failed stays cordoned, and the report says so."
    )


class Policy(Section):
    """The whole policy file."""

    api_version: Literal["midwatch/v1"] = Field(description="Always `midwatch/v1`.")
    clusters: tuple[ClusterSource, ...] = Field(
        default=(), strict=False, description="The clusters. Empty: those that the caller names."
    )
    nodes: NodePolicy = Field(default_factory=NodePolicy, description="Which nodes, and how many at once.")
    drain: DrainPolicy = Field(default_factory=DrainPolicy, description="How a node is emptied.")
    reboot: RebootPolicy = Field(default_factory=RebootPolicy, description="How a node is rebooted.")
    verify: VerifyPolicy = Field(default_factory=VerifyPolicy, description="What proves that it worked.")
    failure: FailurePolicy = Field(default_factory=FailurePolicy, description="What happens after a failure.")

    @field_validator("clusters")
    @classmethod
    def _each_once(cls, value: tuple[ClusterSource, ...]) -> tuple[ClusterSource, ...]:
        contexts = [source.kubeconfig.context for source in value if source.kubeconfig is not None]
        for name in contexts:
            if contexts.count(name) > 1:
                raise ValueError(f"context {name!r} is listed twice")
        return value

    @classmethod
    def default(cls) -> Policy:
        """The policy that holds where no file is given."""
        return cls(api_version="midwatch/v1")


NOT_YET = frozenset(
    {
        "stages", "windows", "blackouts", "cutoff",
        "nodes.maxUnavailablePerZone", "nodes.maxUnavailablePerPool", "gates", "notify", "overrides",
    }
)  # fmt: skip
"""Keys of the contract that this version does not read: they are refused by name, never ignored."""
