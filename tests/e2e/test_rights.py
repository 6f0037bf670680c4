"""What Midwatch may do, and does: its role against the audit log, and the rights of its reboot pod."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from midwatch.domain.policy import RebootMethod
from midwatch.kube.reboot_pods import WRONG_BOOT, reboot_pod
from tests.e2e.midwatch import Midwatch, call, leftovers, objects, require_reboot
from tests.e2e.test_drain_volumes import attached, forget, keeper
from tests.kit.api import ApiError
from tests.kit.background import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.cluster import Cluster
    from tests.kit.controlplane.audit import AuditEvent
    from tests.kit.fleet import Fleet

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ROLES = {
    "": f"{_RBAC}/clusterroles/midwatch",
    "midwatch": f"{_RBAC}/namespaces/midwatch/roles/midwatch",
    "default": f"{_RBAC}/namespaces/default/roles/midwatch-node-events",
}
"""The roles of `deploy/rbac`, by the namespace in which they hold."""
_LONGER_THAN_A_LOOK_SECONDS = 12.0
_ALL_OF_LINUX = 41
"""Capabilities of the kernel."""


@dataclass(frozen=True)
class _Grant:
    """One verb on one resource. `namespace` is empty for the whole cluster, `name` where any name will do."""

    namespace: str
    group: str
    resource: str
    verb: str
    name: str

    def covers(self, event: AuditEvent) -> bool:
        """Whether it allows a request."""
        resource = "/".join(filter(None, (event.resource, event.subresource)))
        same = (self.group, self.resource, self.verb) == (event.group, resource, event.verb)
        return same and self.namespace in {"", event.namespace} and self.name in {"", event.name}


def test_every_granted_verb_is_used_and_no_other(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3)
    cluster.machines["blue-0"].behave(ignores_reboot=True)
    cluster.machines["blue-1"].behave(boot_seconds=_LONGER_THAN_A_LOOK_SECONDS)
    cluster.deploy_daemons("agent")
    cluster.deploy("shop", 6, min_available=5)
    keeper(cluster, "kept", "blue-1")
    cluster.deploy("greedy", 3, min_available=3)
    require_reboot(cluster, "blue-0", "blue-1")
    drain: dict[str, object] = {"timeout": "30s", "onTimeout": "delete", "misconfiguredTimeout": "2s"}
    midwatch = Midwatch(fleet, nodes={"maxUnavailable": 2}, drain=drain)
    assert call("survey", *midwatch.flags[:4]).code == 0
    with attached(cluster, "kept", node="blue-1"):
        assert midwatch.patch().outcomes == {"blue-0": "reboot-failed", "blue-1": "rebooted"}
    forget(cluster, "kept")

    events = [e for e in cluster.audit_events("midwatch") if not e.path.startswith("/version")]
    grants = list(_grants(cluster))
    assert {e.code for e in events} & {401, 403} == set()
    assert [e for e in events if not any(grant.covers(e) for grant in grants)] == []
    assert [grant for grant in grants if not any(grant.covers(e) for e in events)] == []


def test_the_credentials_of_a_run_allow_nothing_else(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    Midwatch(fleet)
    api = cluster.plane.api_of("midwatch")
    until(lambda: api.answers("/api/v1/nodes"), "the role")
    for path in ("/api/v1/secrets", "/api/v1/namespaces", "/apis/apps/v1/deployments"):
        with pytest.raises(ApiError, match=r"^403"):
            api.get(path)


@pytest.mark.parametrize(
    ("method", "capabilities", "confined"), [("signal", 1, True), ("command", _ALL_OF_LINUX, False)]
)
def test_the_reboot_pod_runs_with_the_capabilities_that_it_declares(
    fleet: Fleet, method: str, capabilities: int, confined: bool
) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    require_reboot(cluster, "blue-0")
    run = Midwatch(fleet, reboot={"method": method}).patch()
    assert run.outcomes == {"blue-0": "rebooted"}
    [execution] = cluster.machines["blue-0"].executions
    assert execution.effective == execution.bounding
    assert len(execution.effective) == capabilities
    assert "KILL" in execution.effective
    assert execution.no_new_privileges is confined
    assert leftovers(cluster) == []


@pytest.mark.parametrize("method", list(RebootMethod))
def test_a_reboot_pod_that_was_made_for_another_boot_does_nothing(fleet: Fleet, method: RebootMethod) -> None:
    [cluster] = fleet.create("blue", nodes=1)
    Midwatch(fleet)
    pod = _as_sent(reboot_pod("a-run", "blue-0", "another-boot-id", method, "an-image"))
    name = cluster.create_pod(pod, namespace="midwatch")
    until(lambda: cluster.pod(name, namespace="midwatch").exit_code is not None, "the pod's end")
    assert cluster.pod(name, namespace="midwatch").exit_code == WRONG_BOOT
    assert cluster.machines["blue-0"].signals == 0
    assert cluster.boots == {}


def _grants(cluster: Cluster) -> Iterator[_Grant]:
    for namespace, path in _ROLES.items():
        for rule in objects(cluster.api.get(path)["rules"]):
            for group in _texts(rule["apiGroups"]):
                for resource in _texts(rule["resources"]):
                    for verb in _texts(rule["verbs"]):
                        for name in _texts(rule.get("resourceNames")) or [""]:
                            yield _Grant(namespace, group, resource, verb, name)


def _texts(value: JsonValue) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _as_sent(pod: object) -> JsonObject:
    assert isinstance(pod, dict)
    return pod
