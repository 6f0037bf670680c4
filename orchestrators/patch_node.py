"""One node: claim, cordon, drain, recheck, reboot, wait, verify, release."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from durabletask.task import OrchestrationContext, Task, TaskFailedError

from midwatch.domain import ids
from midwatch.domain.base import Json
from midwatch.domain.draining import DrainResult
from midwatch.domain.eviction import Waiting
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.phases import NodePhase, advance
from midwatch.domain.proof import Before
from midwatch.domain.runs import CANCEL_EVENT, NodeRequest, NodeResult, PollRequest, PollResult, Progress
from midwatch.domain.steps import Checked, Claimed, NodeStep, Passed, RebootStep, Released, ReleaseStep, Seen
from midwatch.domain.verdicts import End, drain_end, drain_notes, failure_in, verify_end, wait_end
from orchestrators.calls import UNAVAILABLE, StepError, Steps, call, call_until_done, first_line, first_of, now, start


def patch_node(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Take one node through its reboot, and put back what was changed whatever happens.

    1. claim: annotate the node with the run, its boot ID and whether it was cordoned; not a candidate any more: end.
    2. cordon it.
    3. drain it, in passes, until the deadline.
    4. recheck that it is still ours, still cordoned, still needs the reboot, and that we hold the lease.
    5. reboot it, guarded by the boot ID.
    6. wait until the boot ID has changed and it is Ready, and stays so.
    7. verify that the need is gone and its DaemonSet pods are Ready.
    8. release it: uncordon only what we cordoned, remove annotations and pod.
    A failure or a cancel at any step goes straight to 8. A cancel after 5 changes nothing: the node is on its way.
    """
    patch = _NodePatch(ctx, NodeRequest.from_wire(payload))
    result = yield from patch.run()
    return result.to_wire()


