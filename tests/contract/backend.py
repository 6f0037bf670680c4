"""The two clusters that the contract is about: a simulated one, and one with a real control plane."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from midwatch.simulator import Behaviour, SimulatedFleet, Timings, read_rules
from tests.kit import background, workloads
from tests.kit.api import Answer, Api, JsonObject
from tests.kit.background import until
from tests.kit.fleet import Fleet
from tests.kit.objects import Budget, Node, Pod

if TYPE_CHECKING:
    from tests.kit.cluster import Cluster

_NODES = 3
_SCALE = 0.1
_numbers = itertools.count()


class Backend(ABC):
    """A cluster with three nodes. All tests share it, each in a namespace of its own.

    Attributes:
        notes: the prefix of the annotations that tell a pod how to behave.
    """

    api: Api
    notes: str

    @property
    def nodes(self) -> list[str]:
        """The names of its nodes."""
        items = self.api.get("/api/v1/nodes")["items"]
        assert isinstance(items, list)
        return sorted(Node.model_validate(item).metadata.name for item in items)

    @abstractmethod
    def api_as(self, user: str) -> Api:
        """A client of a user: `nobody` may do nothing."""

    @abstractmethod
    def grant(self, space: str, user: str, *rules: JsonObject) -> None:
        """Let a user who may do nothing else (`npd`) do this in a namespace."""

    @abstractmethod
    def boots(self, node: str) -> int:
        """How often a node's machine has rebooted."""

    @abstractmethod
    def require_reboot(self, node: str) -> None:
        """Leave the sentinel on a machine."""

    @abstractmethod
    def compact(self) -> None:
        """Make the API server forget its history."""

    @abstractmethod
    def close(self) -> None:
        """Stop it."""

    # -- what tests need often ----------------------------------------------------------------------------------------

    def new_space(self) -> str:
        """A new namespace, ready for pods."""
        name = f"contract-{next(_numbers)}"
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        until(lambda: self.api.answers(f"/api/v1/namespaces/{name}/serviceaccounts/default"), "a service account")
        return name

    def template(self, app: str = "x", **notes: str) -> JsonObject:
        """A pod template; the notes are annotations (`stop_seconds`, `run_seconds`, `never_ready`, `bad_image`)."""
        asked = {self.notes + name.replace("_", "-"): value for name, value in notes.items()}
        template = workloads.pod_template(app, annotations=asked)
        spec = template["spec"]
        assert isinstance(spec, dict)
        return {**template, "spec": {**spec, "terminationGracePeriodSeconds": 20}}

    def run_pod(self, space: str, name: str, app: str = "x", *, phase: str = "Running", **notes: str) -> Pod:
        """Create a bare pod on the first node and wait for a phase."""
        return self.run_on(self.nodes[0], space, name, app, phase=phase, **notes)

    def run_on(self, node: str, space: str, name: str, app: str = "x", *, phase: str = "Running", **notes: str) -> Pod:
        """The same, on a node."""
        body = workloads.bare_pod(name, node, self.template(app, **notes))
        self.api.create(f"/api/v1/namespaces/{space}/pods", body)
        until(lambda: self.pod(space, name).status.phase == phase, f"pod {name} {phase}")
        if phase == "Running" and "never_ready" not in notes:
            until(lambda: self.pod(space, name).ready, f"pod {name} Ready")
        return self.pod(space, name)

    def pod(self, space: str, name: str) -> Pod:
        """A pod as it is now."""
        return Pod.model_validate(self.api.get(f"/api/v1/namespaces/{space}/pods/{name}"))

    def pods(self, space: str) -> list[Pod]:
        """The pods of a namespace."""
        items = self.api.get(f"/api/v1/namespaces/{space}/pods")["items"]
        assert isinstance(items, list)
        return [Pod.model_validate(item) for item in items]

    def exists(self, path: str) -> bool:
        """Whether there is an object."""
        return self.api.ask("GET", path).code == 200

    def deploy(self, space: str, replicas: int) -> None:
        """Create a Deployment of the app `x` and wait until its pods are Ready."""
        path = f"/apis/apps/v1/namespaces/{space}/deployments"
        self.api.create(path, workloads.deployment("x", replicas, self.template()))
        until(
            lambda: sum(p.ready for p in self.pods(space) if p.metadata.owner_references) == replicas, "the pods of x"
        )

    def protect(self, space: str, name: str, *, healthy: int, **spec: int | str) -> None:
        """Create a PDB over the pods of the app `x` and wait until so many of them are counted healthy."""
        body: JsonObject = {
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, **spec},
        }
        path = f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets"
        self.api.create(path, body)

        def counted() -> bool:
            found = self.api.get(f"{path}/{name}")
            status = found.get("status")
            seen = isinstance(status, dict) and status.get("observedGeneration") == 1
            return seen and Budget.model_validate(found).status.current_healthy == healthy

        until(counted, f"the PDB {name}")

    def budget(self, space: str, name: str) -> Budget:
        """A PDB as it is now."""
        return Budget.model_validate(self.api.get(f"/apis/policy/v1/namespaces/{space}/poddisruptionbudgets/{name}"))

    def evict(
        self, space: str, name: str, *, uid: str | None = None, dry_run: bool = False, grace: int | None = None
    ) -> Answer:
        """Ask for an eviction."""
        options: JsonObject = {"preconditions": {"uid": uid}} if uid else {}
        if dry_run:
            options["dryRun"] = ["All"]
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        body: JsonObject = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": space},
            "deleteOptions": options,
        }
        return self.api.ask("POST", f"/api/v1/namespaces/{space}/pods/{name}/eviction", body)


