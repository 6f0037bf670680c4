"""The drain of one node: passes with a durable timer between them, until the node is empty or time is over."""

from __future__ import annotations

from datetime import timedelta

from durabletask.task import OrchestrationContext

from midwatch.domain.base import Json
from midwatch.domain.draining import Drained, DrainRequest, DrainResult, ending, escalate, rest
from midwatch.domain.eviction import Waiting
from midwatch.domain.phases import NodePhase
from midwatch.domain.runs import CANCEL_EVENT, Progress
from midwatch.domain.steps import LONGEST_HOLD
from orchestrators.calls import ONCE, StepError, Steps, call, first_of, now

_PASSES_PER_HISTORY = 20
_SHORTEST_HOLD = timedelta(seconds=1)
"""Of a pass at the deadline: it has to see what became of its own evictions."""


def drain_node(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Drain a node in passes.

    1. One pass: list, judge, evict what may go, watch for a few seconds, say what is left and why.
    2. The node is empty (and for the minimum time), or the pass says that it is over: return what was seen.
    3. Cancelled: return that.
    4. A deadline has passed: return that, or delete what is left from the next pass on, as the policy says.
    5. Say what is waited for, pause for as long as what blocks deserves, and go on; every 20 passes as a new execution.
    """
    cancel = ctx.wait_for_external_event(CANCEL_EVENT)
    request = DrainRequest.from_wire(payload)
    for _ in range(_PASSES_PER_HISTORY):
        request = yield from _pass(ctx, request)
        end = ending(request, now(ctx))
        if end is not None and not (end.timed_out and cancel.is_complete):
            return end.to_wire()
        if cancel.is_complete:
            return _cancelled(request).to_wire()
        request = escalate(request, now(ctx))
        ctx.set_custom_status(Progress(phase=NodePhase.DRAIN, waiting_for=request.shown).to_wire())
        timer = ctx.create_timer(rest(request, now(ctx)))
        yield first_of([timer, cancel])
        timer.cancel()
    if cancel.is_complete:
        return _cancelled(request).to_wire()
    ctx.continue_as_new(request.to_wire(), save_events=True)
    return {}


def _cancelled(request: DrainRequest) -> DrainResult:
    return DrainResult(seen=request.last, cancelled=True, deleted=request.deleted)


def _pass(ctx: OrchestrationContext, request: DrainRequest) -> Steps[DrainRequest]:
    """One pass, and the state after it. An API server that does not answer costs a pass, not the drain."""
    started = request.model_copy(update={"started": request.started or now(ctx)})
    until = request.deadline - now(ctx) if request.escalated is None else LONGEST_HOLD
    hold = min(LONGEST_HOLD, max(until, _SHORTEST_HOLD))
    step = started.step(hold, now(ctx))
    try:
        seen = yield from call(ctx, "drain_pass", step, Drained, ONCE)
    except StepError as error:
        api = Waiting.on_cluster(request.cluster.name, str(error))
        seen = request.last.model_copy(update={"left": (api,), "done": False, "moved": False, "blockers": ()})
        return started.after(step.model_copy(update={"tell": ()}), seen, now(ctx))
    return started.after(step, seen, now(ctx))
