"""The phases of a node, and which may follow which."""

from __future__ import annotations

from enum import StrEnum

from midwatch.domain.errors import PermanentError


class NodePhase(StrEnum):
    """Where a node is in its patch, as `GET runs/{id}` and the annotation `midwatch.dev/phase` say it."""

    PENDING = "pending"
    CLAIM = "claim"
    CORDON = "cordon"
    DRAIN = "drain"
    RECHECK = "recheck"
    REBOOT = "reboot"
    WAIT = "wait"
    VERIFY = "verify"
    RELEASE = "release"
    ENDED = "ended"


_NEXT: dict[NodePhase, frozenset[NodePhase]] = {
    NodePhase.PENDING: frozenset({NodePhase.CLAIM}),
    NodePhase.CLAIM: frozenset({NodePhase.CORDON, NodePhase.RELEASE, NodePhase.ENDED}),
    NodePhase.CORDON: frozenset({NodePhase.DRAIN, NodePhase.RELEASE}),
    NodePhase.DRAIN: frozenset({NodePhase.RECHECK, NodePhase.RELEASE}),
    NodePhase.RECHECK: frozenset({NodePhase.REBOOT, NodePhase.RELEASE}),
    NodePhase.REBOOT: frozenset({NodePhase.WAIT, NodePhase.RELEASE}),
    NodePhase.WAIT: frozenset({NodePhase.VERIFY, NodePhase.RELEASE}),
    NodePhase.VERIFY: frozenset({NodePhase.RELEASE}),
    NodePhase.RELEASE: frozenset({NodePhase.ENDED}),
    NodePhase.ENDED: frozenset(),
}


def advance(current: NodePhase, following: NodePhase) -> NodePhase:
    """Step from one phase to the next.

    Raises:
        PermanentError: `illegal-phase`, a step that the table does not have. It is a defect, never a cluster's state.
    """
    if following not in _NEXT[current]:
        raise PermanentError("illegal-phase", f"a node cannot go from {current} to {following}")
    return following
