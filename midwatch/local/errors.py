"""What can go wrong with the host itself. Each message is one line for people; details are in `host.log`."""

from __future__ import annotations

from midwatch.domain.errors import PermanentError


class HostError(PermanentError):
    """The host cannot start, or had to stop."""


class AppLoadError(HostError):
    """`function_app.py` or `host.json` cannot be loaded."""


class StateInUseError(HostError):
    """Another host holds the state directory."""


class JournalError(HostError):
    """The state cannot be read or written. The host stops rather than go on with lost state."""


class RefusedError(Exception):
    """The backend refuses one request; nothing was changed. Its `reason` is the gRPC status that the caller gets.

    Attributes:
        reason: `not-found`, `already-exists`, `failed-precondition` or `invalid-argument`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
