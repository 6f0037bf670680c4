"""The requests and results of the orchestrations, and the `run` JSON that people see."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.budget import Candidate
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Policy
from midwatch.domain.proof import Before
from midwatch.domain.steps import Failure, Seen, Skipped

CANCEL_EVENT = "cancel"
"""The external event that asks an orchestration to stop; it travels from the run to its clusters and nodes."""


class Trigger(StrEnum):
    """Who started a run."""

    TIMER = "timer"
    HTTP = "http"
    CLI = "cli"


class FleetRequest(Message):
    """The input of `patch_fleet`; the policy is frozen into it, so that a changed file changes no run."""

    run: str
    trigger: Trigger
    requested_by: str | None
    reason: str | None
    dry_run: bool
    clusters: tuple[ClusterRef, ...]
    nodes: tuple[str, ...] = ()
    policy: Policy
    all_clusters: bool = False
    """Whether it is over all clusters of the policy, not a choice of them."""
    warnings: tuple[str, ...] = ()
    """What somebody should look into before it is believed that all is well."""


class NodeEnd(Message):
    """How a node ended, as short as its cluster needs it; the whole story is the output of its own instance."""

    name: str
    outcome: NodeOutcome
    pool: str | None = None
    zone: str | None = None
    reason: str | None = None
    """Only for nodes that never got an instance of their own (skipped)."""
    started: bool = True
    """Whether it has an instance of its own."""
    left: bool = False
    """Whether something of ours is still on it, or may be: it fails, and uses up budget."""

    @property
    def failed(self) -> bool:
        """Whether it counts against `failure.maxFailedNodes`."""
        return self.outcome.failed or self.left


class ClusterRequest(Message):
    """The input of `patch_cluster`. The last fields carry its state through continue-as-new."""

    run: str
    cluster: ClusterRef
    policy: Policy
    dry_run: bool
    nodes: tuple[str, ...] = ()
    leased: bool = False
    pause_until: datetime | None = None
    spent_since: datetime | None = None
    ended: tuple[NodeEnd, ...] = ()
    pending: tuple[Candidate, ...] = ()
    """Candidates that were left, should the next survey fail."""


class ClusterResult(Message):
    """The output of `patch_cluster`."""

    outcome: ClusterOutcome
    error: Failure | None
    nodes: tuple[NodeEnd, ...]


class ClusterEnd(Message):
    """How a cluster ended, as short as its run needs it. The times are None for one that was never started."""

    name: str
    outcome: ClusterOutcome
    error: Failure | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class FleetResult(Message):
    """The output of `patch_fleet`."""

    outcome: RunOutcome
    clusters: tuple[ClusterEnd, ...]


class RunEnded(Message):
    """The input of `record_run`: what the trace and the log say of a run."""

    run: str
    trigger: Trigger
    dry_run: bool
    outcome: RunOutcome
    started_at: datetime
    ended_at: datetime
    clusters: tuple[ClusterEnd, ...]
    warnings: tuple[str, ...] = ()


class NodeRequest(Message):
    """The input of `patch_node`."""

    run: str
    cluster: ClusterRef
    node: str
    pool: str | None
    zone: str | None
    policy: Policy


class NodeResult(Message):
    """The output of `patch_node`: the evidence."""

    outcome: NodeOutcome
    reason: str | None = None
    left: bool = False
    packages: tuple[str, ...] = ()
    kernel_before: str | None = None
    kernel_after: str | None = None
    boot_id_before: str | None = None
    boot_id_after: str | None = None


class PollRequest(Message):
    """The input of the three waits of a node: `drain_node`, `await_node`, `verify_node`.

    The last fields carry their state through continue-as-new.
    """

    run: str
    cluster: ClusterRef
    node: str
    policy: Policy
    before: Before
    deadline: datetime
    rounds: int = 0
    """Rounds since something moved; the pause between rounds grows with them."""
    done_since: datetime | None = None
    last: Seen = Seen()


class PollResult(Message):
    """The output of a wait: what was seen last, and whether time or a cancel ended it before it was done."""

    seen: Seen
    timed_out: bool = False
    cancelled: bool = False


class Progress(Message):
    """The custom status of `patch_node` and its two waits."""

    phase: NodePhase
    waiting_for: tuple[Waiting, ...] = ()
    packages: tuple[str, ...] = ()


class ClusterProgress(Message):
    """The custom status of `patch_cluster`; at most `SHOWN` of each, since Azure Storage keeps 16 kB of it."""

    waiting_for: str | None = None
    """What it waits for while no node does (a spent budget)."""
    pending: tuple[Candidate, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    error: Failure | None = None
    """What it tries again and again at its end (giving the lease back)."""


SHOWN = 20
"""How many waiting and skipped nodes a running cluster shows: under 8,000 characters, which are 16 kB in UTF-16. Its
result names all."""


class RunStatus(StrEnum):
    """Where a run, or a cluster of it, stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class NodeInRun(Message):
    """A node in `run` JSON."""

    name: str
    pool: str | None
    zone: str | None
    phase: NodePhase
    outcome: NodeOutcome | None
    reason: str | None
    waiting_for: tuple[Waiting, ...]
    started_at: datetime | None
    ended_at: datetime | None
    packages: tuple[str, ...]
    kernel_before: str | None
    kernel_after: str | None
    boot_id_before: str | None
    boot_id_after: str | None


class ClusterInRun(Message):
    """A cluster in `run` JSON."""

    name: str
    status: RunStatus
    outcome: ClusterOutcome | None
    error: Failure | None
    nodes: tuple[NodeInRun, ...]


class RunSummary(Message):
    """A run in the list of runs."""

    id: str
    status: RunStatus
    outcome: RunOutcome | None
    trigger: Trigger
    requested_by: str | None
    reason: str | None
    dry_run: bool
    started_at: datetime
    ended_at: datetime | None


class RunView(RunSummary):
    """A run with its clusters and nodes."""

    clusters: tuple[ClusterInRun, ...]
    warnings: tuple[str, ...] = ()


class RunPage(Message):
    """`GET runs`, newest first."""

    runs: tuple[RunSummary, ...]
    next: str | None
