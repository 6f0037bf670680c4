"""One request over `kubernetes.aio`'s REST layer: TLS and pooling are its, the error tree is ours.

TLS is as kubectl has it: chain, expiry and host name are checked, but a certificate authority without key identifiers
is fine, which Python 3.13's strict mode would refuse (kubernetes-client/python#2394).

No write is ever sent twice by the layers below: aiohttp would send a PUT or DELETE again when the server closes the
connection, although the first may have been carried out. That is switched off, and reads are repeated by `client`.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp

from midwatch import __version__
from midwatch.domain.errors import MidwatchError
from midwatch.kube.connection import ClientCertificate, Connection
from midwatch.kube.credentials import Identity
from midwatch.kube.errors import TlsError, Unreachable, from_answer

_CONNECT_SECONDS = 10.0
"""TCP and TLS; a host that drops packets should not use up the time that is meant for the answer."""
_ERROR_BODY_SECONDS = 5.0
_WHY_UNTRUSTED = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed, and is none of the certificate authorities of the kubeconfig",
    19: "its chain ends in an authority that the kubeconfig does not trust",
    20: "it is signed by an authority that the kubeconfig does not trust",
    21: "it is signed by an authority that the kubeconfig does not trust",
    62: "it is for another host name",
    64: "it is for another IP address",
}
"""By OpenSSL's X509_V_ERR_* number."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `url` is path and query; `body` is sent as JSON."""

    method: str
    url: str
    what: str
    body: object = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's answer without its body. `date` is its clock, None when it does not say."""

    status: int
    date: datetime | None


class Transport:
    """The connections to one server under one client certificate (or none)."""

    def __init__(self, connection: Connection, certificate: ClientCertificate | None) -> None:
        from midwatch.kube.rest import open_rest  # noqa: PLC0415 - a quarter of the app's start; many need no cluster

        self._server = connection.server
        self._hint = connection.hint
        self._rest = open_rest(connection, certificate)

    async def send(self, request: Request, identity: Identity) -> aiohttp.ClientResponse:
        """Send once, and return the answer when its head is there. The caller bounds the time and closes the answer.

        Raises:
            MidwatchError: there is no answer, or it is no success.
        """
        try:
            response = await self._send(request, identity)
            if response.status >= 300:
                async with response:
                    raise from_answer(request.what, response.status, await _body(response), _retry_after(response))
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(request.what, error, self._hint) from error
        return response

    async def greet(self) -> Greeting:
        """What the server answers to somebody who is nobody: whether it can be reached at all, and its clock.

        Raises:
            aiohttp.ClientError, OSError: as they come, since the caller tells them apart.
        """
        response = await self._send(Request("GET", "/version", "get /version"), Identity())
        async with response:
            return Greeting(response.status, _date(response.headers.get("Date", "")))

    async def _send(self, request: Request, identity: Identity) -> aiohttp.ClientResponse:
        headers = {
            "Accept": "application/json",
            "User-Agent": f"midwatch/{__version__}",
            "Content-Type": request.content_type,
        }
        if identity.token is not None:
            headers["Authorization"] = f"Bearer {identity.token}"
        answer = await self._rest.request(  # type: ignore[no-untyped-call]  # the package has no types here
            request.method,
            self._server + request.url,
            headers=headers,
            body=request.body,
            _request_timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )
        response = answer.response
        assert isinstance(response, aiohttp.ClientResponse)
        return response

    async def close(self) -> None:
        """Close the connections, whatever is on them."""
        await self._rest.close()


def no_answer(what: str, error: aiohttp.ClientError | OSError, hint: str = "") -> MidwatchError:
    """The error for a connection that did not come about or broke. Its text is ours, since theirs may hold a proxy URL.

    Of a write that ends so it is unknown whether the server acted.
    """
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _untrusted(what, error.certificate_error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(what, error)
    return Unreachable("unreachable", f"{what}: {_what_broke(error)}{f'; {hint}' if hint else ''}")


def _what_broke(error: aiohttp.ClientError | OSError) -> str:
    match error:
        case aiohttp.ClientHttpProxyError():
            text = f"the proxy answered {error.status}"
        case aiohttp.ClientConnectorSSLError():
            text = f"no TLS connection: {getattr(error.os_error, 'reason', None)}"
        case aiohttp.ClientConnectorDNSError():
            text = f"the host name is not known: {error.os_error.strerror}"
        case aiohttp.ClientConnectorError():
            side = "the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "the server"
            text = f"cannot connect to {side}: {error.os_error.strerror or type(error.os_error).__name__}"
        case aiohttp.ConnectionTimeoutError():
            text = f"no connection within {_CONNECT_SECONDS:g} s"
        case _:
            text = f"the connection broke: {type(error).__name__}"
    return text


def _untrusted(what: str, error: Exception) -> TlsError:
    number = getattr(error, "verify_code", 0)
    said = _WHY_UNTRUSTED.get(number) or getattr(error, "verify_message", None) or type(error).__name__
    return TlsError("tls-verification", f"{what}: the server's certificate is not trusted: {said}")


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal. When it does not come, the status alone must do."""
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            return await response.read()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return b""


def _retry_after(response: aiohttp.ClientResponse) -> timedelta | None:
    """The header's value: seconds or a date (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return timedelta(seconds=int(value))
    when = _date(value)
    return None if when is None else max(when - datetime.now(UTC), timedelta(0))


def _date(value: str) -> datetime | None:
    """An HTTP date (RFC 9110, 5.6.7), None when it is none."""
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