class _NodePatch:
    """The state of one patch; every method is a phase, in the docstring's order."""

    def __init__(self, ctx: OrchestrationContext, request: NodeRequest) -> None:
        self._ctx = ctx
        self._request = request
        self._phase = NodePhase.PENDING
        self._cancel = ctx.wait_for_external_event(CANCEL_EVENT)
        self._claimed = Claimed(outcome=None, reason=None)
        self._before: Before | None = None
        self._last = Seen()
        self._notes: tuple[str, ...] = ()
        self._passed: tuple[Passed, ...] = ()
        self._instance = ids.node_instance(request.run, request.cluster.name, request.node)
        self._step = NodeStep(run=request.run, cluster=request.cluster, policy=request.policy, node=request.node)

    def run(self) -> Steps[NodeResult]:
        try:
            end = yield from self._claim()
            if end is not None:
                return self._result(end)
            end = yield from self._patch()
        except StepError as error:
            end = failure_in(self._phase, str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a node cordoned
            end = failure_in(self._phase, f"internal: {type(error).__name__}: {first_line(str(error))}")
        return (yield from self._release(end))

    def _enter(self, phase: NodePhase) -> None:
        self._phase = advance(self._phase, phase)
        self._passed += (Passed(phase=phase, entered_at=now(self._ctx)),)
        self._ctx.set_custom_status(Progress(phase=phase, packages=self._claimed.packages).to_wire())

    def _claim(self) -> Steps[End | None]:
        self._enter(NodePhase.CLAIM)
        self._claimed = yield from call(self._ctx, "claim_node", self._step, Claimed)
        self._before = self._claimed.before
        outcome = self._claimed.outcome
        return None if outcome is None else End(outcome=outcome, reason=self._claimed.reason)

    def _patch(self) -> Steps[End]:
        for phase in (self._cordon, self._drain, self._recheck, self._reboot):
            if self._cancel.is_complete:
                return _CANCELLED
            if (end := (yield from phase())) is not None:
                return end
        for phase in (self._wait, self._verify):
            if (end := (yield from phase())) is not None:
                return end
        return End(outcome=NodeOutcome.REBOOTED)

    def _cordon(self) -> Steps[End | None]:
        self._enter(NodePhase.CORDON)
        checked = yield from call(self._ctx, "cordon_node", self._step, Checked)
        drain = self._request.policy.drain
        if checked.outcome is None and drain.exclude_from_load_balancers and drain.load_balancer_wait:
            timer = self._ctx.create_timer(drain.load_balancer_wait)
            yield first_of([timer, self._cancel])
            timer.cancel()
        return _end_of(checked)

    def _drain(self) -> Steps[End | None]:
        self._enter(NodePhase.DRAIN)
        instance = ids.drain_instance(self._instance)
        drain = self._start("drain_node", instance, self._request.policy.drain.timeout)
        yield first_of([drain, self._cancel])
        if not drain.is_complete:
            self._ctx.send_event(instance, CANCEL_EVENT)
        result = DrainResult.model_validate((yield from _output(drain)))
        on_timeout = self._request.policy.drain.on_timeout
        self._notes = drain_notes(result, on_timeout)
        return drain_end(result, on_timeout)

    def _recheck(self) -> Steps[End | None]:
        self._enter(NodePhase.RECHECK)
        checked = yield from call(self._ctx, "recheck_node", self._step, Checked)
        self._before = checked.before or self._before
        return _end_of(checked)

    def _reboot(self) -> Steps[End | None]:
        self._enter(NodePhase.REBOOT)
        step = RebootStep(**dict(self._step), before=self._known())
        try:
            return _end_of((yield from call(self._ctx, "reboot_node", step, Checked)))
        except StepError as error:
            if error.code != UNAVAILABLE:
                raise
            return None  # the pod may have been created: whether the node boots anew shows in the wait

    def _wait(self) -> Steps[End | None]:
        self._enter(NodePhase.WAIT)
        wait = self._start("await_node", ids.wait_instance(self._instance), self._request.policy.reboot.timeout)
        result = PollResult.model_validate((yield from _output(wait)))
        self._last = result.seen
        return wait_end(result, self._known())

    def _verify(self) -> Steps[End | None]:
        self._enter(NodePhase.VERIFY)
        limit = self._request.policy.verify.condition_clears
        verify = self._start("verify_node", ids.verify_instance(self._instance), limit)
        return verify_end(PollResult.model_validate((yield from _output(verify))))

    def _start(self, name: str, instance: str, limit: timedelta) -> Task[object]:
        r, deadline = self._request, now(self._ctx) + limit
        poll = PollRequest(
            run=r.run, cluster=r.cluster, node=r.node, policy=r.policy, before=self._known(), deadline=deadline
        )
        return start(self._ctx, name, instance, poll)

    def _known(self) -> Before:
        if self._before is None:
            raise StepError("bad-answer", "claim_node claimed the node without saying how it was")
        return self._before

    def _release(self, end: End) -> Steps[NodeResult]:
        end = end.model_copy(update={"reason": "; ".join(filter(None, (end.reason, *self._notes))) or None})
        keep = end.outcome.failed and self._request.policy.failure.keep_cordoned
        self._enter(NodePhase.RELEASE)
        step = ReleaseStep(
            **dict(self._step),
            claimed_by=self._request.run,
            keep_cordoned=keep,
            outcome=end.outcome,
            reason=end.reason,
            passed=self._passed,
        )
        try:
            released = yield from call_until_done(self._ctx, "release_node", step, Released, self._tell_release())
            left = released.left
        except StepError as error:
            left = (f"possibly cordoned and annotated, the release failed ({error})",)
        if left:
            end = end.model_copy(update={"reason": "; ".join(filter(None, (end.reason, "left: " + ", ".join(left))))})
        return self._result(end, left=left)

    def _tell_release(self) -> Callable[[StepError], None]:
        since = now(self._ctx)

        def tell(error: StepError) -> None:
            waiting = Waiting.on_cluster(self._request.cluster.name, str(error), since)
            progress = Progress(phase=self._phase, waiting_for=(waiting,), packages=self._claimed.packages)
            self._ctx.set_custom_status(progress.to_wire())

        return tell

    def _result(self, end: End, left: tuple[str, ...] = ()) -> NodeResult:
        self._phase = advance(self._phase, NodePhase.ENDED)
        before = self._before
        return NodeResult(
            outcome=end.outcome,
            reason=end.reason,
            left=bool(left),
            packages=self._claimed.packages,
            kernel_before=before.kernel_version if before else None,
            boot_id_before=before.boot_id if before else None,
            kernel_after=self._last.kernel_version,
            boot_id_after=self._last.boot_id,
        )


_CANCELLED = End(outcome=NodeOutcome.CANCELLED, reason="cancelled: before the reboot")


def _end_of(checked: Checked) -> End | None:
    return None if checked.outcome is None else End(outcome=checked.outcome, reason=checked.reason)


def _output(task: Task[object]) -> Steps[object]:
    try:
        return (yield task)
    except TaskFailedError as error:
        raise StepError("wait-failed", first_line(error.details.message)) from error
