"""Tokens from the real azure-identity, which asks a managed-identity endpoint on loopback."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from midwatch.azure.identity import AKS_SCOPE, AzureIdentity
from midwatch.azure.settings import AzureSettings
from midwatch.domain.errors import PermanentError, TransientError, UsageError
from tests.kit.azure.managed_identity import HEADER, ManagedIdentityEndpoint, managed_identity_endpoint

CLIENT = "5e1e3b2c-0000-4000-8000-00000000000a"


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ManagedIdentityEndpoint]:
    async with managed_identity_endpoint() as started:
        for name, value in started.env.items():
            monkeypatch.setenv(name, value)
        yield started


def settings(endpoint: ManagedIdentityEndpoint, client: str = CLIENT) -> AzureSettings:
    return AzureSettings.read({**endpoint.env, "AZURE_CLIENT_ID": client})


async def test_a_token_is_asked_for_once_and_kept(endpoint: ManagedIdentityEndpoint) -> None:
    async with AzureIdentity(settings(endpoint)) as identity:
        tokens = {(await identity.token(AKS_SCOPE)).value for _ in range(3)}
    assert tokens == {"token-1"}
    assert endpoint.resources == ["6dae42f8-4368-4678-94ff-3960e28e3630"]
    assert endpoint.client_ids == [CLIENT]


async def test_a_system_assigned_identity_is_not_named(endpoint: ManagedIdentityEndpoint) -> None:
    async with AzureIdentity(settings(endpoint, client="")) as identity:
        await identity.token(AKS_SCOPE)
    assert endpoint.client_ids == [None]


async def test_an_expired_token_is_replaced(endpoint: ManagedIdentityEndpoint) -> None:
    endpoint.lifetime = 0
    async with AzureIdentity(settings(endpoint)) as identity:
        tokens = [(await identity.token(AKS_SCOPE)).value for _ in range(2)]
    assert tokens == ["token-1", "token-2"]


async def test_a_refused_token_is_replaced_before_its_time(endpoint: ManagedIdentityEndpoint) -> None:
    async with AzureIdentity(settings(endpoint)) as identity:
        before = await identity.token(AKS_SCOPE)
        renewed = await identity.renewed(AKS_SCOPE)
    assert (before.value, renewed.value) == ("token-1", "token-2")


async def test_a_busy_endpoint_is_asked_again(endpoint: ManagedIdentityEndpoint) -> None:
    endpoint.failures = [(429, "slow down"), (503, "starting")]
    async with AzureIdentity(settings(endpoint)) as identity:
        assert (await identity.token(AKS_SCOPE)).value == "token-3"


async def test_an_endpoint_that_stays_down_is_transient(endpoint: ManagedIdentityEndpoint) -> None:
    endpoint.failures = [(503, "starting")] * 4
    async with AzureIdentity(settings(endpoint)) as identity:
        with pytest.raises(TransientError) as caught:
            await identity.token(AKS_SCOPE)
    assert caught.value.code == "azure-identity-unavailable"
    assert len(endpoint.resources) == 4


async def test_an_unknown_identity_is_refused_with_its_name(endpoint: ManagedIdentityEndpoint) -> None:
    endpoint.failures = [(400, "No User Assigned or Delegated Managed Identity found for specified ClientId")]
    async with AzureIdentity(settings(endpoint)) as identity:
        with pytest.raises(PermanentError) as caught:
            await identity.token(AKS_SCOPE)
    assert caught.value.code in {"azure-identity-refused", "no-azure-identity"}
    assert CLIENT in caught.value.message


async def test_no_log_record_holds_a_token(endpoint: ManagedIdentityEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with AzureIdentity(settings(endpoint)) as identity:
        token = await identity.renewed(AKS_SCOPE)
    assert "azure.identity" in {record.name.rsplit(".aio")[0] for record in caplog.records}
    assert token.value not in caplog.text
    assert HEADER not in caplog.text
    assert token.value not in repr(token)


def test_the_import_brings_no_azure_sdk() -> None:
    text = "import sys, midwatch.azure.identity; print([m for m in sys.modules if m.startswith(('azure', 'msal'))])"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "url", ["management.azure.com", "http://management.azure.com", "https://h/path", "https://u@h", "ftp://127.0.0.1"]
)
def test_an_endpoint_that_no_token_may_go_to_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="MIDWATCH_ARM_ENDPOINT"):
        AzureSettings.read({"MIDWATCH_ARM_ENDPOINT": url})


def test_endpoints_of_other_clouds_and_of_loopback_are_taken() -> None:
    china = AzureSettings.read({"MIDWATCH_ARM_ENDPOINT": "https://management.chinacloudapi.cn/"})
    assert (china.arm, china.plain) == ("https://management.chinacloudapi.cn", False)
    assert AzureSettings.read({"MIDWATCH_ARM_ENDPOINT": "http://127.0.0.1:8443"}).plain
    assert AzureSettings.read({}) == AzureSettings()
