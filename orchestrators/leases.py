"""Holding a cluster's lease for as long as its orchestration works."""

from __future__ import annotations

from collections.abc import Callable

from durabletask.task import OrchestrationContext, TimerTask

from midwatch.domain import lease
from midwatch.domain.steps import ClusterStep, Failure, LeaseHeld
from orchestrators.calls import BRIEF, UNAVAILABLE, StepError, Steps, call, call_until_done


class LeaseKeeper:
    """The lease of one cluster: taken once, renewed by a timer, freed at the end. Once lost, it is not taken again."""

    def __init__(self, ctx: OrchestrationContext, step: ClusterStep) -> None:
        self._ctx = ctx
        self._step = step
        self._timer: TimerTask | None = None
        self._lost = False

    def take(self) -> Steps[LeaseHeld]:
        """Take the lease, or say who holds it. Raises StepError.

        When no answer came the lease may be ours all the same, and nobody would work under it: it is given back.
        """
        try:
            return (yield from call(self._ctx, "acquire_lease", self._step, LeaseHeld, BRIEF))
        except StepError as error:
            if error.code != UNAVAILABLE:
                raise
            failure = error
        try:
            yield from call(self._ctx, "release_lease", self._step, LeaseHeld, BRIEF)
        except StepError:
            text = f"{failure.message}; whether the lease was taken is not known"
            raise StepError(failure.code, text) from failure
        raise failure

    def timer(self) -> TimerTask | None:
        """Completes when the lease is to be renewed; None when it is lost."""
        if self._timer is None and not self._lost:
            self._timer = self._ctx.create_timer(lease.RENEW_EVERY)
        return self._timer

    def renew(self) -> Steps[Failure | None]:
        """Renew the lease if that is due. A failure when another holder has it."""
        if self._timer is None or not self._timer.is_complete:
            return None
        self._timer = None
        try:
            held = yield from call(self._ctx, "acquire_lease", self._step, LeaseHeld)
        except StepError:
            return None  # an outage: the next renewal tries again, and no node reboots without a look at the lease
        if held.held:
            return None
        self._lost = True
        return Failure(code=lease.LOST, message=f"{held.holder} took the lease of this cluster")

    def stop(self) -> None:
        """Renew no more in this execution."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def free(self, tell: Callable[[Failure], None]) -> Steps[Failure | None]:
        """Give the lease back, if it is ours. A failure when that could not be done.

        `tell` is called with the failure each time that it has to be tried again.
        """
        try:
            yield from call_until_done(
                self._ctx, "release_lease", self._step, LeaseHeld, lambda error: tell(_not_released(error))
            )
        except StepError as error:
            return _not_released(error)
        return None


def _not_released(error: StepError) -> Failure:
    return Failure(code="lease-left", message=f"the lease was not released: {error}")
