"""What the tests of the Kubernetes client share: certificates, and a TLS server that answers by script and counts."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from midwatch.kube.connection import Connection, Credentials, Exec, Token

SECRET = "s3cr3t-token-of-the-test"
LOOPBACK: x509.GeneralName = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
V1: Final = "client.authentication.k8s.io/v1"

type Reply = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


class Authority:
    """A certificate authority; a `bare` one has neither key usage nor key identifiers, as older clusters have it."""

    def __init__(self, name: str, *, bare: bool = False) -> None:
        self.bare = bare
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if not bare:
            own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
            usage = dict.fromkeys(_USAGES, False) | {"key_cert_sign": True}
            builder = builder.add_extension(own, critical=False).add_extension(x509.KeyUsage(**usage), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, name: str, *names: x509.GeneralName, ended: bool = False) -> Pair:
        """A certificate for a server (with its names) or a client (without)."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key.public_key(), ended=ended)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if not self.bare:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return Pair(certificate, private_pem(key))


_USAGES = [
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
]


def private_pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    """The key as PEM, encrypted if there is a password."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, ended: bool = False
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=2))
    return builder.not_valid_after(now + timedelta(days=-1 if ended else 1))


@dataclass
class ApiServer:
    """A server on loopback that answers each request with the next reply, and the last one again and again."""

    url: str
    replies: list[Reply]
    seen: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Note the request and answer it."""
        self.seen.append(request)
        self.bodies.append(await request.read())
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        subject = dict(part for rdn in (certificate or {}).get("subject", ()) for part in rdn)
        self.peers.append(subject.get("commonName", ""))
        reply = self.replies[0] if len(self.replies) == 1 else self.replies.pop(0)
        return await reply(request)

    @property
    def tokens(self) -> list[str]:
        """The Authorization header of each request."""
        return [request.headers.get("Authorization", "") for request in self.seen]


def server_tls(folder: Path, pair: Pair, clients: str | None = None) -> ssl.SSLContext:
    """The server's side; `clients` is the authority of the client certificates that it asks for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = folder / "server.crt", folder / "server.key"
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cadata=clients)
    return context


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None, *replies: Reply) -> AsyncIterator[ApiServer]:
    """A server with this script."""
    server = ApiServer("", list(replies))
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def connection(
    server: str, ca: str | None = None, credentials: Credentials | None = None, tls_server_name: str | None = None
) -> Connection:
    """A connection as the kubeconfig would give it."""
    return Connection("test", server, ca, False, tls_server_name, None, credentials or Token(SECRET))


def says(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """JSON; text as it is."""

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(text=body, status=status, headers=headers, content_type="text/html")
        return web.json_response(body, status=status, headers=headers)

    return reply


def refuses(status: int, reason: str = "", headers: Mapping[str, str] | None = None, **details: object) -> Reply:
    """A Status object."""
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": f"no: {reason}"}
    return says({**body, **({"details": details} if details else {})}, status, headers)


def hangs(until: asyncio.Event | None = None) -> Reply:
    """No answer until the event is set, or ever."""

    async def reply(_: web.BaseRequest) -> web.StreamResponse:
        await (until or asyncio.Event()).wait()
        return web.json_response({})

    return reply


async def hangs_up(request: web.BaseRequest) -> web.StreamResponse:
    """The connection is cut when the request has been read: the server may have acted."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def plugin(folder: Path, script: str, **changes: object) -> Exec:
    """An exec plugin: a shell script, which appends a line to `runs` each time."""
    program = folder / "plugin"
    program.write_text(f'#!/bin/sh\necho run >> "{folder}/runs"\n{script}\n')
    program.chmod(0o755)
    fields: dict[str, object] = {"command": str(program), "args": (), "env": (), "api_version": V1}
    return Exec(**{**fields, **changes})  # type: ignore[arg-type]  # a table of fields


def plugin_runs(folder: Path) -> int:
    """How often the plugin has run."""
    runs = folder / "runs"
    return len(runs.read_text().splitlines()) if runs.exists() else 0


def exec_credential(api_version: str = V1, **status: str) -> str:
    """A shell command that prints an ExecCredential."""
    printed = json.dumps({"apiVersion": api_version, "kind": "ExecCredential", "status": status})
    return f"cat <<'END'\n{printed}\nEND"


def b64(data: bytes | str) -> str:
    """As in a kubeconfig's `-data` keys."""
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()
