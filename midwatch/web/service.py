"""What the API does: start, list, read and cancel runs. The timer starts runs through it, too."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import ConfigDict, Field

from midwatch.domain import ids
from midwatch.domain.base import Message
from midwatch.domain.by_hand import HandRequest
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.doctor.checks import CheckedCluster, DoctorView, summed_up
from midwatch.domain.errors import PermanentError
from midwatch.domain.policy import Policy
from midwatch.domain.runs import FleetRequest, RunPage, RunSummary, RunView, Trigger
from midwatch.domain.steps import SurveyView
from midwatch.web.instances import Instances
from midwatch.web.views import run_summary, run_view

_ALPHABET = string.ascii_lowercase + string.digits
_PAGE = 50
_LOOKED_BACK = 20
"""So many runs are looked at for the last one over all clusters."""


type NodeName = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""What Kubernetes lets a node be called (a DNS subdomain)."""


def new_id(now: datetime) -> str:
    """An ID that nothing has yet."""
    return ids.run_id(now, "".join(secrets.choice(_ALPHABET) for _ in range(6)))


class StartRequest(Message):
    """The body of `POST runs`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    clusters: tuple[str, ...] = Field(
        default=(), strict=False, max_length=1000, description="Names of clusters. Empty: all that the policy lists."
    )
    nodes: tuple[NodeName, ...] = Field(
        default=(),
        strict=False,
        max_length=5000,
        description="Names of nodes. Empty: all that ask for a reboot.",
    )
    dry_run: bool = Field(default=False, description="Say what would be done, and touch nothing.")
    reason: str | None = Field(default=None, max_length=500, description="Why; it is shown with the run.")
    requested_by: str | None = Field(default=None, max_length=200, description="Who asks; shown, not checked.")
    trigger: Literal["http", "cli"] = Field(default="http", description="Who starts it: `http` or `cli`.")


def _missed(cluster: ClusterRef, run: str) -> str:
    where = f" ({cluster.aks})" if cluster.aks else ""
    return f"cluster {cluster.name}{where} was in run {run} and is not found any more: deleted, or may we not see it?"


class RunInProgressError(PermanentError):
    """One run at a time: another has not ended."""

    def __init__(self, run: str) -> None:
        super().__init__("run-in-progress", f"run {run} is in progress")
        self.run = run


class DrainInProgressError(PermanentError):
    """A drain, or an uncordon, of one node by hand has not ended."""

    def __init__(self, drain: HandRequest) -> None:
        where = f"{drain.action} {drain.id} of node {drain.node} on cluster {drain.cluster.name}"
        again = f"`midwatch {drain.action} {drain.node} --context {drain.cluster.name}` follows it to its end"
        super().__init__("drain-in-progress", f"{where} is in progress: {again}")


class UnknownRunError(PermanentError):
    """There is no run of that ID."""

    def __init__(self, run: str) -> None:
        super().__init__("unknown-run", f"there is no run {run!r}")


class RunEndedError(PermanentError):
    """The run has ended already."""

    def __init__(self, run: str) -> None:
        super().__init__("run-ended", f"run {run} has ended")


class Directory(Protocol):
    """The clusters that there are; given by the function app."""

    async def policy(self) -> Policy:
        """The policy in force. Raises MidwatchError."""

    async def resolve(self, policy: Policy, wanted: Sequence[str]) -> tuple[ClusterRef, ...]:
        """The clusters of a run. Raises MidwatchError."""

    async def check(self, clusters: Sequence[ClusterRef], nodes: Sequence[str]) -> None:
        """Raise UsageError when no cluster can be read, or a named node is on none of them."""

    async def survey(self, wanted: Sequence[str]) -> SurveyView:
        """Look at the clusters. Raises UsageError."""

    async def examine(self, wanted: Sequence[str]) -> tuple[CheckedCluster, ...]:
        """Whether a run would find what it needs. Raises UsageError."""


class RunService:
    """The runs of this function app.

    `lock` lets one start through at a time in this process. Two processes that start at the same moment are told apart
    by each cluster's lease: one of the runs ends `busy` there.
    """

    def __init__(self, instances: Instances, directory: Directory, lock: asyncio.Lock) -> None:
        self._instances = instances
        self._directory = directory
        self._lock = lock

    async def start(self, request: StartRequest, trigger: Trigger, now: datetime) -> RunSummary:
        """Start a run, unless one is in progress.

        A person hears at once of a cluster that cannot be reached. The timer starts all the same: the run reports it,
        and it may be back by then.

        Raises:
            RunInProgressError: another run has not ended.
            DrainInProgressError: a drain by hand has not.
            UsageError: the policy, a cluster or a node is wrong; nothing was started.
        """
        async with self._lock:
            live = await self._instances.live_runs()
            if live:
                raise RunInProgressError(live[0])
            if drains := await self._instances.live_by_hand():
                raise DrainInProgressError(drains[0])
            policy = await self._directory.policy()
            clusters = await self._directory.resolve(policy, request.clusters)
            if trigger is not Trigger.TIMER:
                await self._directory.check(clusters, request.nodes)
            run = new_id(now)
            fleet = FleetRequest(
                run=run,
                trigger=trigger,
                requested_by=request.requested_by,
                reason=request.reason,
                dry_run=request.dry_run,
                clusters=clusters,
                nodes=request.nodes,
                policy=policy,
                all_clusters=not request.clusters,
                warnings=() if request.clusters else await self._gone(clusters),
            )
            await self._instances.start(fleet)
        instance = await self._instances.read(run)
        if instance is None:
            raise UnknownRunError(run)
        return run_summary(instance)

    async def _gone(self, clusters: Sequence[ClusterRef]) -> tuple[str, ...]:
        """The clusters that the last run over all of them had and this one has not."""
        for run in (await self._instances.runs())[:_LOOKED_BACK]:
            instance = await self._instances.read(run)
            last = None if instance is None else FleetRequest.model_validate(instance.input)
            if last is not None and last.all_clusters:
                here = {cluster.key() for cluster in clusters}
                gone = [cluster for cluster in last.clusters if cluster.key() not in here]
                return tuple(_missed(cluster, run) for cluster in gone)
        return ()

    async def page(self, cursor: str | None, limit: int = _PAGE) -> RunPage:
        """Runs, newest first, that are older than the cursor."""
        known = [run for run in await self._instances.runs() if cursor is None or run < cursor]
        found = [instance for run in known[:limit] if (instance := await self._instances.read(run)) is not None]
        more = known[limit - 1] if len(known) > limit else None
        return RunPage(runs=tuple(run_summary(instance) for instance in found), next=more)

    async def view(self, run: str) -> RunView:
        """One run.

        Raises:
            UnknownRunError: there is none of that ID.
        """
        instance = await self._instances.read(run) if ":" not in run else None
        if instance is None:
            raise UnknownRunError(run)
        return run_view(instance, await self._instances.below(run))

    async def cancel(self, run: str) -> RunSummary:
        """Ask a run to stop; a second call asks again, which changes nothing.

        Raises:
            UnknownRunError: there is none of that ID.
            RunEndedError: it has ended already.
        """
        instance = await self._instances.read(run) if ":" not in run else None
        if instance is None:
            raise UnknownRunError(run)
        if not instance.live:
            raise RunEndedError(run)
        await self._instances.cancel(run)
        return run_summary(instance)

    async def survey(self, wanted: Sequence[str]) -> SurveyView:
        """The fleet as it is now."""
        return await self._directory.survey(wanted)

    async def examine(self, wanted: Sequence[str]) -> DoctorView:
        """Whether a run of this app, as who it is and from where it is, would find what it needs."""
        return summed_up((), await self._directory.examine(wanted))
