"""Drains and uncordons of one node by hand: `POST drains`, `GET drains/{id}`, `POST drains/{id}/cancel`."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Response
from pydantic import ConfigDict, Field, ValidationError

from midwatch.domain import ids
from midwatch.domain.base import Message
from midwatch.domain.by_hand import DrainView, HandAction, HandProgress, HandRequest, HandResult, HandView
from midwatch.domain.drain_policy import DrainPolicy
from midwatch.domain.durations import Duration
from midwatch.domain.errors import UsageError
from midwatch.domain.eviction import Waiting
from midwatch.domain.phases import NodePhase
from midwatch.domain.policy import Policy
from midwatch.domain.runs import Progress, RunStatus
from midwatch.domain.steps import Failure
from midwatch.web.instances import Instance, Instances
from midwatch.web.service import (
    Directory,
    DrainInProgressError,
    RunEndedError,
    RunInProgressError,
    UnknownRunError,
    new_id,
)


class HandStart(Message):
    """The body of `POST drains`. What is left out comes from the policy."""

    model_config = ConfigDict(extra="forbid", strict=True)

    action: Annotated[HandAction, Field(strict=False)] = Field(
        default=HandAction.DRAIN, description="`drain`, or `uncordon` to undo what a drain did."
    )
    cluster: str = Field(min_length=1, max_length=500, description="Name of the cluster.")
    node: str = Field(min_length=1, max_length=253, description="Name of the node.")
    dry_run: bool = Field(default=False, description="Judge the pods, have the API server confirm, touch nothing.")
    timeout: Duration | None = Field(default=None, description="Instead of `drain.timeout`.")
    grace_period: Duration | None = Field(default=None, description="Instead of `drain.gracePeriod`.")
    pod_selector: str | None = Field(default=None, max_length=1000, description="Instead of `drain.podSelector`.")
    reason: str | None = Field(default=None, max_length=500, description="Why.")
    requested_by: str | None = Field(default=None, max_length=200, description="Who asks; shown, not checked.")

    def policy(self, policy: Policy) -> Policy:
        """The policy with what is given here laid over it.

        Raises:
            UsageError: `policy-invalid`, a value that the policy would refuse.
        """
        given = {"timeout": self.timeout, "grace_period": self.grace_period, "pod_selector": self.pod_selector}
        over = {name: value for name, value in given.items() if value is not None}
        try:
            drain = DrainPolicy.model_validate({**dict(policy.drain), **over})
        except ValidationError as error:
            defects = (f"{e['loc'][0]}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
            raise UsageError("policy-invalid", "; ".join(defects)) from error
        return policy.model_copy(update={"drain": drain})


class DrainService:
    """The drains of this function app. `lock` is shared with the runs: one thing is started at a time."""

    def __init__(self, instances: Instances, directory: Directory, lock: asyncio.Lock) -> None:
        self._instances = instances
        self._directory = directory
        self._lock = lock

    async def start(self, start: HandStart, now: datetime) -> HandView:
        """Start a drain or an uncordon. The same one that is under way is returned instead of a second.

        A dry run changes nothing, so it stands in nobody's way, and nobody in its.

        Raises:
            RunInProgressError: a run has not ended.
            DrainInProgressError: another drain has not ended.
            UsageError: the policy, the cluster or the node is wrong; nothing was started.
        """
        async with self._lock:
            if not start.dry_run and (known := await self._under_way(start)) is not None:
                return await self.view(known)
            policy = start.policy(await self._directory.policy())
            [cluster] = await self._directory.resolve(policy, [start.cluster])
            await self._directory.check([cluster], [start.node])
            request = HandRequest(
                id=new_id(now),
                action=start.action,
                cluster=cluster,
                node=start.node,
                policy=policy,
                dry_run=start.dry_run,
                requested_by=start.requested_by,
                reason=start.reason,
            )
            await self._instances.start_by_hand(request)
        return await self.view(request.id)

    async def _under_way(self, start: HandStart) -> str | None:
        """The ID of the same drain that is under way already; raises when anything else is."""
        for live in await self._instances.live_by_hand():
            if (live.action, live.cluster.name, live.node) == (start.action, start.cluster, start.node):
                return live.id
            raise DrainInProgressError(live)
        if runs := await self._instances.live_runs():
            raise RunInProgressError(runs[0])
        return None

    async def view(self, drain: str) -> HandView:
        """One drain or uncordon.

        Raises:
            UnknownRunError: there is none of that ID.
        """
        instance = await self._read(drain)
        passes = await self._instances.read(ids.drain_instance(instance.id)) if instance.live else None
        return hand_view(instance, passes)

    async def cancel(self, drain: str) -> HandView:
        """Ask a drain to stop; the node stays cordoned.

        Raises:
            UnknownRunError: there is none of that ID.
            RunEndedError: it has ended already.
        """
        instance = await self._read(drain)
        if not instance.live:
            raise RunEndedError(drain)
        await self._instances.cancel(instance.id)
        return hand_view(instance, None)

    async def _read(self, drain: str) -> Instance:
        instance = await self._instances.read(ids.hand_instance(drain)) if ":" not in drain else None
        if instance is None:
            raise UnknownRunError(drain)
        return instance


def hand_view(instance: Instance, passes: Instance | None) -> HandView:
    """From durable instances to the JSON. Pure.

    Args:
        instance: of the drain or uncordon.
        passes: of its `drain_node`, None when it has none.
    """
    request = HandRequest.model_validate(instance.input)
    result = HandResult()
    if not instance.live:
        broken = Failure(code="internal", message=instance.failure or "the orchestration broke off")
        ended = instance.output is not None and not instance.failed
        result = HandResult.model_validate(instance.output) if ended else HandResult(error=broken)
    status = RunStatus.ENDED if not instance.live else RunStatus.PENDING if instance.pending else RunStatus.RUNNING
    progress = HandProgress.model_validate(instance.custom_status or {"phase": NodePhase.PENDING})
    return HandView(
        id=request.id,
        action=request.action,
        status=status,
        phase=progress.phase if instance.live else NodePhase.ENDED,
        waiting_for=_waits(passes),
        reason=result.reason,
        error=result.error,
        cancelled=result.cancelled,
        drain=DrainView(
            cluster=request.cluster.name,
            node=request.node,
            outcome=result.outcome,
            dry_run=request.dry_run,
            pods=result.pods,
        ),
    )


def _waits(passes: Instance | None) -> tuple[Waiting, ...]:
    if passes is None or not passes.live or passes.custom_status is None:
        return ()
    return Progress.model_validate(passes.custom_status).waiting_for


def add_drains(api: FastAPI, service: Callable[[], DrainService]) -> None:
    """The routes.

    Args:
        api: where they are added.
        service: gives the service of the request under way.
    """
    type Service = Annotated[DrainService, Depends(service)]

    @api.post("/api/drains", status_code=202, summary="Drain, or uncordon, one node")
    async def start(body: HandStart, drains: Service, response: Response) -> HandView:
        started = await drains.start(body, datetime.now(UTC))
        response.headers["Location"] = f"/api/drains/{started.id}"
        return started

    @api.get("/api/drains/{drain}", summary="One drain or uncordon")
    async def view(drain: str, drains: Service) -> HandView:
        return await drains.view(drain)

    @api.post("/api/drains/{drain}/cancel", status_code=202, summary="Ask a drain to stop")
    async def cancel(drain: str, drains: Service) -> HandView:
        return await drains.cancel(drain)
