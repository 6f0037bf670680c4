"""The waits for a node that reboots: small polling orchestrations that continue as new, so their history stays short.

Each round is one activity that looks and watches for a few seconds. Between rounds stands a durable timer that grows
while nothing moves. An API server that does not answer is one more round, until the deadline.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from durabletask.task import OrchestrationContext

from midwatch.domain.base import Json
from midwatch.domain.eviction import Waiting, keep_since
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import PollRequest, PollResult, Progress
from midwatch.domain.steps import LONGEST_HOLD, LookStep, Seen
from orchestrators.calls import ONCE, StepError, Steps, call, first_of, now

_ROUNDS_PER_HISTORY = 20
_SHORTEST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class _Wait:
    """What tells the two waits apart. `confirm_after`: how long the goal must have held. A cancel stops neither."""

    phase: NodePhase
    activity: str
    confirm_after: timedelta = timedelta(0)


def await_node(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Wait until the node has booted anew and has been Ready for `verify.stableFor`. A cancel cannot stop a reboot."""
    request = PollRequest.from_wire(payload)
    wait = _Wait(NodePhase.WAIT, "look_for_boot", confirm_after=request.policy.verify.stable_for)
    return (yield from _poll(ctx, request, wait))


def verify_node(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Wait until the need is explicitly gone and the node's DaemonSet pods are Ready."""
    request = PollRequest.from_wire(payload)
    return (yield from _poll(ctx, request, _Wait(NodePhase.VERIFY, "look_for_proof")))


def _poll(ctx: OrchestrationContext, request: PollRequest, wait: _Wait) -> Steps[Json]:
    """Look, then pause, until done, over or out of time.

    1. Look once.
    2. Done (and done for long enough), or over: return what was seen.
    3. Past the deadline: return that.
    4. Say what is waited for, pause, and go on; every 20 rounds as a new execution.
    """
    for _ in range(_ROUNDS_PER_HISTORY):
        seen = yield from _look(ctx, request, wait)
        since = _done_since(ctx, request, seen)
        if seen.outcome is not None or (since is not None and now(ctx) - since >= wait.confirm_after):
            return PollResult(seen=seen).to_wire()
        if now(ctx) >= request.deadline + (wait.confirm_after if since is not None else timedelta(0)):
            return PollResult(seen=seen, timed_out=True).to_wire()
        rounds = 0 if seen.moved else request.rounds + 1
        request = request.model_copy(update={"rounds": rounds, "last": seen, "done_since": since})
        ctx.set_custom_status(Progress(phase=wait.phase, waiting_for=seen.left).to_wire())
        yield first_of([ctx.create_timer(_pause(ctx, request, wait))])
    ctx.continue_as_new(request.to_wire(), save_events=True)
    return {}


def _look(ctx: OrchestrationContext, request: PollRequest, wait: _Wait) -> Steps[Seen]:
    step = LookStep(
        run=request.run,
        cluster=request.cluster,
        policy=request.policy,
        node=request.node,
        before=request.before,
        hold=min(LONGEST_HOLD, max(request.deadline - now(ctx), timedelta(0))),
    )
    try:
        seen = yield from call(ctx, wait.activity, step, Seen, ONCE)
    except StepError as error:
        api = Waiting.on_cluster(request.cluster.name, str(error))
        seen = request.last.model_copy(update={"left": (api,), "done": False, "moved": False})
    return seen.model_copy(update={"left": keep_since(request.last.left, seen.left, now(ctx))})


def _done_since(ctx: OrchestrationContext, request: PollRequest, seen: Seen) -> datetime | None:
    """Since when the goal has held. A node that was not Ready between two looks begins anew."""
    if not seen.done:
        return None
    if request.done_since is None or seen.ready_since != request.last.ready_since:
        return now(ctx)
    return request.done_since


def _pause(ctx: OrchestrationContext, request: PollRequest, wait: _Wait) -> timedelta:
    """How long to pause: until the goal has held, or longer with each idle round, but not past the deadline."""
    if request.done_since is not None:
        return max(request.done_since + wait.confirm_after - now(ctx), timedelta(0))
    grown: timedelta = _SHORTEST_PAUSE * 2 ** min(request.rounds, 6)
    return min(grown, _LONGEST_PAUSE, max(request.deadline - now(ctx), timedelta(0)))
