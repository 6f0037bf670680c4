"""Each form of credentials reaches the server, is renewed when refused, and is in no error."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from midwatch.domain.errors import MidwatchError, TransientError, UsageError
from midwatch.kube.client import open_client
from midwatch.kube.connection import Credentials, Entra, Exec, Token, TokenFile
from midwatch.kube.credentials import CredentialSource
from midwatch.kube.errors import Unauthorized
from midwatch.kube.exec_plugin import run_exec
from tests.unit.kube.kube_kit import (
    SECRET,
    V1,
    connection,
    exec_credential,
    plugin,
    plugin_runs,
    refuses,
    says,
    serving,
)


def after(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def refusal(credentials: Credentials) -> MidwatchError:
    async with open_client(connection("http://127.0.0.1:1", credentials=credentials)) as client:
        with pytest.raises(MidwatchError) as caught:
            await client.get("/version")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in caught.value.message
    return caught.value


async def test_a_token_is_sent_and_our_name_with_it() -> None:
    async with serving(None, says({})) as server, open_client(connection(server.url)) as client:
        await client.get("/version")
        assert server.tokens == [f"Bearer {SECRET}"]
        assert server.seen[0].headers["User-Agent"] == "midwatch/0.1.0"


async def test_a_token_file_is_read_for_each_request_and_again_after_a_401(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")

    async def rotates(request: object) -> object:
        path.write_text("three")
        return await refuses(401, "Unauthorized")(request)  # type: ignore[arg-type]

    async with (
        serving(None, says({}), rotates, says({"ok": True})) as server,  # type: ignore[arg-type]
        open_client(connection(server.url, credentials=TokenFile(path))) as client,
    ):
        await client.get("/a")
        path.write_text("two")
        assert await client.create("/b", {}) == {"ok": True}
        assert server.tokens == ["Bearer one", "Bearer two", "Bearer three"]


async def test_a_token_that_cannot_change_is_not_tried_again() -> None:
    async with serving(None, refuses(401, "Unauthorized")) as server, open_client(connection(server.url)) as client:
        with pytest.raises(Unauthorized):
            await client.get("/a")
        assert len(server.seen) == 1


async def test_a_plugin_is_run_once_for_many_requests_and_again_when_its_token_is_refused(tmp_path: Path) -> None:
    script = f'n=$(wc -l < "{tmp_path}/runs")\nsed "s/N/$n/" <<END\n'
    script += '{"apiVersion": "%s", "kind": "ExecCredential", "status": {"token": "tN"}}\nEND' % V1  # noqa: UP031
    async with (
        serving(None, says({})) as server,
        open_client(connection(server.url, credentials=plugin(tmp_path, script))) as client,
    ):
        await asyncio.gather(*(client.get("/a") for _ in range(10)))
        assert plugin_runs(tmp_path) == 1
        server.replies = [refuses(401, "Unauthorized"), says({"ok": True})]
        assert await client.get("/b") == {"ok": True}
        assert plugin_runs(tmp_path) == 2
        assert server.tokens[-2:] == ["Bearer t1", "Bearer t2"]
        server.replies = [refuses(401, "Unauthorized")]
        with pytest.raises(Unauthorized):
            await client.get("/c")
        assert plugin_runs(tmp_path) == 3


@pytest.mark.parametrize(
    ("lives", "runs"),
    [pytest.param(3600, 1, id="good for an hour"), pytest.param(-1, 2, id="expired")],
)
async def test_a_plugin_is_run_again_when_its_token_has_expired(tmp_path: Path, lives: float, runs: int) -> None:
    source = CredentialSource(
        connection(
            "https://x",
            credentials=plugin(tmp_path, exec_credential(token=SECRET, expirationTimestamp=after(lives))),
        )
    )
    for _ in range(2):
        assert (await source.identity()).token == SECRET
    assert plugin_runs(tmp_path) == runs


async def test_a_401_of_many_requests_runs_the_plugin_once_more_only(tmp_path: Path) -> None:
    source = CredentialSource(connection("https://x", credentials=plugin(tmp_path, exec_credential(token=SECRET))))
    refused = await source.identity()
    await asyncio.gather(*(source.renew(refused) for _ in range(5)))
    assert plugin_runs(tmp_path) == 2


@pytest.mark.parametrize("version", [V1, "client.authentication.k8s.io/v1beta1"])
async def test_a_plugin_is_told_the_version_the_cluster_and_that_nobody_is_there(tmp_path: Path, version: str) -> None:
    script = f'printf %s "$KUBERNETES_EXEC_INFO" > "{tmp_path}/info"\nprintf %s "$NAME" > "{tmp_path}/name"\n'
    program = plugin(
        tmp_path,
        script + exec_credential(version, token=SECRET),
        api_version=version,
        env=(("NAME", "value"),),
        provide_cluster_info=True,
        cluster_config='{"audience": "a"}',
    )
    status = await run_exec(program, connection("https://x", "PEM"))
    assert status.token is not None
    assert SECRET not in repr(status)
    assert (tmp_path / "name").read_text() == "value"
    assert json.loads((tmp_path / "info").read_text()) == {
        "apiVersion": version,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": "https://x",
                "certificate-authority-data": "UEVN",
                "config": {"audience": "a"},
            },
        },
    }


async def test_a_missing_plugin_is_named_with_its_hint(tmp_path: Path) -> None:
    missing = Exec("kubelogin-of-nobody", (), (), V1, install_hint="get it from example.org")
    error = await refusal(missing)
    assert error.code == "exec-missing"
    assert "'kubelogin-of-nobody'" in error.message
    assert "get it from example.org" in error.message
    program = plugin(tmp_path, "")
    await asyncio.to_thread(Path(program.command).chmod, 0o644)
    assert (await refusal(program)).code == "exec-missing"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(
            f"echo 'AADSTS7000215: {SECRET} is wrong' >&2; echo more >&2; exit 3", "exit code 3: AADSTS", id="fails"
        ),
        pytest.param("exit 4", "exit code 4", id="silent"),
        pytest.param(f"echo {SECRET}", "no ExecCredential", id="prints no JSON"),
        pytest.param(exec_credential("client.authentication.k8s.io/v1beta1", token=SECRET), "version", id="version"),
        pytest.param(exec_credential(), "neither", id="no credentials"),
        pytest.param(exec_credential(clientCertificateData=SECRET), "without the other", id="half a pair"),
    ],
)
async def test_a_plugin_that_fails_is_an_error_and_never_an_anonymous_client(
    tmp_path: Path, script: str, said: str
) -> None:
    error = await refusal(plugin(tmp_path, script, env=(("PASSWORD", SECRET),)))
    assert isinstance(error, TransientError if "exit code" in said else UsageError)
    assert error.code == "exec-failed"
    assert said in error.message


async def test_an_empty_or_unsendable_token_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text(f"{SECRET}\nX: y")
    for path in (tmp_path / "empty", tmp_path / "lines", tmp_path / "gone"):
        error = await refusal(TokenFile(path))
        assert error.code == "no-credentials"
        assert str(path) in error.message
    assert (await refusal(plugin(tmp_path, exec_credential(token="")))).code == "no-credentials"


async def test_a_plugin_that_hangs_is_ended_with_its_children_and_the_loop_goes_on(tmp_path: Path) -> None:
    program = plugin(tmp_path, f'sleep 600 &\necho $! > "{tmp_path}/child"\nwait')
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    began = time.monotonic()
    with pytest.raises(TransientError) as caught:
        await run_exec(program, connection("https://x"), timeout=timedelta(seconds=0.5))
    ticking.cancel()
    assert caught.value.code == "exec-timeout"
    assert time.monotonic() - began < 5
    assert ticks > 10
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "cmdline"
    deadline = time.monotonic() + 5
    while child.exists() and child.read_bytes() and time.monotonic() < deadline:  # noqa: ASYNC110 - another process's end
        await asyncio.sleep(0.01)
    assert not (child.exists() and child.read_bytes())


async def test_credentials_show_no_secret() -> None:
    source = CredentialSource(connection("https://x", credentials=Token(SECRET)))
    assert SECRET not in repr(await source.identity())


class CountedTokens:
    """Tokens as Entra ID gives them: one is kept, and another is asked for when it was refused."""

    def __init__(self, *, others: bool) -> None:
        self._others = others
        self.asked = 0

    async def token(self) -> str:
        return f"entra-{self.asked}"

    async def renewed(self) -> str:
        self.asked += self._others
        return await self.token()


async def test_a_refused_token_of_entra_id_is_renewed_once_for_all_requests_that_were_refused() -> None:
    tokens = CountedTokens(others=True)
    source = CredentialSource(connection("https://c", credentials=Entra(tokens)))
    refused = await source.identity()
    renewed = await asyncio.gather(*(source.renew(refused) for _ in range(5)))
    assert {one.token for one in renewed if one} == {"entra-1"}
    assert tokens.asked == 1


async def test_a_refused_token_without_another_is_an_error() -> None:
    async with serving(None, refuses(401, "Unauthorized")) as server:
        credentials = Entra(CountedTokens(others=False))
        async with open_client(connection(server.url, credentials=credentials)) as client:
            with pytest.raises(Unauthorized):
                await client.get("/version")
