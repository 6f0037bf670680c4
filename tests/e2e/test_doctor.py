"""`midwatch doctor` on a real API server: what it finds, what it says to do, and that it changes nothing."""

from __future__ import annotations

import base64
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from midwatch.domain.permissions import PERMISSIONS, Permission, needed_by
from midwatch.domain.policy import Policy
from tests.e2e.midwatch import ROOT, Done, Midwatch, call, hosted, objects
from tests.kit import workloads
from tests.kit.api import MERGE_PATCH
from tests.kit.background import until
from tests.kit.controlplane import kubeconfig
from tests.kit.controlplane.pki import Authority
from tests.kit.kubelet.npd import CONDITION
from tests.kit.proxy import Mode, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ROLES = {
    "": f"{_RBAC}/clusterroles/midwatch",
    "midwatch": f"{_RBAC}/namespaces/midwatch/roles/midwatch",
    "default": f"{_RBAC}/namespaces/default/roles/midwatch-node-events",
}
_NAMESPACE = "/api/v1/namespaces/midwatch"
_LEVEL = "pod-security.kubernetes.io/enforce"
_DELETES: dict[str, object] = {"onTimeout": "delete"}
_HARMLESS = {("selfsubjectreviews", "create"), ("selfsubjectaccessreviews", "create")}


class _Doctor:
    """What `midwatch doctor --output json` said."""

    def __init__(self, done: Done) -> None:
        self.code = done.code
        assert done.stdout, done.stderr
        self.clusters = {str(found["name"]): found for found in objects(done.json["clusters"])}
        self.own = objects(done.json["checks"])
        self.verdict = done.json["verdict"]

    def not_ok(self, cluster: str = "blue") -> dict[str, object]:
        """Verdicts other than ok, by check, and by subject for permissions."""
        checks = objects(self.clusters[cluster]["checks"])
        return {_key(check): check["verdict"] for check in checks if check["verdict"] != "ok"}

    def check(self, key: str, cluster: str = "blue") -> JsonObject:
        """One check."""
        [found] = [check for check in objects(self.clusters[cluster]["checks"]) if _key(check) == key]
        return found


def _key(check: JsonObject) -> str:
    return str(check["subject"] if check["id"] == "permission" else check["id"])


def _examine(midwatch: Midwatch, *args: str, config: Path | None = None) -> _Doctor:
    flags = ["--kubeconfig", str(config or midwatch.kubeconfig), "--policy", str(midwatch.policy)]
    return _Doctor(call("doctor", *flags, "--output", "json", *args))


def _ready(fleet: Fleet, *names: str, nodes: int = 2, **policy: dict[str, object]) -> tuple[list[Cluster], Midwatch]:
    """Clusters with the shipped roles, whose nodes report the condition."""
    clusters = fleet.create(*names, nodes=nodes)
    midwatch = Midwatch(fleet, **policy)
    for cluster in clusters:
        for name in cluster.machines:
            cluster.wait_condition(name, "False")
        _wait_role(cluster)
    return clusters, midwatch


def _wait_role(cluster: Cluster) -> None:
    until(lambda: cluster.plane.api_of("midwatch").answers("/api/v1/nodes"), "the role")


