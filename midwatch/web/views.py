"""From durable instances to the `run` JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from midwatch.domain import ids
from midwatch.domain.budget import Candidate
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome, RunOutcome
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import (
    ClusterEnd,
    ClusterInRun,
    ClusterProgress,
    ClusterRequest,
    ClusterResult,
    FleetRequest,
    FleetResult,
    NodeEnd,
    NodeInRun,
    NodeRequest,
    NodeResult,
    Progress,
    RunStatus,
    RunSummary,
    RunView,
)
from midwatch.domain.steps import Failure, Skipped
from midwatch.web.instances import Instance


def run_summary(run: Instance) -> RunSummary:
    """A run in the list of runs."""
    request = FleetRequest.model_validate(run.input)
    return RunSummary(
        id=run.id,
        status=_status(run),
        outcome=_run_outcome(run),
        trigger=request.trigger,
        requested_by=request.requested_by,
        reason=request.reason,
        dry_run=request.dry_run,
        started_at=run.created_at,
        ended_at=None if run.live else run.updated_at,
    )


def run_view(run: Instance, below: Sequence[Instance]) -> RunView:
    """A run with its clusters and nodes.

    Args:
        run: the `patch_fleet` instance.
        below: its clusters, nodes and waits, in any order.
    """
    request = FleetRequest.model_validate(run.input)
    by_id = {instance.id: instance for instance in below}
    result = FleetResult.model_validate(run.output) if run.output is not None and not run.live else None
    never_started = {end.name: end for end in result.clusters} if result is not None else {}
    clusters = [_cluster(request, cluster, by_id, never_started.get(cluster.name)) for cluster in request.clusters]
    return RunView(**dict(run_summary(run)), clusters=tuple(clusters), warnings=request.warnings)


def _status(instance: Instance) -> RunStatus:
    if not instance.live:
        return RunStatus.ENDED
    if instance.paused:
        return RunStatus.PAUSED
    return RunStatus.PENDING if instance.pending else RunStatus.RUNNING


def _run_outcome(run: Instance) -> RunOutcome | None:
    if run.live:
        return None
    if run.output is not None and not run.failed and not run.terminated:
        return FleetResult.model_validate(run.output).outcome
    return RunOutcome.CANCELLED if run.terminated else RunOutcome.HALTED


def _cluster(
    request: FleetRequest, ref: ClusterRef, by_id: Mapping[str, Instance], never_started: ClusterEnd | None
) -> ClusterInRun:
    instance = by_id.get(ids.cluster_instance(request.run, ref.name))
    if instance is None:
        if never_started is None:
            return ClusterInRun(name=ref.name, status=RunStatus.PENDING, outcome=None, error=None, nodes=())
        return ClusterInRun(
            name=ref.name,
            status=RunStatus.ENDED,
            outcome=never_started.outcome,
            error=never_started.error,
            nodes=(),
        )
    if not instance.live and instance.output is not None and not instance.failed:
        result = ClusterResult.model_validate(instance.output)
        nodes = _nodes(request.run, ref, result.nodes, by_id)
        return ClusterInRun(
            name=ref.name, status=RunStatus.ENDED, outcome=result.outcome, error=result.error, nodes=nodes
        )
    ended = ClusterRequest.model_validate(instance.input).ended if instance.input is not None else ()
    known = list(_nodes(request.run, ref, ended, by_id))
    progress = ClusterProgress.model_validate(instance.custom_status or {})
    names = {node.name for node in known}
    known += [_waiting_node(c, progress.waiting_for) for c in progress.pending if c.name not in names]
    known += [_skipped_node(s) for s in progress.skipped if s.name not in names]
    failed = Failure(code="internal", message=instance.failure or "the orchestration broke off")
    return ClusterInRun(
        name=ref.name,
        status=_status(instance),
        outcome=None if instance.live else ClusterOutcome.HALTED,
        error=progress.error if instance.live else failed,
        nodes=tuple(known),
    )


def _nodes(run: str, ref: ClusterRef, ended: Sequence[NodeEnd], by_id: Mapping[str, Instance]) -> tuple[NodeInRun, ...]:
    """The ended nodes in their order, then those in work."""
    views: dict[str, NodeInRun] = {}
    for end in ended:
        instance = by_id.get(ids.node_instance(run, ref.name, end.name)) if end.started else None
        views[end.name] = _never_started(end) if instance is None else _node(instance, by_id, end)
    prefix = f"{ids.cluster_instance(run, ref.name)}:"
    for key, instance in sorted(by_id.items(), key=lambda item: item[1].created_at):
        if key.startswith(prefix) and ":" not in key.removeprefix(prefix) and instance.input is not None:
            name = NodeRequest.model_validate(instance.input).node
            if name not in views:
                views[name] = _node(instance, by_id, None)
    return tuple(views.values())


def _node(instance: Instance, by_id: Mapping[str, Instance], end: NodeEnd | None) -> NodeInRun:
    request = NodeRequest.model_validate(instance.input)
    progress = Progress.model_validate(instance.custom_status or {"phase": NodePhase.PENDING})
    result = NodeResult.model_validate(instance.output) if instance.output is not None and not instance.failed else None
    return NodeInRun(
        name=request.node,
        pool=request.pool,
        zone=request.zone,
        phase=progress.phase if instance.live else NodePhase.ENDED,
        outcome=result.outcome if result else (end.outcome if end else None),
        reason=result.reason if result else (end.reason if end else instance.failure),
        waiting_for=(_waits(instance, by_id) or progress.waiting_for) if instance.live else (),
        started_at=instance.created_at,
        ended_at=None if instance.live else instance.updated_at,
        packages=result.packages if result else progress.packages,
        kernel_before=result.kernel_before if result else None,
        kernel_after=result.kernel_after if result else None,
        boot_id_before=result.boot_id_before if result else None,
        boot_id_after=result.boot_id_after if result else None,
    )


def _waits(instance: Instance, by_id: Mapping[str, Instance]) -> tuple[Waiting, ...]:
    for name in (ids.drain_instance, ids.wait_instance, ids.verify_instance):
        wait = by_id.get(name(instance.id))
        if wait is not None and wait.live and wait.custom_status is not None:
            return Progress.model_validate(wait.custom_status).waiting_for
    return ()


def _untouched(
    name: str, place: tuple[str | None, str | None], phase: NodePhase, outcome: NodeOutcome | None, reason: str | None
) -> NodeInRun:
    pool, zone = place
    never: datetime | None = None
    return NodeInRun(
        name=name,
        pool=pool,
        zone=zone,
        phase=phase,
        outcome=outcome,
        reason=reason,
        waiting_for=(),
        started_at=never,
        ended_at=never,
        packages=(),
        kernel_before=None,
        kernel_after=None,
        boot_id_before=None,
        boot_id_after=None,
    )


def _never_started(end: NodeEnd) -> NodeInRun:
    return _untouched(end.name, (end.pool, end.zone), NodePhase.ENDED, end.outcome, end.reason)


def _skipped_node(node: Skipped) -> NodeInRun:
    return _untouched(node.name, (node.pool, node.zone), NodePhase.ENDED, NodeOutcome.SKIPPED, node.reason)


def _waiting_node(node: Candidate, because: str | None) -> NodeInRun:
    return _untouched(node.name, (node.pool, node.zone), NodePhase.PENDING, None, because)
