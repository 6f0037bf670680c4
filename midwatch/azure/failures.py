"""What Azure Resource Manager refuses, in words that an operator can act on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from midwatch.domain.errors import MidwatchError, PermanentError, TransientError

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError, HttpResponseError

_LONGEST_ANSWER = 300


@contextmanager
def named(doing: str, permission: str, scope: str) -> Iterator[None]:
    """Turn the SDK's errors into ours.

    Args:
        doing: what failed, as in "cannot {doing}".
        permission: the ARM permission that it needs.
        scope: where the permission is needed.

    Raises:
        PermanentError: `azure-forbidden`, `azure-not-found`, `azure-wrong-tenant`, `azure-refused`.
        TransientError: `azure-busy` (with the wait that Azure asked for), `azure-unreachable`.
    """
    from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - see identity.py

    try:
        yield
    except HttpResponseError as error:
        raise _answered(error, doing, permission, scope) from None
    except AzureError as error:
        raise TransientError("azure-unreachable", f"cannot {doing}: {_said(error)}") from None


def _answered(error: HttpResponseError, doing: str, permission: str, scope: str) -> MidwatchError:
    said = _said(error)
    status = error.status_code
    if "InvalidAuthenticationTokenTenant" in said:
        text = f"cannot {doing}: the identity belongs to another tenant than {scope}; use one of that tenant: {said}"
        return PermanentError("azure-wrong-tenant", text)
    if status == 403:
        text = f"cannot {doing}: the identity lacks {permission} at {scope}; assign a role that has it: {said}"
        return PermanentError("azure-forbidden", text)
    if status == 404:
        text = f"cannot {doing}: {scope} does not exist, or the identity may not see it: {said}"
        return PermanentError("azure-not-found", text)
    if status == 429 or (status is not None and status >= 500):
        return TransientError("azure-busy", f"cannot {doing}: HTTP {status}: {said}", _retry_after(error))
    return PermanentError("azure-refused", f"cannot {doing}: HTTP {status}: {said}")


def _retry_after(error: HttpResponseError) -> timedelta | None:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})  # the SDK's type of a response lacks them
    value = headers.get("Retry-After", "")
    return timedelta(seconds=int(value)) if value.isdecimal() else None


def _said(error: AzureError) -> str:
    return " ".join(error.message.split())[:_LONGEST_ANSWER]
