"""The messages of the drain, and the rules between two passes: go on, look again, or end. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from midwatch.domain.drain_pace import BlockedSince, Blocker, Deadline, keep_blocked, next_deadline, passed, pause
from midwatch.domain.drain_policy import DrainPolicy, OnTimeout
from midwatch.domain.eviction import Waiting, keep_since
from midwatch.domain.runs import PollRequest, PollResult
from midwatch.domain.steps import LookStep, Seen

MOST_RECORDONS = 3
"""So often a node that somebody uncordons in mid-drain is cordoned again; then they mean it."""
DELAY_TOLD = timedelta(minutes=1)
"""A pod that delays the drain for longer is told in an event on the node."""
DELETION_SLACK = timedelta(seconds=30)
"""How long a deleted pod may take beyond its grace."""
_SHOWN = 40
"""Pods in the custom status, those that have waited longest first: Azure Storage keeps 16 kB of it, in UTF-16."""


class DrainStep(LookStep):
    """One pass.

    Attributes:
        recordons: how often the node was cordoned again so far.
        delete: a deadline has passed, and the policy wants what is left deleted.
        tell: what has delayed the drain for over a minute, and was not told on the node yet.
        budgets_in: namespaces whose budgets refused in the pass before: they are read before anything is asked there.
    """

    recordons: int = 0
    delete: bool = False
    tell: tuple[Waiting, ...] = ()
    budgets_in: tuple[str, ...] = ()


class Drained(Seen):
    """What one pass saw and did.

    Attributes:
        blockers: the kinds of things that are waited for.
        retry_after: how long the API server asked to wait.
        recordoned: the node was found uncordoned, and was cordoned again.
        deleted: pods that were deleted, since a deadline had passed.
        stays: what would have had to go, and was left aside: stuck pods, attached volumes.
        budgets_in: namespaces whose budgets refused.
    """

    blockers: tuple[Blocker, ...] = ()
    retry_after: timedelta | None = None
    recordoned: bool = False
    deleted: tuple[Waiting, ...] = ()
    stays: tuple[Waiting, ...] = ()
    budgets_in: tuple[str, ...] = ()


class DrainRequest(PollRequest):
    """The input of `drain_node`. The last fields carry its state through continue-as-new.

    Attributes:
        started: when the first pass began.
        escalated: when a deadline passed and what is left began to be deleted.
        deadline_passed: which one.
        recordons: how often the node was cordoned again.
        told: what was told in an event on the node (`namespace/name`).
        blocked: what blocks, and since when.
        deleted: the pods that were deleted so far.
        last: what the last pass saw.
    """

    started: datetime | None = None
    escalated: datetime | None = None
    deadline_passed: Deadline | None = None
    recordons: int = 0
    told: tuple[str, ...] = ()
    blocked: tuple[BlockedSince, ...] = ()
    deleted: tuple[Waiting, ...] = ()
    last: Drained = Drained()

    def step(self, hold: timedelta, now: datetime) -> DrainStep:
        """The next pass. A second call for the same state and time gives the same."""
        return DrainStep(
            run=self.run,
            cluster=self.cluster,
            policy=self.policy,
            node=self.node,
            before=self.before,
            hold=hold,
            recordons=self.recordons,
            delete=self.escalated is not None,
            tell=self._to_tell(now),
            budgets_in=self.last.budgets_in,
        )

    def _to_tell(self, now: datetime) -> tuple[Waiting, ...]:
        late = (w for w in self.last.left if w.since is not None and now - w.since >= DELAY_TOLD)
        return tuple(waiting for waiting in late if _full_name(waiting) not in self.told)

    def after(self, step: DrainStep, seen: Drained, now: datetime) -> Self:
        """The state after a pass."""
        left = keep_since(self.last.left, seen.left, now)
        known = {_full_name(waiting) for waiting in self.deleted}
        state = {
            "started": self.started or now,
            "rounds": 0 if seen.moved else self.rounds + 1,
            "recordons": self.recordons + seen.recordoned,
            "told": self.told + tuple(map(_full_name, step.tell)),
            "blocked": keep_blocked(self.blocked, seen.blockers, now, moved=seen.moved),
            "deleted": self.deleted + tuple(w for w in seen.deleted if _full_name(w) not in known),
            "last": seen.model_copy(update={"left": left}),
        }
        return self.model_copy(update=state)

    @property
    def shown(self) -> tuple[Waiting, ...]:
        """What is waited for, the longest first; the rest is counted."""
        left = sorted(self.last.left, key=lambda w: (w.since is None, w.since, w.key[0], w.name))
        if len(left) <= _SHOWN:
            return tuple(left)
        more = Waiting(kind="Pod", namespace=None, name=f"and {len(left) - _SHOWN} more", because=left[_SHOWN].because)
        return (*left[:_SHOWN], more)


class DrainResult(PollResult):
    """The output of `drain_node`.

    Attributes:
        seen: the last pass.
        deadline: which deadline ended it, None when none did. With `onTimeout: delete` also the one after which pods
            were deleted.
        deleted: every pod that was deleted.
    """

    seen: Drained = Drained()
    deadline: Deadline | None = None
    deleted: tuple[Waiting, ...] = ()


def _full_name(waiting: Waiting) -> str:
    return f"{waiting.namespace or ''}/{waiting.name}"


def _detached_or_late(policy: DrainPolicy, request: DrainRequest, now: datetime) -> bool:
    """Whether just volumes are left, and were waited for long enough."""
    since = {one.kind: one.since for one in request.blocked}
    return set(since) == {Blocker.VOLUMES} and now - since[Blocker.VOLUMES] >= policy.detach_timeout


def ending(request: DrainRequest, now: datetime) -> DrainResult | None:
    """How the drain ends after this pass, None when it goes on.

    Args:
        request: the state after the pass.
        now: aware.
    """
    seen, policy = request.last, request.policy.drain
    result = DrainResult(seen=seen, deadline=request.deadline_passed, deleted=request.deleted)
    if seen.outcome is not None:
        return result
    if _detached_or_late(policy, request, now):
        seen = seen.model_copy(update={"done": True, "stays": (*seen.stays, *seen.left), "left": ()})
        return result.model_copy(update={"seen": seen})
    if seen.done:
        early = request.started is not None and now < request.started + policy.minimum_time
        return None if early else result
    if request.escalated is not None:
        last = request.escalated + policy.delete_grace_period + DELETION_SLACK
        return result.model_copy(update={"timed_out": True, "deadline": Deadline.DELETION}) if now >= last else None
    deadline = passed(policy, request.deadline, request.blocked, now)
    if deadline is None or policy.on_timeout is OnTimeout.DELETE:
        return None
    return result.model_copy(update={"timed_out": True, "deadline": deadline})


def escalate(request: DrainRequest, now: datetime) -> DrainRequest:
    """Turn to deletion, where a deadline has passed and the policy says so."""
    if request.escalated is not None or request.last.done or request.policy.drain.on_timeout is not OnTimeout.DELETE:
        return request
    deadline = passed(request.policy.drain, request.deadline, request.blocked, now)
    if deadline is None:
        return request
    return request.model_copy(update={"escalated": now, "deadline_passed": deadline, "rounds": 0})


def rest(request: DrainRequest, now: datetime) -> timedelta:
    """How long until the next pass."""
    policy = request.policy.drain
    if request.last.done:
        return max((request.started or now) + policy.minimum_time - now, timedelta(0))
    if request.escalated is not None:
        if request.escalated == now:
            return timedelta(0)
        until = request.escalated + policy.delete_grace_period + DELETION_SLACK - now
        return max(min(pause((Blocker.TERMINATING,), request.rounds, request.last.retry_after), until), timedelta(0))
    wanted = pause(request.last.blockers, request.rounds, request.last.retry_after)
    ends = next_deadline(policy, request.deadline, request.blocked, now)
    if Blocker.VOLUMES in request.last.blockers:
        wanted = min(wanted, policy.detach_timeout)
    return min(wanted, ends)
