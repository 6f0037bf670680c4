"""The request and the result of every activity. Each is one JSON object; see `docs/architecture.md` for the order."""

from __future__ import annotations

from datetime import datetime, timedelta

from midwatch.domain import ids
from midwatch.domain.base import Message
from midwatch.domain.budget import Availability, Candidate
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.eviction import Waiting
from midwatch.domain.nodes import Needed, Verdict
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Policy
from midwatch.domain.proof import Before


class Failure(Message):
    """A step that could not be done: what the error tree said. Never a pod that stays, or a node that is slow."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ClusterStep(Message):
    """What every step on a cluster needs to know."""

    run: str
    cluster: ClusterRef

    @property
    def holder(self) -> str:
        """Who holds the cluster's lease: this run, under this name of the cluster."""
        return ids.cluster_instance(self.run, self.cluster.name)


class LeaseHeld(Message):
    """Whether the run holds the cluster's lease, and who does otherwise."""

    held: bool
    holder: str


class SurveyStep(ClusterStep):
    """Look at a cluster. `nodes`: the names that the caller asked for; empty means all."""

    policy: Policy
    nodes: tuple[str, ...] = ()
    foresee: bool = False
    """Look ahead at the drains, too: for a plan."""


class Foresight(Message):
    """What is known in advance of a candidate's drain."""

    name: str
    line: str


class Skipped(Message):
    """A node that asks for a reboot, or may, and is not touched."""

    name: str
    pool: str | None
    zone: str | None
    reason: str


class Abandoned(Message):
    """A node that an earlier run, which no longer holds the lease, left claimed."""

    name: str
    run: str


class Surveyed(Message):
    """A cluster, as far as the orchestration needs it (under 100 kB for 500 nodes)."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    availability: Availability
    abandoned: tuple[Abandoned, ...] = ()
    foreseen: tuple[Foresight, ...] = ()


class NodeStep(ClusterStep):
    """What every step on a node needs to know."""

    node: str
    policy: Policy


class Claimed(Message):
    """The node is ours, or why it is not.

    `outcome` is None when it is ours; otherwise the node ends with it, untouched.
    """

    outcome: NodeOutcome | None
    reason: str | None
    before: Before | None = None
    packages: tuple[str, ...] = ()


class Checked(Message):
    """Whether the node may go on. `outcome` None means yes."""

    outcome: NodeOutcome | None = None
    reason: str | None = None
    before: Before | None = None
    """From the recheck: the node's last state before the reboot."""


LONGEST_HOLD = timedelta(seconds=10)
"""How long one activity may watch; longer waits belong to durable timers."""


class LookStep(NodeStep):
    """One round of a wait (drain pass, boot, proof): act if there is something to do, then watch for a few seconds.

    Attributes:
        hold: how long to watch before reporting what was seen; no longer than until the wait's deadline.
    """

    before: Before
    hold: timedelta = LONGEST_HOLD


class Seen(Message):
    """What one round saw.

    Attributes:
        outcome: set when the wait is over, and not well (a pod that must not go, a node that is gone or not ours).
        reason: why.
        done: what was waited for has come.
        moved: the round got something out of the way, so that the next need not wait long.
        down: the node has left its old boot, or is not Ready.
        boot_id: the node's boot ID, None when it could not be read.
        kernel_version: likewise.
        ready_since: when the node last became Ready, by its own word; another one says that it was not in between.
        left: what is still waited for.
    """

    outcome: NodeOutcome | None = None
    reason: str | None = None
    done: bool = False
    moved: bool = False
    down: bool = False
    boot_id: str | None = None
    kernel_version: str | None = None
    ready_since: datetime | None = None
    left: tuple[Waiting, ...] = ()


class RebootStep(NodeStep):
    """Start the reboot pod, unless the node has already booted anew."""

    before: Before


class Passed(Message):
    """A phase of a node, and when it began; it ended when the next one did."""

    phase: NodePhase
    entered_at: datetime


class ReleaseStep(NodeStep):
    """Put the node back.

    Attributes:
        claimed_by: the run whose claim is released; our own, but for an abandoned node.
        keep_cordoned: leave the cordon (`failure.keepCordoned`).
        outcome: of the node, for the event.
        reason: likewise.
        passed: the node's phases up to this one, for its trace.
    """

    claimed_by: str

    keep_cordoned: bool = False
    outcome: NodeOutcome | None = None
    reason: str | None = None
    passed: tuple[Passed, ...] = ()


class Released(Message):
    """What the release left on the node; empty when it is as before."""

    left: tuple[str, ...] = ()


class SurveyedNode(Message):
    """A node in `survey` JSON."""

    name: str
    pool: str | None
    zone: str | None
    os: str
    ready: bool
    schedulable: bool
    needs_reboot: Needed
    since: datetime | None
    packages: tuple[str, ...]
    kernel_version: str
    boot_id: str
    verdict: Verdict
    reason: str | None


class SurveyedCluster(Message):
    """A cluster in `survey` JSON; `error` is null when it could be read."""

    name: str
    server: str | None
    kubernetes_version: str | None
    error: Failure | None
    nodes: tuple[SurveyedNode, ...]
    notes: tuple[str, ...] = ()
    """What an operator should know: the node OS channel, the age of the node images."""


class SurveyView(Message):
    """The `survey` JSON of the CLI and of `GET fleet`."""

    clusters: tuple[SurveyedCluster, ...]
