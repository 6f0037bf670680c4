"""A run: its clusters, several at a time."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from durabletask.task import OrchestrationContext, Task, TaskFailedError

from midwatch.domain import ids
from midwatch.domain.base import Json
from midwatch.domain.clusters import SKIPPED, ClusterRef
from midwatch.domain.outcomes import ClusterOutcome
from midwatch.domain.rollout import run_outcome
from midwatch.domain.runs import (
    CANCEL_EVENT,
    ClusterEnd,
    ClusterRequest,
    ClusterResult,
    FleetRequest,
    FleetResult,
    RunEnded,
)
from midwatch.domain.steps import Failure
from orchestrators.calls import Steps, first_line, first_of, now, record, start

_MOST_CLUSTERS_AT_ONCE = 10
"""Clusters are independent of each other; more at once would only make the night harder to watch."""


def patch_fleet(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Patch the clusters of a run.

    1. Start clusters in the order asked for, up to the limit at a time; those that must be skipped end at once.
    2. Wait for any to end, and start the next in its place.
    3. On a cancel, start no more, and tell those that run.
    4. Report the gravest ending as the run's, and have it recorded.
    """
    request, started_at = FleetRequest.from_wire(payload), now(ctx)
    cancel = ctx.wait_for_external_event(CANCEL_EVENT)
    waiting = deque(cluster for cluster in request.clusters if not cluster.skip)
    running: dict[str, Task[object]] = {}
    began: dict[str, datetime] = {}
    ended = {cluster.name: _skipped(cluster) for cluster in request.clusters if cluster.skip}
    told = False
    while waiting or running:
        while waiting and len(running) < _MOST_CLUSTERS_AT_ONCE and not cancel.is_complete:
            cluster = waiting.popleft()
            running[cluster.name], began[cluster.name] = _start(ctx, request, cluster), now(ctx)
        if cancel.is_complete and not told:
            told = True
            ended.update({c.name: ClusterEnd(name=c.name, outcome=ClusterOutcome.CANCELLED) for c in waiting})
            waiting.clear()
            for name in running:
                ctx.send_event(ids.cluster_instance(request.run, name), CANCEL_EVENT)
        if not running:
            break
        yield first_of([*running.values()] if told else [*running.values(), cancel])
        for name in [name for name, task in running.items() if task.is_complete]:
            times = {"started_at": began[name], "ended_at": now(ctx)}
            ended[name] = _end_of(name, running.pop(name)).model_copy(update=times)
    ordered = tuple(ended[cluster.name] for cluster in request.clusters)
    result = FleetResult(outcome=run_outcome([end.outcome for end in ordered]), clusters=ordered)
    yield from record(ctx, "record_run", _story(request, result, started_at, now(ctx)))
    return result.to_wire()


def _story(request: FleetRequest, result: FleetResult, started_at: datetime, ended_at: datetime) -> RunEnded:
    return RunEnded(
        run=request.run,
        trigger=request.trigger,
        dry_run=request.dry_run,
        outcome=result.outcome,
        started_at=started_at,
        ended_at=ended_at,
        clusters=result.clusters,
        warnings=request.warnings,
    )


def _skipped(cluster: ClusterRef) -> ClusterEnd:
    failure = Failure(code=SKIPPED, message=cluster.skip)
    return ClusterEnd(name=cluster.name, outcome=ClusterOutcome.SKIPPED, error=failure)


def _start(ctx: OrchestrationContext, request: FleetRequest, cluster: ClusterRef) -> Task[object]:
    child = ClusterRequest(
        run=request.run, cluster=cluster, policy=request.policy, dry_run=request.dry_run, nodes=request.nodes
    )
    return start(ctx, "patch_cluster", ids.cluster_instance(request.run, cluster.name), child)


def _end_of(name: str, task: Task[object]) -> ClusterEnd:
    try:
        result = ClusterResult.model_validate(task.get_result())
    except TaskFailedError as error:
        failure = Failure(code="internal", message=first_line(error.details.message))
        return ClusterEnd(name=name, outcome=ClusterOutcome.HALTED, error=failure)
    return ClusterEnd(name=name, outcome=result.outcome, error=result.error)
