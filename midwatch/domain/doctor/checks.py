"""What a check says: its verdict, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from midwatch.domain.base import Message
from midwatch.domain.errors import MidwatchError

_NAMED = 5


class Health(StrEnum):
    """A check's verdict, the best first."""

    OK = "ok"
    WARNING = "warning"
    """A run would do its work; somebody should look at it all the same."""
    UNKNOWN = "unknown"
    """It could not be looked at."""
    FAILED = "failed"
    """A run would not do its work, or not on these nodes."""


_ORDER = list(Health)


class CheckId(StrEnum):
    """What is checked. Of some there are several, told apart by their subject."""

    POLICY = "policy"
    SCHEDULE = "schedule"
    CONTEXT = "context"
    CREDENTIALS = "credentials"
    DNS = "network.dns"
    TCP = "network.tcp"
    TLS = "network.tls"
    HTTP = "network.http"
    CLOCK = "clock"
    IDENTITY = "identity"
    PERMISSION = "permission"
    VERSION = "version"
    NAMESPACE = "namespace"
    REBOOT_POD = "reboot-pod"
    CONDITION = "condition"
    DETECTOR = "detector"
    LEASE = "lease"
    LEFTOVERS = "leftovers"
    AZURE = "azure"


class Check(Message):
    """One check.

    Attributes:
        id: what kind of check it is.
        subject: what was looked at; together with `id` it is there once in a cluster.
        verdict: how it is.
        detail: what was found, one line.
        remedy: what to do about it; null where nothing is to be done, or nothing is known to help.
    """

    id: CheckId
    subject: str
    verdict: Health
    detail: str
    remedy: str | None = None


class CheckedCluster(Message):
    """A cluster, and all that was checked of it. `server` is null where the context leads nowhere."""

    name: str
    server: str | None
    verdict: Health
    checks: tuple[Check, ...]


class DoctorView(Message):
    """The `doctor` JSON. `checks` are those of Midwatch's own settings; `verdict` is the worst of all."""

    verdict: Health
    checks: tuple[Check, ...]
    clusters: tuple[CheckedCluster, ...]


class Unread(Message):
    """Something that could not be read, and why."""

    code: str
    message: str

    @classmethod
    def because(cls, error: MidwatchError) -> Unread:
        """The same, of an error."""
        return cls(code=error.code, message=error.message)


def worst(verdicts: Iterable[Health]) -> Health:
    """The worst of them; of none: ok."""
    return max(verdicts, key=_ORDER.index, default=Health.OK)


def checked(name: str, server: str | None, checks: Sequence[Check]) -> CheckedCluster:
    """A cluster with its verdict."""
    return CheckedCluster(name=name, server=server, verdict=worst(c.verdict for c in checks), checks=tuple(checks))


def summed_up(checks: Sequence[Check], clusters: Sequence[CheckedCluster]) -> DoctorView:
    """The whole view with its verdict."""
    verdicts = [*(check.verdict for check in checks), *(cluster.verdict for cluster in clusters)]
    return DoctorView(verdict=worst(verdicts), checks=tuple(checks), clusters=tuple(clusters))


def fine(what: CheckId, subject: str, detail: str) -> Check:
    """Nothing to do."""
    return Check(id=what, subject=subject, verdict=Health.OK, detail=detail)


def doubtful(what: CheckId, subject: str, detail: str, remedy: str) -> Check:
    """A run would do its work all the same."""
    return Check(id=what, subject=subject, verdict=Health.WARNING, detail=detail, remedy=remedy)


def failed(what: CheckId, subject: str, detail: str, remedy: str) -> Check:
    """A run would not do its work."""
    return Check(id=what, subject=subject, verdict=Health.FAILED, detail=detail, remedy=remedy)


def unknown(what: CheckId, subject: str, why: Unread, remedy: str | None = None) -> Check:
    """It could not be looked at."""
    detail = f"{why.code}: {why.message}"
    return Check(id=what, subject=subject, verdict=Health.UNKNOWN, detail=detail, remedy=remedy)


def not_looked_at(what: Iterable[CheckId], because: CheckId) -> tuple[Check, ...]:
    """Checks that make no sense, or cannot be made, after another one has failed."""
    detail = f"not looked at, because of {because.value}"
    return tuple(Check(id=one, subject=one.value, verdict=Health.UNKNOWN, detail=detail) for one in what)


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