def test_with_the_shipped_roles_all_is_well_and_nothing_is_changed(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", drain=_DELETES)
    found = _examine(midwatch)
    assert (found.code, found.verdict, found.not_ok()) == (0, "ok", {})
    checks = objects(found.clusters["blue"]["checks"])
    assert {c["subject"] for c in checks if c["id"] == "permission"} == {p.text for p in PERMISSIONS}
    assert "midwatch" in str(found.check("identity")["detail"])
    assert found.check("version")["detail"] == "v1.36.3"

    events = cluster.audit_events("midwatch")
    writes = [e for e in events if e.verb not in {"get", "list"} and (e.resource, e.verb) not in _HARMLESS]
    assert [(e.verb, e.resource, e.namespace, e.code) for e in writes] == [("create", "pods", "midwatch", 201)]
    assert "dryRun=All" in writes[0].path
    assert cluster.pods(namespace="midwatch") == []
    assert not cluster.api.answers("/apis/coordination.k8s.io/v1/namespaces/midwatch/leases/midwatch")

    table = call("doctor", "--kubeconfig", str(midwatch.kubeconfig), "--policy", str(midwatch.policy))
    assert table.code == 0
    assert "checked 1 of 1 cluster: blue ok" in table.stderr
    assert "to do:" not in table.stdout


def test_the_one_permission_that_is_taken_away_is_named_each_in_its_turn(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1, drain=_DELETES)
    for wanted in PERMISSIONS:
        taken = [wanted, *(p for p in PERMISSIONS if p.namespace == "" and _same(p, wanted) and p != wanted)]
        with _without(cluster, *taken):
            found = _examine(midwatch)
        denied = {key for key, verdict in found.not_ok().items() if verdict == "failed"}
        pod = {"reboot-pod"} if wanted.text == "create pods in midwatch" else set()
        assert (found.code, denied) == (1, {p.text for p in taken} | pod)
        assert wanted.role in str(found.check(wanted.text)["remedy"])


def test_the_http_api_says_the_same_as_the_command_line(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    with hosted(midwatch) as host:
        good = host.get("doctor")
        assert good["verdict"] == "ok"
        with _labelled(cluster, "baseline"):
            said = host.get("doctor?cluster=blue")
            [command] = _examine(midwatch).clusters.values()
        assert objects(said["clusters"]) == [command]
        code, unknown = host.ask("GET", "doctor?cluster=bule")
        assert (code, "did you mean 'blue'" in str(unknown["detail"])) == (422, True)
        paths = host.get("openapi.json")["paths"]
    assert isinstance(paths, dict)
    assert "/api/doctor" in paths


def test_a_permission_that_the_policy_does_not_need_is_not_asked_for(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    [delete] = [p for p in PERMISSIONS if p not in needed_by(Policy.default())]
    with _without(cluster, delete):
        found = _examine(midwatch)
    assert (found.code, found.not_ok()) == (0, {})


@pytest.mark.parametrize("method", ["signal", "command"])
def test_a_namespace_whose_level_refuses_the_reboot_pod_is_told_with_the_label_to_set(
    fleet: Fleet, method: str
) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1, reboot={"method": method})
    with _labelled(cluster, "baseline"):
        found = _examine(midwatch)
        assert (found.code, found.not_ok()) == (1, {"reboot-pod": "failed"})
        check = found.check("reboot-pod")
        assert 'violates PodSecurity "baseline' in str(check["detail"])
        assert f"{_LEVEL}=privileged" in str(check["remedy"])
    assert cluster.boots == {}


def test_a_namespace_without_a_label_is_told_to_who_may_read_it(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    with _labelled(cluster, None):
        assert _examine(midwatch).not_ok() == {}
        found = _examine(midwatch, config=fleet.kubeconfig("admin"))
        assert (found.code, found.not_ok()) == (0, {"namespace": "warning"})
        assert f"{_LEVEL}=privileged" in str(found.check("namespace")["remedy"])


def test_a_cluster_that_was_never_prepared_says_so(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    cluster.plane.kubectl("delete", "namespace", "midwatch", "--wait=true")
    try:
        found = _examine(midwatch)
        assert (found.not_ok()["namespace"], found.not_ok()["create pods in midwatch"]) == ("unknown", "failed")
        mighty = _examine(midwatch, config=fleet.kubeconfig("admin"))
        assert mighty.not_ok() == {"namespace": "failed", "reboot-pod": "failed"}
        for check in (found.check("namespace"), mighty.check("namespace"), mighty.check("reboot-pod")):
            assert "kubectl apply -k deploy/rbac" in str(check["remedy"])
    finally:
        cluster.plane.apply(ROOT / "deploy" / "rbac")


def test_nodes_whose_condition_is_stale_or_missing_are_named(fleet: Fleet) -> None:
    [cluster] = fleet.create("blue", nodes=3, simulated_npd=False)
    midwatch = Midwatch(fleet)
    now = datetime.now(UTC)
    _confirm(cluster, "blue-0", now)
    _confirm(cluster, "blue-1", now - timedelta(minutes=12))
    found = _examine(midwatch)
    assert (found.code, found.not_ok()["condition"]) == (1, "failed")
    detail = str(found.check("condition")["detail"])
    assert "missing on 1 of 3: blue-2" in detail
    assert "not confirmed for 11m on 1 of 3: blue-1" in detail
    assert "blue-0" not in detail
    assert found.not_ok()["detector"] == "failed"
    assert "deploy/npd" in str(found.check("detector")["remedy"])


def test_the_detectors_daemonset_is_looked_at(fleet: Fleet) -> None:
    [cluster], midwatch = _ready(fleet, "blue")
    path = "/apis/apps/v1/namespaces/midwatch/daemonsets"
    body = workloads.daemon_set("midwatch-npd", workloads.pod_template("midwatch-npd"))
    cluster.api.create(path, body)
    cluster.wait_pods("midwatch-npd", 2)

    def says() -> bool:
        check = _examine(midwatch).check("detector")
        return (check["verdict"], check["detail"]) == ("ok", "2 of 2 pods are ready")

    until(says, "the DaemonSet's status", every=0.5)


@pytest.mark.parametrize(
    ("mode", "stage", "rest"), [(Mode.REFUSE, "network.tcp", "network.tls"), (Mode.BLACK_HOLE, "network.http", "clock")]
)
def test_how_far_a_connection_gets_is_told_and_other_clusters_are_looked_at(
    fleet: Fleet, mode: Mode, stage: str, rest: str
) -> None:
    (blue, green), midwatch = _ready(fleet, "blue", "green", nodes=1)
    with Proxy(blue.plane) as proxy:
        config = midwatch.folder / "kubeconfig"
        kubeconfig.write(config, blue.access("midwatch", server=proxy.server), green.access("midwatch"))
        proxy.set(mode)
        found = _examine(midwatch, config=config)
        proxy.set(Mode.PASS)  # the kit's own connections end
    assert found.code == 1
    assert (found.check(stage)["verdict"], found.check(rest)["verdict"]) == ("failed", "unknown")
    assert found.check(stage)["remedy"]
    assert {c["verdict"] for c in objects(found.clusters["blue"]["checks"]) if c["id"] == "permission"} == {"unknown"}
    assert found.not_ok("green") == {}


def test_a_wrong_authority_is_no_matter_of_the_network(fleet: Fleet, tmp_path: Path) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    Authority.create(tmp_path, "another", bare=False)
    other = base64.b64encode((tmp_path / "ca.crt").read_bytes()).decode()
    config = kubeconfig.write(
        tmp_path / "kubeconfig", cluster.access("midwatch").model_copy(update={"authority": other})
    )
    found = _examine(midwatch, config=config)
    assert found.code == 1
    assert found.check("network.tcp")["verdict"] == "ok"
    check = found.check("network.tls")
    assert (check["verdict"], "does not trust" in str(check["detail"])) == ("failed", True)
    assert "az aks get-credentials" in str(check["remedy"])
    assert [event.path for event in cluster.audit_events("midwatch") if event.verb == "create"] == []


def test_credentials_that_the_server_refuses_are_no_matter_of_permissions(fleet: Fleet, tmp_path: Path) -> None:
    [cluster], midwatch = _ready(fleet, "blue", nodes=1)
    expired = cluster.access("midwatch").model_copy(update={"credentials": {"token": "s3cr3t-expired"}})
    config = kubeconfig.write(tmp_path / "kubeconfig", expired)
    done = call("doctor", "--kubeconfig", str(config), "--policy", str(midwatch.policy), "--output", "json")
    found = _Doctor(done)
    assert (found.code, found.check("identity")["verdict"]) == (1, "failed")
    assert "s3cr3t" not in done.stdout + done.stderr


def _confirm(cluster: Cluster, node: str, when: datetime) -> None:
    stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    condition: JsonObject = {
        "type": CONDITION,
        "status": "False",
        "reason": "NoSentinelSeen",
        "message": "No reboot required",
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }
    cluster.api.patch(f"/api/v1/nodes/{node}/status", {"status": {"conditions": [condition]}})


@contextmanager
def _labelled(cluster: Cluster, level: str | None) -> Iterator[None]:
    """Our namespace with another level, or none."""
    cluster.api.patch(_NAMESPACE, {"metadata": {"labels": {_LEVEL: level}}})
    try:
        yield
    finally:
        cluster.plane.apply(ROOT / "deploy" / "rbac")


def _same(one: Permission, other: Permission) -> bool:
    """Whether they differ in their place alone: what holds in the whole cluster holds in a namespace, too."""
    return (one.group, one.resource, one.verb) == (other.group, other.resource, other.verb)


@contextmanager
def _without(cluster: Cluster, *taken: Permission) -> Iterator[None]:
    """The roles without these verbs; everything else stays."""
    for wanted in taken:
        path = _ROLES[wanted.namespace]
        rules: list[JsonValue] = []
        for rule in objects(cluster.api.get(path)["rules"]):
            same = wanted.group in _texts(rule["apiGroups"]) and wanted.resource in _texts(rule["resources"])
            same = same and _texts(rule.get("resourceNames")) == ([wanted.name] if wanted.name else [])
            verbs: list[JsonValue] = [v for v in _texts(rule["verbs"]) if not (same and v == wanted.verb)]
            rules += [{**rule, "verbs": verbs}] if verbs else []
        cluster.api.patch(path, {"rules": rules}, MERGE_PATCH)
    try:
        for wanted in taken:
            until(partial(_is_gone, cluster, wanted), f"the end of the right to {wanted.text}")
        yield
    finally:
        cluster.plane.apply(ROOT / "deploy" / "rbac")
        for wanted in taken:
            until(lambda: not _is_gone(cluster, wanted), f"the right to {wanted.text}")  # noqa: B023 - called at once


def _is_gone(cluster: Cluster, wanted: Permission) -> bool:
    review: JsonObject = {"spec": {"resourceAttributes": _attributes(wanted)}}
    api = cluster.plane.api_of("midwatch")
    status = api.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).body["status"]
    assert isinstance(status, dict)
    return status["allowed"] is False


def _attributes(wanted: Permission) -> JsonObject:
    resource, _, subresource = wanted.resource.partition("/")
    return {
        "verb": wanted.verb,
        "group": wanted.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": wanted.namespace,
        "name": wanted.name,
    }


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