class Simulated(Backend):
    """A simulated cluster, ten times as fast as a real one."""

    notes = "simulator.midwatch.dev/"

    def __init__(self) -> None:
        self._fleet = SimulatedFleet(scale=_SCALE, timings=Timings(pod_start=0.3, pod_stop=0.3))
        [self.cluster] = self._fleet.create("contract", nodes=_NODES, behaviour=Behaviour(boot_seconds=6))
        self._ca = background.scratch("simulated") / "ca.crt"
        self._ca.write_text(self.cluster.ca)
        self.cluster.restrict("nobody", ())
        self.api = self.api_as("admin")

    def api_as(self, user: str) -> Api:
        """A client of a user."""
        return Api(self.cluster.server, self._ca, self.cluster.token(user))

    def grant(self, space: str, user: str, *rules: JsonObject) -> None:
        """Through the simulator."""
        self.cluster.restrict(user, read_rules([{"metadata": {"namespace": space}, "rules": [*rules]}]))

    def boots(self, node: str) -> int:
        """Counted by the simulated machine."""
        return self.cluster.machines[node].boots

    def require_reboot(self, node: str) -> None:
        """Through the simulator."""
        self.cluster.require_reboot(node, "linux-image")

    def compact(self) -> None:
        """Through the simulator."""
        self.cluster.forget_history()

    def close(self) -> None:
        """Stop it; what went wrong inside is raised."""
        try:
            self._fleet.check()
        finally:
            self._fleet.close()


class Real(Backend):
    """A cluster of the test kit."""

    notes = "kit/"

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.cluster: Cluster
        [self.cluster] = fleet.create("contract", nodes=_NODES)
        self.api = self.cluster.api

    def api_as(self, user: str) -> Api:
        """A client of a user."""
        return self.cluster.plane.api_of(user)

    def grant(self, space: str, user: str, *rules: JsonObject) -> None:
        """By a Role and a RoleBinding."""
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}"
        self.api.create(f"{path}/roles", {"metadata": {"name": user}, "rules": [*rules]})
        body: JsonObject = {
            "metadata": {"name": user},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        }
        self.api.create(f"{path}/rolebindings", body)

    def boots(self, node: str) -> int:
        """Counted by the stand-in machine."""
        return self.cluster.machines[node].boots

    def require_reboot(self, node: str) -> None:
        """Through the kit."""
        self.cluster.machines[node].require_reboot(["linux-image"])

    def compact(self) -> None:
        """Through etcd, and by a new start of the API server, which remembers more than etcd does."""
        self.cluster.plane.compact()
        self.cluster.plane.restart_apiserver()

    def close(self) -> None:
        """Empty it."""
        self.fleet.close()
