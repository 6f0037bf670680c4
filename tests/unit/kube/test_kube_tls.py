"""TLS as kubectl accepts it: an old certificate authority is fine, a wrong name, chain or date is not."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from midwatch.domain.errors import PermanentError, UsageError
from midwatch.kube.client import open_client
from midwatch.kube.connection import ClientCertificate, Token
from midwatch.kube.errors import TlsError, Unreachable
from tests.unit.kube.kube_kit import LOOPBACK, SECRET, Authority, connection, plugin, refuses, says, server_tls, serving

OTHER_NAME = x509.DNSName("api.example")


@pytest.mark.parametrize("bare", [False, True], ids=["with key identifiers", "without, as older clusters have it"])
async def test_the_authority_of_the_kubeconfig_is_trusted(tmp_path: Path, bare: bool) -> None:
    ca = Authority("ca", bare=bare)
    async with (
        serving(server_tls(tmp_path, ca.issue("api", LOOPBACK)), says({"ok": True})) as server,
        open_client(connection(server.url, ca.pem)) as client,
    ):
        assert await client.get("/version") == {"ok": True}


def test_pythons_strict_mode_would_refuse_the_bare_authority(tmp_path: Path) -> None:
    """The premise: without it the test above would prove nothing."""
    ca = Authority("ca", bare=True)
    server, client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server_tls(tmp_path, ca.issue("api", OTHER_NAME)).wrap_bio(client, server, server_side=True)
    here = ssl.create_default_context(cadata=ca.pem).wrap_bio(server, client, server_hostname="api.example")
    with pytest.raises(ssl.SSLCertVerificationError):  # noqa: PT012 - a handshake takes turns
        for _ in range(4):
            for side in (here, there):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue


@pytest.mark.parametrize(
    ("name", "trusted", "ended", "why"),
    [
        pytest.param(OTHER_NAME, True, False, "another", id="another name"),
        pytest.param(LOOPBACK, False, False, "does not trust", id="another authority"),
        pytest.param(LOOPBACK, True, True, "expired", id="expired"),
    ],
)
@pytest.mark.parametrize("bare", [False, True], ids=["ids", "bare"])
async def test_a_server_that_cannot_prove_itself_is_refused_for_good(
    tmp_path: Path, name: x509.GeneralName, trusted: bool, ended: bool, why: str, bare: bool
) -> None:
    ca = Authority("ca", bare=bare)
    known = ca if trusted else Authority("another", bare=bare)
    async with (
        serving(server_tls(tmp_path, ca.issue("api", name, ended=ended)), says({})) as server,
        open_client(connection(server.url, known.pem)) as client,
    ):
        with pytest.raises(TlsError, match=why) as caught:
            await client.get("/version")
        assert server.seen == []
    assert caught.value.code == "tls-verification"
    assert isinstance(caught.value, PermanentError)


async def test_the_name_to_check_may_be_given(tmp_path: Path) -> None:
    ca = Authority("ca")
    async with (
        serving(server_tls(tmp_path, ca.issue("api", OTHER_NAME)), says({"ok": True})) as server,
        open_client(connection(server.url, ca.pem, tls_server_name="api.example")) as client,
    ):
        assert await client.get("/version") == {"ok": True}


async def test_a_client_certificate_given_as_data_is_shown_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = Authority("ca", bare=True)
    pair = ca.issue("someone")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    certificate = ClientCertificate(pair.certificate, pair.key, Token(SECRET))
    tls = server_tls(tmp_path, ca.issue("api", LOOPBACK), ca.pem)
    async with (
        serving(tls, says({})) as server,
        open_client(connection(server.url, ca.pem, certificate)) as client,
    ):
        assert list(folder.iterdir()) == []
        await client.get("/version")
        assert server.peers == ["someone"]
        assert server.tokens == [f"Bearer {SECRET}"]


async def test_a_certificate_without_its_key_is_a_usage_error(tmp_path: Path) -> None:
    ca = Authority("ca")
    wrong = ClientCertificate(ca.issue("a").certificate, ca.issue("b").key)
    for unusable in (wrong, ClientCertificate(b"x", b"y")):
        with pytest.raises(UsageError, match="'test'") as caught:
            async with open_client(connection("https://127.0.0.1:1", ca.pem, unusable)):
                raise AssertionError(tmp_path)
        assert caught.value.code == "kubeconfig-malformed"


async def test_a_server_without_tls_is_unreachable() -> None:
    async with (
        serving(None, says({})) as server,
        open_client(connection(server.url.replace("http:", "https:"), Authority("ca").pem)) as client,
    ):
        with pytest.raises(Unreachable, match="no TLS connection"):
            await client.create("/x", {})


async def test_an_exec_plugin_may_give_a_client_certificate_and_later_another(tmp_path: Path) -> None:
    ca = Authority("ca")
    for name in ("first", "second"):
        pair = ca.issue(name)
        (tmp_path / f"{name}.json").write_text(_credential(pair.certificate, pair.key))
    script = f'[ $(wc -l < "{tmp_path}/runs") = 1 ] && cat "{tmp_path}/first.json" || cat "{tmp_path}/second.json"'
    tls = server_tls(tmp_path, ca.issue("api", LOOPBACK), ca.pem)
    async with (
        serving(tls, says({}), refuses(401, "Unauthorized"), says({"ok": True})) as server,
        open_client(connection(server.url, ca.pem, plugin(tmp_path, script))) as client,
    ):
        await client.get("/a")
        assert await client.get("/b") == {"ok": True}
        assert server.peers == ["first", "first", "second"]


def _credential(certificate: bytes, key: bytes) -> str:
    status = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
    return json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
