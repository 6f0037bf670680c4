"""AKS clusters on the real control plane: found through Resource Manager, entered by a token webhook, as on AKS."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.e2e.midwatch import Midwatch, Run, call, leftovers, require_reboot
from tests.kit import background
from tests.kit.azure.arm import fake_arm
from tests.kit.azure.documents import SUB, aks, document
from tests.kit.azure.entra import exec_kubeconfig, token_webhook, webhook_kubeconfig
from tests.kit.azure.managed_identity import ManagedIdentityEndpoint, managed_identity_endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_TOKEN_SECONDS = 30
_REFUSES_SECONDS = 5.0
"""From the first refusal on; before, an API server remembers for 10 s that it took a token."""


class Azure:
    """Resource Manager, the managed identity, and the webhook that every cluster asks.

    Attributes:
        env: what Midwatch needs to know of them.
        identity: gives the tokens.
        refusing: clusters that take no token now.
        refused: how many tokens each of those did not take.
        asked: the tokens that each cluster asked about.
        webhooks: where each asks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self.identity = ManagedIdentityEndpoint()
        self.refusing: set[str] = set()
        self.refused: Counter[str] = Counter()
        self.asked: dict[str, list[str]] = {}
        self.webhooks: dict[str, str] = {}

    async def start(self, stack: AsyncExitStack, clusters: list[Cluster]) -> None:
        arm = await stack.enter_async_context(fake_arm())
        self.identity = await stack.enter_async_context(managed_identity_endpoint())
        self.identity.lifetime = _TOKEN_SECONDS
        self.env = {**self.identity.env, "MIDWATCH_ARM_ENDPOINT": arm.url}
        for cluster in clusters:
            arm.clusters[aks(cluster.name)] = document(cluster.name)
            config = cluster.plane.kubeconfig_for("nobody", self.folder / f"of-{cluster.name}")
            arm.kubeconfigs[aks(cluster.name)] = exec_kubeconfig(config.read_text())
            webhook = token_webhook(_Whose(self, cluster.name), "midwatch")
            self.webhooks[cluster.name], self.asked[cluster.name] = await stack.enter_async_context(webhook)


class _Whose:
    """Whose a token is, as one cluster sees it."""

    def __init__(self, azure: Azure, cluster: str) -> None:
        self._azure = azure
        self._cluster = cluster

    def __call__(self, token: str) -> str | None:
        if self._cluster in self._azure.refusing:
            self._azure.refused[self._cluster] += 1
            return None
        age = time.time() - self._azure.identity.issued.get(token, 0)
        return "midwatch" if age < _TOKEN_SECONDS else None


@contextmanager
def in_azure(midwatch: Midwatch) -> Iterator[Azure]:
    """The fleet's clusters as AKS clusters, until the end of the block."""
    azure, stack = Azure(midwatch.folder), AsyncExitStack()
    clusters = list(midwatch.fleet.clusters.values())
    background.run(azure.start(stack, clusters))
    try:
        for cluster in clusters:
            config = cluster.plane.folder / "webhook.kubeconfig"
            config.write_text(webhook_kubeconfig(azure.webhooks[cluster.name]))
            cluster.plane.token_webhook = config
            cluster.plane.restart_apiserver()
        sources = [
            {"aks": {"id": aks(clusters[0].name)}},
            {"resourceGraph": {"subscriptions": [SUB], "tag": {"a": "b"}}},
        ]
        policy = yaml.safe_load(midwatch.policy.read_text())
        midwatch.policy.write_text(yaml.safe_dump({**policy, "clusters": sources}))
        yield azure
    finally:
        for cluster in clusters:
            cluster.plane.token_webhook = None
            cluster.plane.restart_apiserver()
        background.run(stack.aclose())


def _run(midwatch: Midwatch, azure: Azure) -> Run:
    flags = ("--policy", str(midwatch.policy), "--state", str(midwatch.state), "--output", "json")
    env = {**azure.env, "KUBECONFIG": str(midwatch.folder / "none")}
    done = call("run", *flags, seconds=280, env=env)
    assert done.stdout, done.stderr
    return Run(done.json, done.code)


def test_clusters_by_id_and_tag_are_patched_while_their_tokens_expire(fleet: Fleet) -> None:
    clusters = fleet.create("blue", "green", nodes=3)
    for cluster in clusters:
        cluster.deploy("shop", 4, min_available=3)
        require_reboot(cluster, f"{cluster.name}-0", f"{cluster.name}-1")
    midwatch = Midwatch(fleet, verify={"stableFor": "18s"})
    with in_azure(midwatch) as azure:
        run = _run(midwatch, azure)
        assert run.outcomes == dict.fromkeys(("blue-0", "blue-1", "green-0", "green-1"), "rebooted"), run.data
        for cluster in clusters:
            assert cluster.boots == {f"{cluster.name}-0": 1, f"{cluster.name}-1": 1}
            assert leftovers(cluster) == []
            assert len(set(azure.asked[cluster.name])) > 1, "no token expired, so nothing was proved"


def test_a_cluster_that_refuses_the_tokens_half_way_is_put_in_order_when_it_takes_them_again(fleet: Fleet) -> None:
    blue, green = fleet.create("blue", "green", nodes=2)
    require_reboot(blue, "blue-0")
    require_reboot(green, "green-0")
    midwatch = Midwatch(fleet, verify={"stableFor": "30s"})
    with in_azure(midwatch) as azure, ThreadPoolExecutor() as beside:
        running = beside.submit(_run, midwatch, azure)
        background.until(lambda: green.boots.get("green-0") == 1, "green's reboot", seconds=60)
        azure.refusing.add("green")
        background.until(lambda: azure.refused["green"], "a call that is refused", seconds=120)
        time.sleep(_REFUSES_SECONDS)
        azure.refusing.clear()
        run = running.result(280)
        assert run.clusters["blue"]["outcome"] == "completed"
        assert run.outcomes["green-0"] == "not-ready"
        assert "Unauthorized" in run.reason("green-0")
        assert green.boots == {"green-0": 1}
        assert leftovers(green) == []
