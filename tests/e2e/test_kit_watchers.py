"""The kit's control plane, sampler and proxy."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.kit import workloads
from tests.kit.api import Api, ApiError
from tests.kit.background import until
from tests.kit.proxy import Mode, Proxy
from tests.kit.sampler import Sampler
from tests.kit.timeline import What

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet


@pytest.fixture
def cluster(fleet: Fleet) -> Cluster:
    """Three nodes."""
    [made] = fleet.create("blue", nodes=3)
    return made


def test_a_user_may_do_what_its_role_grants_and_the_audit_log_says_so(cluster: Cluster) -> None:
    plane = cluster.plane
    plane.create_role("kit-reader", {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]})
    plane.bind("nobody", "kit-reader")
    nobody = plane.api_of("nobody")
    until(lambda: nobody.answers("/api/v1/nodes"), "the role")
    with pytest.raises(ApiError) as refused:
        nobody.get("/api/v1/nodes/blue-0")
    assert refused.value.code == 403
    last = cluster.audit_events("nobody")[-2:]
    assert [(e.verb, e.resource, e.name, e.code) for e in last] == [
        ("list", "nodes", "", 200),
        ("get", "nodes", "blue-0", 403),
    ]


def test_a_kubeconfig_of_several_clusters_has_a_context_for_each(fleet: Fleet) -> None:
    blue, green = fleet.create("blue", "green", nodes=1)
    content = yaml.safe_load(fleet.kubeconfig("admin").read_text())
    assert [c["name"] for c in content["contexts"]] == ["blue", "green"]
    assert [n.metadata.name for n in green.nodes()] == ["green-0"]
    assert blue.plane.kubectl("get", "nodes", "-o", "name") == "node/blue-0\n"


def test_a_bare_authority_is_refused_in_strict_mode_only(fleet: Fleet) -> None:
    [old] = fleet.create("old", nodes=1, bare_ca=True)
    strict = ssl.create_default_context(cafile=str(old.plane.folder / "ca.crt"))
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(old.plane.server, context=strict, timeout=5)
    assert old.node("old-0").ready


def test_nodes_stay_ready_when_the_api_server_restarts(cluster: Cluster) -> None:
    with Sampler(cluster) as sampler:
        cluster.plane.restart_apiserver()
        cluster.cordon("blue-0")
        until(lambda: sampler.timeline.of("blue-0") == [What.CORDON], "the sampler to be back")
    assert sampler.violations == []


def test_the_sampler_sees_too_many_unavailable_nodes(cluster: Cluster) -> None:
    with Sampler(cluster, max_unavailable=1) as sampler:
        cluster.cordon("blue-0")
        until(lambda: sampler.timeline.of("blue-0") == [What.CORDON], "the first cordon")
        assert sampler.violations == []
        cluster.cordon("blue-1")
        until(lambda: sampler.violations, "the violation")
        cluster.cordon("blue-0", on=False)
        until(lambda: What.UNCORDON in sampler.timeline.of("blue-0"), "the uncordon")
    assert sampler.violations == ["blue budget: 2 nodes unavailable: blue-0, blue-1"]
    assert not sampler.timeline.one_at_a_time()


def test_the_sampler_sees_that_a_humans_cordon_is_removed(cluster: Cluster) -> None:
    cluster.cordon("blue-2")
    with Sampler(cluster, max_unavailable=0) as sampler:
        cluster.cordon("blue-2", on=False)
        until(lambda: sampler.violations, "the violation")
    assert sampler.violations == ["blue human-cordon: blue-2 became schedulable"]


def test_the_sampler_sees_a_budget_that_falls_short(cluster: Cluster) -> None:
    slow = workloads.pod_template("web", annotations={"kit/stop-seconds": "2"})
    cluster.deploy("web", 3, min_available=3, template=slow)
    with Sampler(cluster) as sampler:
        [victim, *_] = cluster.pods("web")
        cluster.api.delete(f"/api/v1/namespaces/default/pods/{victim.metadata.name}")
        until(lambda: sampler.violations, "the violation")
    assert sampler.violations[0].startswith("blue pdb: web has 2 of 3")


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy before the cluster."""
    with Proxy(cluster.plane) as made:
        yield made


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.BLACK_HOLE])
def test_the_proxy_breaks_connections_and_heals(cluster: Cluster, proxy: Proxy, mode: Mode) -> None:
    through = Api(proxy.server, cluster.api.authority, cluster.api.token, timeout_seconds=1)
    assert through.answers("/readyz")
    proxy.set(mode)
    assert not through.answers("/readyz")
    proxy.set(Mode.PASS)
    assert through.answers("/readyz")


_SCRIPT = """
from tests.kit.cluster import Cluster
from tests.kit.controlplane.plane import ControlPlane
from tests.kit.fleet import numbered
plane = ControlPlane("doomed")
plane.start()
cluster = Cluster("doomed", plane)
cluster.add_nodes(numbered("doomed", 2))
print(plane.folder, cluster.folder, flush=True)
input()
"""


def _processes_of(*folders: str) -> list[str]:
    """The processes whose command line or environment names one of the folders."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if any(folder.encode() in text for folder in folders):
            found.append(entry.name)
    return found


def test_a_killed_test_run_leaves_nothing_behind() -> None:
    command = [sys.executable, "-c", _SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        folders = run.stdout.readline().split()
        assert len(_processes_of(*folders)) >= 6, "four servers, two machines"
        run.kill()
        until(lambda: not _processes_of(*folders), "the end of all processes", seconds=10)
    until(lambda: not any(Path(folder).parent.exists() for folder in folders), "the end of all files", seconds=10)
