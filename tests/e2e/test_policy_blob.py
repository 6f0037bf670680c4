"""The policy from a blob: read with the managed identity from Azurite, Microsoft's emulator, over TLS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import yaml
from azure.core.credentials import AccessToken
from azure.storage.blob import BlobServiceClient

from midwatch.simulator import SimulatedFleet
from tests.e2e.midwatch import Done, call
from tests.kit import background
from tests.kit.azure.azurite import Azurite, azurite, program
from tests.kit.azure.managed_identity import ManagedIdentityEndpoint, managed_identity_endpoint, storage_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.kit.api import JsonObject

_POLICY: JsonObject = {
    "apiVersion": "midwatch/v1",
    "clusters": [{"kubeconfig": {"context": "blue"}}],
    "nodes": {"settle": "0s"},
    "verify": {"stableFor": "0s", "conditionClears": "20s"},
}


class _Token:
    """A credential for the test's own uploads."""

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken(storage_token(3600), int(time.time()) + 3600)


@pytest.fixture(scope="module")
def storage() -> Iterator[Azurite]:
    found = program()
    if found is None:
        pytest.skip("npm is not there to install Azurite")
    with azurite(found) as started:
        yield started


@pytest.fixture
def identity() -> Iterator[ManagedIdentityEndpoint]:
    opened: AbstractAsyncContextManager[ManagedIdentityEndpoint] = managed_identity_endpoint()
    endpoint = background.run(opened.__aenter__())
    endpoint.storage = True
    yield endpoint
    background.run(opened.__aexit__(None, None, None))


def upload(storage: Azurite, name: str, text: str) -> str:
    with BlobServiceClient(storage.url, _Token(), connection_verify=str(storage.authority)) as service:
        container = service.get_container_client("policies")
        if not container.exists():
            container.create_container()
        container.upload_blob(name, text, overwrite=True)
    return f"{storage.url}/policies/{name}"


def midwatch(storage: Azurite, identity: ManagedIdentityEndpoint, policy: str, *args: str) -> Done:
    env = {**identity.env, "SSL_CERT_FILE": str(storage.authority)}
    return call(*args, "--policy", policy, seconds=120, env=env)


def test_a_run_takes_its_policy_from_a_blob_and_the_next_one_takes_the_changed_policy(
    storage: Azurite, identity: ManagedIdentityEndpoint, tmp_path: Path
) -> None:
    with SimulatedFleet(scale=0) as fleet:
        [blue] = fleet.create("blue", nodes=2)
        blue.create_namespace("midwatch")
        blue.require_reboot("blue-1", "linux-image")
        fleet.quiesce()
        flags = ("--kubeconfig", str(fleet.kubeconfig(tmp_path / "kubeconfig")), "--state", str(tmp_path / "state"))
        nobody = {**_POLICY, "nodes": {"select": {"team": "nobody"}}}
        url = upload(storage, "policy.yaml", yaml.safe_dump(nobody))
        first = midwatch(storage, identity, url, "run", *flags)
        assert (first.code, blue.boots) == (0, {}), first.stderr
        upload(storage, "policy.yaml", yaml.safe_dump(_POLICY))
        second = midwatch(storage, identity, url, "run", *flags)
        assert (second.code, blue.boots) == (0, {"blue-1": 1}), second.stderr
    assert "https://storage.azure.com" in identity.resources


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("wrong.yaml", "apiVersion: midwatch/v1\nnodes:\n  maxUnavailble: 1\n", "wrong.yaml:3: `nodes.maxUnavailble`"),
        ("large.yaml", "#" * 1_000_001, "has more than 1000000 bytes"),
    ],
)
def test_a_blob_that_is_no_policy_is_one_line(
    storage: Azurite, identity: ManagedIdentityEndpoint, name: str, text: str, said: str
) -> None:
    done = midwatch(storage, identity, upload(storage, name, text), "survey")
    assert (done.code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_a_blob_that_is_not_there_or_may_not_be_read_is_one_line(
    storage: Azurite, identity: ManagedIdentityEndpoint
) -> None:
    url = upload(storage, "policy.yaml", yaml.safe_dump(_POLICY))
    missing = midwatch(storage, identity, url.replace("policy.yaml", "nothing.yaml"), "survey")
    assert (missing.code, missing.stderr.count("\n")) == (2, 1), missing.stderr
    assert "does not exist, or the identity may not see it" in missing.stderr
    identity.storage = False
    refused = midwatch(storage, identity, url, "survey")
    assert (refused.code, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert url in refused.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://a.blob.core.windows.net/policies/p.yaml?sig=secret", "holds a signature or a password"),
        ("http://a.blob.core.windows.net/policies/p.yaml", "a URL, and not of the form https://"),
        ("https://a.blob.core.windows.net/p.yaml", "a URL, and not of the form https://"),
    ],
)
def test_a_url_that_is_none_of_a_blob_or_holds_a_secret_is_refused_unasked(url: str, said: str) -> None:
    done = call("survey", "--policy", url)
    assert done.code == 2
    assert said in done.stderr
    assert "secret" not in done.stderr
