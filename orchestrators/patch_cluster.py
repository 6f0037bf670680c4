"""One cluster: hold its lease, survey it, and keep as many nodes in work as its budget allows."""

from __future__ import annotations

from datetime import timedelta

from durabletask.task import OrchestrationContext, Task, TaskFailedError, TimerTask

from midwatch.domain import ids, lease
from midwatch.domain.base import Json
from midwatch.domain.budget import Candidate, Choice, choose, disruption_budget
from midwatch.domain.outcomes import ClusterOutcome, NodeOutcome
from midwatch.domain.rollout import cluster_report, not_started, too_many_failed
from midwatch.domain.runs import (
    CANCEL_EVENT,
    SHOWN,
    ClusterProgress,
    ClusterRequest,
    ClusterResult,
    NodeEnd,
    NodeRequest,
    NodeResult,
)
from midwatch.domain.steps import ClusterStep, Failure, Released, ReleaseStep, Surveyed, SurveyStep
from orchestrators.calls import StepError, Steps, call, first_line, first_of, now, start
from orchestrators.leases import LeaseKeeper

_NODES_PER_HISTORY = 20
_TURNS_PER_HISTORY = 60
"""After so many nodes or turns no node is started until the execution has continued as new, which keeps its history
under about 500 events; a turn is a node's end, a pause, a look at a spent budget, or a renewal of the lease."""
_BUDGET_PAUSE = timedelta(seconds=15)
"""How often a spent budget is looked at again."""


def patch_cluster(ctx: OrchestrationContext, payload: Json) -> Steps[Json]:
    """Patch the nodes of one cluster.

    1. Take the lease; another holder: `busy`. It is renewed all the while, and a lost one stops the work.
    2. Survey the cluster: candidates, nodes to skip, what is unavailable.
    3. Put back nodes that a run which is no more left claimed, and survey again.
    4. Start as many nodes as the budget allows, and wait for any to end, for the pause after it, or for a cancel; then
       survey again. Every 20 nodes or 60 turns, when none is in work, continue as new.
    5. Stop starting when too many failed, on a cancel, when the lease is lost, or when the budget stays spent.
    6. Release the lease and report.
    """
    watch = _ClusterWatch(ctx, ClusterRequest.from_wire(payload))
    result = yield from watch.run()
    return {} if result is None else result.to_wire()


