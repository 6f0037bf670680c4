"""A cluster as tests use it: a control plane, its machines with their kubelets, workloads. All calls block."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kit import background, workloads
from tests.kit.api import MERGE_PATCH
from tests.kit.background import until
from tests.kit.controlplane import kubeconfig
from tests.kit.kubelet import npd
from tests.kit.kubelet.kubelet import Kubelets
from tests.kit.kubelet.node import NodeSpec
from tests.kit.machines.machine import Behaviour, Machine
from tests.kit.objects import Node, Pod

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Iterable

    from tests.kit.api import JsonObject
    from tests.kit.controlplane.audit import AuditEvent
    from tests.kit.controlplane.kubeconfig import Access
    from tests.kit.controlplane.plane import ControlPlane
    from tests.kit.kubelet.npd import NpdSettings

_GROUPS = {
    "apps/v1": ("deployments", "daemonsets", "statefulsets", "replicasets"),
    "batch/v1": ("jobs",),
    "policy/v1": ("poddisruptionbudgets",),
    "coordination.k8s.io/v1": ("leases",),
}
"""What tests leave behind, besides nodes and pods; owners come first."""
_MESSAGE_PREFIX = "Reboot required by: "


class Cluster:
    """A named cluster on a control plane. `machines` by node name."""

    def __init__(self, name: str, plane: ControlPlane) -> None:
        self.name = name
        self.plane = plane
        self.api = plane.api
        self.machines: dict[str, Machine] = {}
        self.folder = background.scratch(name)
        self._audit_start = plane.audit_size
        self._kubelets = background.run(_start_kubelets(plane))
        self._detectors: dict[str, concurrent.futures.Future[None]] = {}

    # -- nodes and machines -------------------------------------------------------------------------------------------

    def add_nodes(self, specs: Iterable[NodeSpec], behaviour: Behaviour | None = None) -> list[Machine]:
        """Boot a machine per specification and wait until all nodes are Ready and free of taints."""
        pairs = [(s, Machine(s.name, self.folder / s.name, behaviour or Behaviour())) for s in specs]
        began = [background.submit(self._kubelets.add(spec, machine)) for spec, machine in pairs]
        for future in began:
            future.result(30)
        self.machines |= {spec.name: machine for spec, machine in pairs}
        names = {spec.name for spec, _ in pairs}
        until(lambda: names <= {n.metadata.name for n in self.nodes() if n.ready and not n.spec.taints}, "Ready nodes")
        return [machine for _, machine in pairs]

    def node(self, name: str) -> Node:
        """A node as it is now."""
        return Node.model_validate(self.api.get(f"/api/v1/nodes/{name}"))

    def nodes(self) -> list[Node]:
        """All nodes as they are now, by name."""
        items = self.api.get("/api/v1/nodes")["items"]
        assert isinstance(items, list)
        return sorted((Node.model_validate(item) for item in items), key=lambda node: node.metadata.name)

    def cordon(self, name: str, *, on: bool = True) -> None:
        """Cordon a node as a human would, or take that back."""
        self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True if on else None}}, MERGE_PATCH)

    @property
    def boots(self) -> dict[str, int]:
        """How often each machine has rebooted, those that never did left out."""
        return {name: machine.boots for name, machine in self.machines.items() if machine.boots}

    # -- the condition ------------------------------------------------------------------------------------------------

    def simulate_npd(self, *names: str, prefix: str = _MESSAGE_PREFIX) -> None:
        """Have the kubelets of these nodes (all when none is named) set `RebootRequired` from the sentinel."""
        for name in names or tuple(self.machines):
            self._detect(name, npd.simulate(self._kubelets, self.machines[name], prefix))

    def start_npd(self, settings: NpdSettings, *names: str, access: Access | None = None) -> None:
        """Run the real node-problem-detector in these machines (all when none is named).

        `access`: its credentials, such as `plane.account_access(...)`; None: those of the user `npd`.
        """
        config = kubeconfig.write(self.folder / "npd.kubeconfig", access or self.plane.access("npd"))
        for name in names or tuple(self.machines):
            self._detect(name, npd.detect(self.machines[name], settings, self.plane.server, config))

    def wait_condition(self, name: str, status: str, *, seconds: float = 20) -> None:
        """Wait until a node's `RebootRequired` has a status."""

        def there() -> bool:
            found = self.node(name).condition(npd.CONDITION)
            return found is not None and found.status == status

        until(there, f"{npd.CONDITION}={status} on {name}", seconds=seconds)

    # -- workloads ----------------------------------------------------------------------------------------------------

    def deploy(
        self, app: str, replicas: int, *, min_available: int | str | None = None, template: JsonObject | None = None
    ) -> None:
        """Create a Deployment in `default`, with a PDB if asked, and wait until its pods are Ready."""
        body = workloads.deployment(app, replicas, template or workloads.pod_template(app))
        self.api.create("/apis/apps/v1/namespaces/default/deployments", body)
        self.wait_pods(app, replicas)
        if min_available is not None:
            self._budget(app, replicas, min_available)

    def deploy_daemons(self, app: str, template: JsonObject | None = None) -> None:
        """Create a DaemonSet in `default` and wait until its pods are Ready."""
        body = workloads.daemon_set(app, template or workloads.pod_template(app))
        self.api.create("/apis/apps/v1/namespaces/default/daemonsets", body)
        self.wait_pods(app, len(self.machines))

    def create_pod(self, body: JsonObject, *, namespace: str = "default") -> str:
        """Create a pod; its name."""
        pod = Pod.model_validate(self.api.create(f"/api/v1/namespaces/{namespace}/pods", body))
        return pod.metadata.name

    def pods(self, app: str | None = None, *, namespace: str | None = None) -> list[Pod]:
        """The pods as they are now: of an app, of a namespace, or all."""
        path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        items = self.api.get(path, **({"labelSelector": f"app={app}"} if app else {}))["items"]
        assert isinstance(items, list)
        return [Pod.model_validate(item) for item in items]

    def pod(self, name: str, *, namespace: str = "default") -> Pod:
        """A pod as it is now."""
        return Pod.model_validate(self.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}"))

    def wait_pods(self, app: str, count: int, *, seconds: float = 30) -> None:
        """Wait until an app has exactly so many pods that are Ready."""
        until(lambda: sum(p.ready for p in self.pods(app)) == count, f"{count} pods of {app}", seconds=seconds)

    def wait_pod(self, name: str, *phases: str, seconds: float = 15) -> Pod:
        """Wait until a pod of `default` has one of these phases; the pod."""
        until(lambda: self.pod(name).status.phase in phases, f"pod {name} {' or '.join(phases)}", seconds=seconds)
        return self.pod(name)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def access(self, user: str, *, server: str | None = None) -> Access:
        """How a user reaches it; the context is the cluster's name."""
        return self.plane.access(user, context=self.name, server=server)

    def audit_events(self, user: str) -> list[AuditEvent]:
        """The requests of a user since this cluster was created, oldest first."""
        return self.plane.audit_events(user, start=self._audit_start)

    def check(self) -> None:
        """Raise what went wrong in the kit's background, if anything did."""
        if self._kubelets.failures:
            raise RuntimeError(f"the kit of {self.name} failed") from self._kubelets.failures[0]

    def close(self) -> None:
        """Stop the machines and kubelets and empty the control plane for the next test."""
        for detector in self._detectors.values():
            detector.cancel()
        background.run(self._kubelets.stop())
        self.plane.ensure_apiserver()
        self._empty()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _budget(self, app: str, replicas: int, min_available: int | str) -> None:
        path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        self.api.create(path, workloads.budget(app, min_available=min_available))

        def counted() -> bool:
            status = self.api.get(f"{path}/{app}")["status"]
            assert isinstance(status, dict)
            return status.get("currentHealthy") == replicas

        until(counted, f"the PDB of {app}")

    def _detect(self, name: str, work: npd.Detection) -> None:
        if name in self._detectors:
            self._detectors[name].cancel()
        self._detectors[name] = background.submit(work)

    def _empty(self) -> None:
        """Delete nodes, pods, their owners, budgets and leases in all namespaces."""
        items = self.api.get("/api/v1/namespaces")["items"]
        assert isinstance(items, list)
        names = [Node.model_validate(item).metadata.name for item in items]
        for group, kinds in _GROUPS.items():
            for kind in kinds:
                for namespace in names:
                    self.api.delete(f"/apis/{group}/namespaces/{namespace}/{kind}")
        for namespace in names:
            self.api.delete(f"/api/v1/namespaces/{namespace}/events")
        self.api.delete("/api/v1/nodes")
        deadline = time.monotonic() + 15
        while left := self.pods():
            if time.monotonic() > deadline:
                raise TimeoutError(f"pods that do not go: {[pod.metadata.name for pod in left]}")
            for namespace in {pod.metadata.namespace for pod in left}:
                self.api.delete(f"/api/v1/namespaces/{namespace}/pods", grace_seconds=0)


def write_kubeconfig(path: Path, user: str, clusters: Iterable[Cluster]) -> Path:
    """One kubeconfig for a user on several clusters; contexts are named after the clusters."""
    return kubeconfig.write(path, *(cluster.access(user) for cluster in clusters))


async def _start_kubelets(plane: ControlPlane) -> Kubelets:
    kubelets = Kubelets(plane.api)
    await kubelets.start()
    return kubelets
