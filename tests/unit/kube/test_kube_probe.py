"""The way to an API server is told stage by stage, and no credentials are shown on it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509

from midwatch.domain.doctor.network import Stage, clock_check
from midwatch.kube.connection import ClientCertificate, Connection, Credentials, Exec, Token, TokenFile, source_of
from midwatch.kube.probe import probe
from tests.kit.controlplane.plane import free_port
from tests.unit.kube.kube_kit import (
    LOOPBACK,
    SECRET,
    Authority,
    connection,
    hangs_up,
    refuses,
    says,
    server_tls,
    serving,
)

_OLD = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_server_that_answers_is_reached_whatever_it_says(tmp_path: Path) -> None:
    ca = Authority("ca")
    tls = server_tls(tmp_path, ca.issue("api", LOOPBACK))
    for reply, status in ((says({"gitVersion": "v1.36.3"}), 200), (refuses(401, "Unauthorized"), 401)):
        async with serving(tls, reply) as server:
            found = await probe(connection(server.url, ca.pem))
            assert (found.stopped_at, found.status, found.addresses) == (None, status, ("127.0.0.1",))
            assert clock_check(found).verdict == "ok"
            assert server.tokens == [""]


async def test_the_clock_of_the_answer_is_read(tmp_path: Path) -> None:
    ca = Authority("ca")
    reply = says({}, headers={"Date": format_datetime(_OLD, usegmt=True)})
    async with serving(server_tls(tmp_path, ca.issue("api", LOOPBACK)), reply) as server:
        found = await probe(connection(server.url, ca.pem))
    assert found.server_time == _OLD
    assert found.asked <= found.answered <= datetime.now(UTC) < found.asked + timedelta(minutes=1)
    assert clock_check(found).verdict == "failed"


@pytest.mark.parametrize(
    ("name", "trusted", "ended", "text"),
    [
        pytest.param(LOOPBACK, False, False, "does not trust", id="another authority"),
        pytest.param(x509.DNSName("api.example"), True, False, "another", id="another name"),
        pytest.param(LOOPBACK, True, True, "expired", id="expired"),
    ],
)
async def test_a_certificate_that_is_not_trusted_stops_at_tls(
    tmp_path: Path, name: x509.GeneralName, trusted: bool, ended: bool, text: str
) -> None:
    ca = Authority("ca")
    known = ca if trusted else Authority("another")
    async with serving(server_tls(tmp_path, ca.issue("api", name, ended=ended)), says({})) as server:
        found = await probe(connection(server.url, known.pem))
        assert server.seen == []
    assert (found.stopped_at, text in found.error) == (Stage.TLS, True)


async def test_plain_text_where_tls_is_expected_stops_at_tls() -> None:
    async with serving(None, says({})) as server:
        found = await probe(connection(server.url.replace("http://", "https://"), Authority("ca").pem))
    assert found.stopped_at is Stage.TLS


async def test_a_connection_that_breaks_stops_at_http(tmp_path: Path) -> None:
    ca = Authority("ca")
    async with serving(server_tls(tmp_path, ca.issue("api", LOOPBACK)), hangs_up) as server:
        found = await probe(connection(server.url, ca.pem))
    assert found.stopped_at is Stage.HTTP


async def test_a_port_where_nobody_listens_stops_at_tcp() -> None:
    found = await probe(connection(f"https://127.0.0.1:{free_port()}"))
    assert (found.stopped_at, found.addresses) == (Stage.TCP, ("127.0.0.1",))
    assert "refused" in found.error.lower()


async def test_a_name_that_nobody_knows_stops_at_dns() -> None:
    found = await probe(connection("https://cluster.privatelink.westeurope.azmk8s.invalid:443"))
    assert (found.stopped_at, found.addresses, found.private) == (Stage.DNS, (), True)


async def test_behind_a_proxy_the_proxy_is_looked_at_first() -> None:
    port = free_port()
    way = connection("https://api.invalid")
    way = Connection(
        way.context, way.server, None, False, None, f"http://user:{SECRET}@127.0.0.1:{port}", way.credentials
    )
    found = await probe(way)
    assert (found.stopped_at, found.proxy, found.host, found.port) == (Stage.TCP, True, "127.0.0.1", port)
    assert SECRET not in repr(found)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        found = await probe(way)
    assert (found.stopped_at, "the proxy answered 407" in found.error) == (Stage.HTTP, True)
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("url", "ca", "insecure", "authority"),
    [
        ("https://127.0.0.1:1", "pem", False, "kubeconfig"),
        ("https://127.0.0.1:1", None, False, "system"),
        ("https://127.0.0.1:1", None, True, "nobody"),
        ("http://127.0.0.1:1", None, False, "nobody"),
    ],
)
async def test_who_vouches_for_the_server_is_told(url: str, ca: str | None, insecure: bool, authority: str) -> None:
    pem = Authority("ca").pem if ca else None
    found = await probe(Connection("test", url, pem, insecure, None, None, Token(SECRET)))
    assert found.authority == authority


@pytest.mark.parametrize(
    ("credentials", "text"),
    [
        (ClientCertificate(b"c", SECRET.encode()), "client certificate"),
        (Token(SECRET), "token of the kubeconfig"),
        (TokenFile(Path("/run/token")), "/run/token"),
        (Exec("kubelogin", (SECRET,), (("K", SECRET),), "client.authentication.k8s.io/v1"), "kubelogin"),
    ],
    ids=["certificate", "token", "file", "exec"],
)
def test_the_source_of_credentials_is_named_without_a_secret(credentials: Credentials, text: str) -> None:
    assert text in source_of(credentials)
    assert SECRET not in source_of(credentials)
