"""The way to an API server, stage by stage: name, connection, TLS, answer. No credentials are sent."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp

from midwatch.domain.doctor.network import NetworkProbe, Stage
from midwatch.kube.connection import Connection
from midwatch.kube.proxies import proxy_of
from midwatch.kube.transport import Greeting, Transport, no_answer

_STAGE_SECONDS = 10.0
"""For each stage, so that a host that drops packets does not hold up the rest for longer than a request would."""
_PORTS = {"https": 443, "http": 80}


async def probe(connection: Connection) -> NetworkProbe:
    """Go as far as one gets, and say how far.

    The first two stages look at the server, or at the proxy before it. The others go all the way, by the same code as
    every request.

    Raises:
        UsageError: the certificate authority or the proxy cannot be used.
    """
    proxy = proxy_of(connection)
    target = urlsplit(proxy or connection.server)
    host, port = target.hostname or "", target.port or _PORTS.get(target.scheme, 443)
    start = datetime.now(UTC)
    found = NetworkProbe(
        server=connection.server,
        host=host,
        port=port,
        proxy=proxy is not None,
        authority=_authority(connection),
        asked=start,
        answered=start,
    )
    try:
        addresses = await _resolve(host, port)
    except OSError as error:
        return _stopped(found, Stage.DNS, f"the name {host} is not known: {_text(error)}")
    found = found.model_copy(update={"addresses": addresses})
    try:
        await _connect(host, port)
    except OSError as error:
        return _stopped(found, Stage.TCP, f"no connection to {host}:{port}: {_text(error)}")
    return await _ask(connection, found)


async def _resolve(host: str, port: int) -> tuple[str, ...]:
    async with asyncio.timeout(_STAGE_SECONDS):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


async def _connect(host: str, port: int) -> None:
    async with asyncio.timeout(_STAGE_SECONDS):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()


async def _ask(connection: Connection, found: NetworkProbe) -> NetworkProbe:
    transport = Transport(connection, None)
    asked = datetime.now(UTC)
    try:
        async with asyncio.timeout(_STAGE_SECONDS):
            greeting: Greeting = await transport.greet()
    except (aiohttp.ClientError, OSError) as error:
        stage = Stage.TLS if _is_of_tls(error) else Stage.HTTP
        text = "no answer in time" if isinstance(error, TimeoutError) else no_answer("get /version", error).message
        return _stopped(found, stage, text)
    finally:
        await transport.close()
    now = datetime.now(UTC)
    update = {"status": greeting.status, "server_time": greeting.date, "asked": asked, "answered": now}
    return found.model_copy(update=update)


def _authority(connection: Connection) -> str:
    if connection.insecure or connection.server.startswith("http://"):
        return "nobody"
    return "system" if connection.ca is None else "kubeconfig"


def _is_of_tls(error: Exception) -> bool:
    kinds = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError)
    return isinstance(error, kinds)


def _stopped(found: NetworkProbe, stage: Stage, error: str) -> NetworkProbe:
    return found.model_copy(update={"stopped_at": stage, "error": error})


def _text(error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.errno:
        return f"no answer within {_STAGE_SECONDS:g} s"
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)  # asyncio's own text says no more than "Connect call failed"
