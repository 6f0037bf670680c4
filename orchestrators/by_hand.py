"""One node by hand: `midwatch drain` and `midwatch uncordon`. The drain's passes are those of a run."""

from __future__ import annotations

from collections.abc import Callable

from durabletask.task import OrchestrationContext, Task, TaskFailedError

from midwatch.domain import ids
from midwatch.domain.base import Json
from midwatch.domain.by_hand import (
    DrainedPod,
    DrainOutcome,
    GivenBack,
    HandEnded,
    HandProgress,
    HandRequest,
    HandResult,
    Previewed,
    PreviewStep,
    Reported,
    ReportStep,
    hand_ended,
    reasons_in,
    settle,
)
from midwatch.domain.drain_policy import OnTimeout
from midwatch.domain.draining import DrainResult
from midwatch.domain.phases import NodePhase
from midwatch.domain.pods import PodVerdict
from midwatch.domain.proof import Before
from midwatch.domain.runs import CANCEL_EVENT, PollRequest
from midwatch.domain.steps import Checked, Claimed, ClusterStep, Failure, NodeStep, Passed
from midwatch.domain.verdicts import drain_end, drain_notes
from orchestrators.calls import StepError, Steps, call, first_line, first_of, now, record, start
from orchestrators.leases import LeaseKeeper


