"""The error tree: whether to try again is a type, what went wrong is a code.

Expected outcomes of a run are results, never exceptions. What is raised is the unexpected, and its type says who
takes it: a transient error goes to the durable retry policy, a permanent one is reported with its code.
"""

from __future__ import annotations

from datetime import timedelta


class MidwatchError(Exception):
    """Something that Midwatch can name.

    Attributes:
        code: a stable word in kebab-case, for programs (`unknown-context`).
        message: one line for people; it names what is wrong and where, and holds no secret.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class PermanentError(MidwatchError):
    """Trying again gives the same answer: report it."""


class TransientError(MidwatchError):
    """Trying again may help.

    Attributes:
        retry_after: how long the other side asked us to wait; None when it did not say.
    """

    def __init__(self, code: str, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class UsageError(PermanentError):
    """The caller's input is wrong (policy, kubeconfig, flag, HTTP body): nothing was started."""
