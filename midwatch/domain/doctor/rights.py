"""Who we are, and what we may do."""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.domain.base import Message
from midwatch.domain.doctor.checks import Check, CheckId, Unread, failed, fine, some, unknown
from midwatch.domain.permissions import Permission


class WhoAmI(Message):
    """As whom the API server knows us."""

    username: str
    groups: tuple[str, ...] = ()


class Answered(Message):
    """Whether we may do one thing; `reason` is what the authorizer says, if anything."""

    permission: Permission
    allowed: bool | Unread
    reason: str = ""


def identity_check(found: WhoAmI | Unread, source: str) -> Check:
    """Whether the API server accepts our credentials.

    Args:
        found: what it says.
        source: where the credentials are from.
    """
    if isinstance(found, WhoAmI):
        groups = some([group for group in found.groups if not group.startswith("system:")])
        return fine(CheckId.IDENTITY, source, f"{found.username}{f' ({groups})' if groups else ''}")
    if found.code == "unauthorized":
        remedy = "renew the credentials (for AKS: az aks get-credentials, kubelogin, az login); is it the right tenant?"
        return failed(CheckId.IDENTITY, source, found.message, remedy)
    return unknown(CheckId.IDENTITY, source, found)


def permission_checks(answers: Sequence[Answered], who: str) -> tuple[Check, ...]:
    """A check for each permission.

    Args:
        answers: what the API server says of each.
        who: as whom it knows us, for the remedy.
    """
    return tuple(_permission_check(answer, who) for answer in answers)


def _permission_check(answer: Answered, who: str) -> Check:
    wanted = answer.permission
    if isinstance(answer.allowed, Unread):
        return unknown(CheckId.PERMISSION, wanted.text, answer.allowed)
    if answer.allowed:
        return fine(CheckId.PERMISSION, wanted.text, "allowed")
    said = f": {answer.reason}" if answer.reason else ""
    remedy = f"grant it by {wanted.role} (kubectl apply -k deploy/rbac), bound to {who}"
    return failed(CheckId.PERMISSION, wanted.text, f"not allowed{said}; needed for: {wanted.why}", remedy)