class _ClusterWatch:
    """The state of one execution."""

    def __init__(self, ctx: OrchestrationContext, request: ClusterRequest) -> None:
        self._ctx = ctx
        self._request = request
        self._step = ClusterStep(run=request.run, cluster=request.cluster)
        self._lease = LeaseKeeper(ctx, self._step)
        self._cancel = ctx.wait_for_external_event(CANCEL_EVENT)
        self._running: dict[str, tuple[Candidate, Task[object]]] = {}
        self._ended: dict[str, NodeEnd] = {end.name: end for end in request.ended}
        self._started = 0
        self._turns = 0
        self._told = False
        self._halt: Failure | None = None
        self._error: Failure | None = None
        self._pause_until = request.pause_until
        self._spent_since = request.spent_since
        self._surveyed: Surveyed | None = None

    def run(self) -> Steps[ClusterResult | None]:
        refused = yield from self._open()
        if refused is not None:
            return refused
        while (yield from self._turn()):
            if self._history_is_long() and not self._running and not self._stopping and self._remaining():
                self._lease.stop()
                self._ctx.continue_as_new(self._carried().to_wire(), save_events=True)
                return None
        self._lease.stop()
        self._error = yield from self._lease.free(self._tell)
        return self._result()

    def _carried(self) -> ClusterRequest:
        state = {
            "leased": True,
            "ended": self._nodes(),
            "pending": self._remaining(),
            "pause_until": self._pause_until,
            "spent_since": self._spent_since,
        }
        return self._request.model_copy(update=state)

    def _open(self) -> Steps[ClusterResult | None]:
        """Steps 1 to 3. The result when there is nothing to go on with."""
        new = not self._request.dry_run and not self._request.leased
        leased = self._request.leased
        try:
            if new:
                held = yield from self._lease.take()
                if not held.held:
                    failure = Failure(code="busy", message=f"{held.holder} holds the lease of this cluster")
                    return ClusterResult(outcome=ClusterOutcome.BUSY, error=failure, nodes=())
                leased = True
            self._surveyed = yield from self._survey()
        except StepError as error:
            failure = Failure(code=error.code, message=error.message)
            left = (yield from self._lease.free(self._tell)) if leased else None
            if self._request.leased:
                self._halt, self._error = failure, left
                return self._result()
            return ClusterResult(outcome=ClusterOutcome.UNREACHABLE, error=left or failure, nodes=())
        if self._request.dry_run:
            return self._planned(self._surveyed)
        if new and self._surveyed.abandoned:
            yield from self._put_back(self._surveyed)
        return None

    def _history_is_long(self) -> bool:
        return self._started >= _NODES_PER_HISTORY or self._turns >= _TURNS_PER_HISTORY

    @property
    def _pausing(self) -> bool:
        return self._pause_until is not None and now(self._ctx) < self._pause_until

    @property
    def _stopping(self) -> bool:
        return self._halt is not None or self._cancel.is_complete

    def _turn(self) -> Steps[bool]:
        """One turn of step 4. False when nothing is in work and nothing will be."""
        if self._cancel.is_complete or (self._halt is not None and self._halt.code == lease.LOST):
            self._tell_nodes()
        choice = self._choose()
        for candidate in choice.start:
            self._start(candidate)
        if not self._running and not self._remaining():
            return False
        if not self._running and self._stopping:
            return False
        timer = self._timer(choice)
        tasks: list[Task[object] | Task[None]] = [task for _, task in self._running.values()]
        tasks += [task for task in (timer, self._lease.timer()) if task is not None]
        self._ctx.set_custom_status(self._progress(choice).to_wire())
        yield first_of(tasks if self._told else [*tasks, self._cancel])
        if timer is not None:
            timer.cancel()
        self._turns += 1
        for name in [name for name, (_, task) in self._running.items() if task.is_complete]:
            self._end(*self._running.pop(name))
        self._halt = (yield from self._lease.renew()) or self._halt
        if self._may_start() and not self._pausing:
            yield from self._look_again()
        return True

    def _may_start(self) -> bool:
        """Whether a survey can lead to a start: not while our own nodes take up the whole budget."""
        if self._surveyed is None or self._stopping or not self._remaining():
            return False
        total = self._surveyed.availability.total
        return len(self._running) < disruption_budget(self._request.policy.nodes, total)

    def _look_again(self) -> Steps[None]:
        try:
            self._surveyed = yield from self._survey()
        except StepError as error:
            self._halt = Failure(code=error.code, message=f"the cluster could not be surveyed again: {error.message}")

    def _survey(self) -> Steps[Surveyed]:
        request = self._request
        step = SurveyStep(**dict(self._step), policy=request.policy, nodes=request.nodes, foresee=request.dry_run)
        return (yield from call(self._ctx, "survey_cluster", step, Surveyed))

    def _choose(self) -> Choice:
        """What may be started now; nothing while pausing, stopping, or about to continue as new."""
        none = Choice(start=(), spent_by=())
        if self._surveyed is None or self._stopping or self._pausing or self._history_is_long():
            return none
        held = (*self._running, *(end.name for end in self._ended.values() if end.left))
        choice = choose(self._remaining(), self._surveyed.availability, held, self._request.policy.nodes)
        if choice.start or self._running or not choice.spent_by:
            self._spent_since = None
            return choice
        self._spent_since = self._spent_since or now(self._ctx)
        if now(self._ctx) - self._spent_since >= self._request.policy.reboot.timeout:
            text = "the budget stayed spent by nodes that are not ours: " + ", ".join(choice.spent_by)
            self._halt = Failure(code="budget", message=text)
            return none
        return choice

    def _remaining(self) -> tuple[Candidate, ...]:
        known = self._surveyed.candidates if self._surveyed is not None else self._request.pending
        return tuple(c for c in known if c.name not in self._ended and c.name not in self._running)

    def _start(self, candidate: Candidate) -> None:
        r = self._request
        request = NodeRequest(
            run=r.run, cluster=r.cluster, node=candidate.name, pool=candidate.pool, zone=candidate.zone, policy=r.policy
        )
        instance = ids.node_instance(r.run, r.cluster.name, candidate.name)
        self._running[candidate.name] = (candidate, start(self._ctx, "patch_node", instance, request))
        self._started += 1

    def _end(self, candidate: Candidate, task: Task[object]) -> None:
        try:
            result = NodeResult.model_validate(task.get_result())
            outcome, reason, left = result.outcome, None, result.left
        except TaskFailedError as error:
            outcome, reason, left = NodeOutcome.NOT_READY, f"internal: {first_line(error.details.message)}", True
            self._halt = Failure(code="internal", message=f"the patch of node {candidate.name} broke off")
        end = NodeEnd(
            name=candidate.name,
            outcome=outcome,
            pool=candidate.pool,
            zone=candidate.zone,
            reason=reason,
            left=left,
        )
        self._ended[candidate.name] = end
        if outcome is NodeOutcome.CANCELLED and not self._cancel.is_complete:
            # Without a cancel it is the node's own look at the lease that stopped it, before our next renewal did.
            text = f"node {candidate.name} found that this run no longer holds the lease"
            self._halt = self._halt or Failure(code=lease.LOST, message=text)
        tolerated = self._request.policy.failure.max_failed_nodes
        if self._halt is None and too_many_failed(list(self._ended.values()), tolerated):
            failed = sum(end.failed for end in self._ended.values())
            text = f"{failed} nodes failed, the policy tolerates {tolerated}"
            self._halt = Failure(code="too-many-failed", message=text)
        if outcome not in {NodeOutcome.SKIPPED, NodeOutcome.GONE}:
            self._pause_until = now(self._ctx) + self._request.policy.nodes.settle

    def _timer(self, choice: Choice) -> TimerTask | None:
        """The pause after a node, or before a spent budget is looked at again; None when only nodes are waited for."""
        if self._stopping or not self._remaining():
            return None
        if self._pause_until is not None and self._pausing:
            return self._ctx.create_timer(self._pause_until - now(self._ctx))
        return None if self._running or not choice.spent_by else self._ctx.create_timer(_BUDGET_PAUSE)

    def _progress(self, choice: Choice) -> ClusterProgress:
        waits = not self._running and bool(choice.spent_by)
        return ClusterProgress(
            waiting_for="budget: unavailable are " + ", ".join(choice.spent_by) if waits else None,
            pending=self._remaining()[:SHOWN],
            skipped=self._surveyed.skipped[:SHOWN] if self._surveyed else (),
        )

    def _tell(self, failure: Failure) -> None:
        self._ctx.set_custom_status(ClusterProgress(error=failure).to_wire())

    def _tell_nodes(self) -> None:
        if not self._told:
            self._told = True
            for name in self._running:
                instance = ids.node_instance(self._request.run, self._request.cluster.name, name)
                self._ctx.send_event(instance, CANCEL_EVENT)

    def _put_back(self, surveyed: Surveyed) -> Steps[None]:
        """Release every node that another run left claimed, then look again: some of them are candidates anew."""
        reasons = {}
        for node in surveyed.abandoned:
            step = ReleaseStep(**dict(self._step), node=node.name, policy=self._request.policy, claimed_by=node.run)
            reasons[node.name] = f"released: run {node.run} had left it claimed"
            try:
                released = yield from call(self._ctx, "release_node", step, Released)
                if released.left:
                    reasons[node.name] += "; left: " + ", ".join(released.left)
            except StepError as error:
                text = f"abandoned: run {node.run} had left it claimed, and it could not be released ({error})"
                reasons[node.name] = text
        yield from self._look_again()
        still = set(self._surveyed.availability.claimed) if self._surveyed else set()  # no budget ever starts these
        again = {candidate.name for candidate in self._remaining()} - still
        for name, reason in reasons.items():
            if name not in again:
                end = NodeEnd(name=name, outcome=NodeOutcome.SKIPPED, reason=reason, started=False)
                self._ended[name] = end

    def _planned(self, surveyed: Surveyed) -> ClusterResult:
        lines = {one.name: f"; {one.line}" for one in surveyed.foreseen}
        for c in surveyed.candidates:
            text = f"dry-run: it would be rebooted{lines.get(c.name, '')}"
            self._ended[c.name] = not_started(c, NodeOutcome.SKIPPED, text)
        return self._result()

    def _nodes(self) -> tuple[NodeEnd, ...]:
        return tuple(self._ended.values())

    def _result(self) -> ClusterResult:
        return cluster_report(
            self._nodes(),
            remaining=self._remaining(),
            skipped=self._surveyed.skipped if self._surveyed else (),
            halt=self._halt,
            left=self._error,
            cancelled=self._cancel.is_complete,
        )
