"""How a node, a cluster and a run can end. Expected endings are values, never exceptions."""

from __future__ import annotations

from enum import StrEnum


class NodeOutcome(StrEnum):
    """How one node ended."""

    REBOOTED = "rebooted"
    """The boot ID changed, the node is Ready, and the need is gone."""
    STILL_REQUIRED = "still-required"
    """It rebooted, and still asks for a reboot."""
    DRAIN_FAILED = "drain-failed"
    """Pods were left at the deadline, or a step before the reboot was refused; it was not rebooted."""
    REBOOT_FAILED = "reboot-failed"
    """The reboot was asked for, and the boot ID did not change in time."""
    NOT_READY = "not-ready"
    """It went down, and was not back Ready in time."""
    GONE = "gone"
    """The node object no longer exists."""
    TAKEN_OVER = "taken-over"
    """Auto-repair acted on it while we waited."""
    SKIPPED = "skipped"
    """It was not touched; the reason says why."""
    CANCELLED = "cancelled"
    """The run was cancelled before its reboot; what we had changed was put back."""

    @property
    def failed(self) -> bool:
        """Whether it counts against `failure.maxFailedNodes`."""
        return self in _FAILED


_FAILED = frozenset(
    {
        NodeOutcome.STILL_REQUIRED,
        NodeOutcome.DRAIN_FAILED,
        NodeOutcome.REBOOT_FAILED,
        NodeOutcome.NOT_READY,
        NodeOutcome.TAKEN_OVER,
    }
)


class ClusterOutcome(StrEnum):
    """How one cluster ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed-with-failures"
    HALTED = "halted"
    """Too many nodes failed, or the budget stayed spent: nothing more was started."""
    UNREACHABLE = "unreachable"
    BUSY = "busy"
    """Another holder has the lease."""
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    """Azure says that it is stopped or being changed, or we may not enter it: nothing was asked of it."""
    NOTHING_TO_DO = "nothing-to-do"


class RunOutcome(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed-with-failures"
    HALTED = "halted"
    WINDOW_CLOSED = "window-closed"
    CANCELLED = "cancelled"
    NOTHING_TO_DO = "nothing-to-do"