def drain_by_hand(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Drain one node, and leave it cordoned.

    1. A dry run judges the pods, has the API server confirm, and ends.
    2. Take the cluster's lease; another holder: `busy`, and nothing is touched.
    3. Claim the node, cordon it, and exclude it from load balancers where the policy says so.
    4. Judge its pods, for the report; one that must not go: nothing is evicted.
    5. Drain it in passes, renewing the lease.
    6. See which pods are left, give back the lease, and report. The claim stays: `midwatch uncordon` undoes it.
    7. Have it recorded how it ended.
    """
    request = HandRequest.from_wire(payload)
    hand = _Hand(ctx, request)
    result = yield from (hand.preview() if request.dry_run else hand.under_lease(hand.drain))
    yield from record(ctx, "record_by_hand", hand.story(result))
    return result.to_wire()


def uncordon_by_hand(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Undo what is claimed on one node: take the lease, release the node, give back the lease, have it recorded."""
    hand = _Hand(ctx, HandRequest.from_wire(payload))
    result = yield from hand.under_lease(hand.give_back)
    yield from record(ctx, "record_by_hand", hand.story(result))
    return result.to_wire()


type _Work = Callable[[], Steps[HandResult]]


class _Hand:
    """The state of one of the two."""

    def __init__(self, ctx: OrchestrationContext, request: HandRequest) -> None:
        self._ctx = ctx
        self._request = request
        self._cancel = ctx.wait_for_external_event(CANCEL_EVENT)
        self._lost: Failure | None = None
        self._started_at = now(ctx)
        self._passed: tuple[Passed, ...] = ()
        self._lease = LeaseKeeper(ctx, ClusterStep(run=request.id, cluster=request.cluster))
        self._step = NodeStep(run=request.id, cluster=request.cluster, policy=request.policy, node=request.node)

    def under_lease(self, work: _Work) -> Steps[HandResult]:
        """Do the work while the cluster is ours."""
        try:
            held = yield from self._lease.take()
        except StepError as error:
            return _failed(error)
        if not held.held:
            text = f"{held.holder} holds the lease of cluster {self._request.cluster.name}"
            return HandResult(error=Failure(code="busy", message=text))
        try:
            result = yield from work()
        except StepError as error:
            result = _failed(error)
        self._lease.stop()
        left = yield from self._lease.free(lambda _: None)  # the command waits for it and shows no more than the phase
        return result if left is None or result.error is not None else result.model_copy(update={"error": left})

    def preview(self) -> Steps[HandResult]:
        """A dry run."""
        try:
            previewed = yield from self._judge(ask=True)
        except StepError as error:
            return _failed(error)
        return HandResult(pods=previewed.pods)

    def drain(self) -> Steps[HandResult]:
        """Steps 3 to 6."""
        self._say(NodePhase.CLAIM)
        claimed = yield from call(self._ctx, "claim_by_hand", self._step, Claimed)
        if claimed.before is None:
            return HandResult(outcome=DrainOutcome.DRAIN_FAILED, reason=claimed.reason)
        self._say(NodePhase.CORDON)
        yield from call(self._ctx, "cordon_node", self._step, Checked)
        policy = self._request.policy.drain
        if policy.exclude_from_load_balancers and policy.load_balancer_wait:
            timer = self._ctx.create_timer(policy.load_balancer_wait)
            yield first_of([timer, self._cancel])
            timer.cancel()
        previewed = yield from self._judge(ask=False)
        self._say(NodePhase.DRAIN)
        result = yield from self._passes(claimed.before)
        report = ReportStep(**dict(self._step), pods=previewed.pods, uids=previewed.uids)
        reported = yield from call(self._ctx, "report_drain", report, Reported)
        pods = settle(previewed, reported.left, reasons_in(result))
        return self._result(result, pods)

    def _result(self, result: DrainResult, pods: tuple[DrainedPod, ...]) -> HandResult:
        if result.cancelled and self._lost is not None:
            return HandResult(error=self._lost, reason="the node stays cordoned", pods=pods)
        if result.cancelled:
            return HandResult(cancelled=True, reason="cancelled: the node stays cordoned", pods=pods)
        end = drain_end(result, OnTimeout.FAIL)
        reason = "; ".join(filter(None, (end.reason if end else None, *drain_notes(result, OnTimeout.FAIL))))
        refused = any(pod.verdict is PodVerdict.ERROR for pod in pods)
        failed = end is not None or refused
        outcome = DrainOutcome.DRAIN_FAILED if failed else DrainOutcome.DRAINED
        return HandResult(outcome=outcome, reason=reason or None, pods=pods)

    def _judge(self, *, ask: bool) -> Steps[Previewed]:
        return (yield from call(self._ctx, "preview_drain", PreviewStep(**dict(self._step), ask=ask), Previewed))

    def _passes(self, before: Before) -> Steps[DrainResult]:
        r = self._request
        deadline = now(self._ctx) + r.policy.drain.timeout
        poll = PollRequest(run=r.id, cluster=r.cluster, node=r.node, policy=r.policy, before=before, deadline=deadline)
        instance = ids.drain_instance(ids.hand_instance(r.id))
        drain: Task[object] = start(self._ctx, "drain_node", instance, poll)
        told = False
        while not drain.is_complete:
            if self._cancel.is_complete and not told:
                told = True
                self._ctx.send_event(instance, CANCEL_EVENT)
            timer = self._lease.timer()
            waits: list[Task[object] | Task[None]] = [drain, *([] if told else [self._cancel])]
            yield first_of([*waits, *([] if timer is None else [timer])])
            self._lost = (yield from self._lease.renew()) or self._lost
            if self._lost is not None and not told:
                told = True
                self._ctx.send_event(instance, CANCEL_EVENT)
        try:
            return DrainResult.model_validate(drain.get_result())
        except TaskFailedError as error:
            raise StepError("drain-failed", first_line(error.details.message)) from error

    def give_back(self) -> Steps[HandResult]:
        """Release the node."""
        self._say(NodePhase.RELEASE)
        given = yield from call(self._ctx, "give_back", self._step, GivenBack)
        error = None if given.ours else Failure(code="not-ours", message=given.reason)
        return HandResult(reason=given.reason, error=error)

    def story(self, result: HandResult) -> HandEnded:
        """What is recorded of it."""
        return hand_ended(self._request, result, self._passed, self._started_at, now(self._ctx))

    def _say(self, phase: NodePhase) -> None:
        self._passed += (Passed(phase=phase, entered_at=now(self._ctx)),)
        self._ctx.set_custom_status(HandProgress(phase=phase).to_wire())


def _failed(error: StepError) -> HandResult:
    return HandResult(error=Failure(code=error.code, message=error.message))
