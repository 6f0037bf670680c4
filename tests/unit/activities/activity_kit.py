"""The real activities on a simulated cluster at scale 0; nothing sleeps, and a look ends when nothing can happen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from activities import activities
from midwatch.domain.base import Json, Message
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.policy import Policy
from midwatch.domain.steps import Checked, Claimed, ClusterStep, Failure, LeaseHeld, NodeStep, RebootStep, ReleaseStep
from midwatch.kube.pool import ClientPool
from midwatch.simulator import Fault, FaultKind, SimulatedCluster, SimulatedFleet
from tests.kit.api import MERGE_PATCH
from tests.kit.objects import Node
from tests.simulator.simulator_kit import api_of

if TYPE_CHECKING:
    from tests.kit.api import JsonObject

RUN = "20261124-030000-abc123"
OTHER = "20261123-030000-dead00"
NODE = "blue-1"
IDLE_SECONDS = 0.01


def policy(**sections: dict[str, object]) -> Policy:
    """The default policy with these sections."""
    return Policy.model_validate({"apiVersion": "midwatch/v1", **sections})


class Bench:
    """One cluster of three nodes, of which `blue-1` asks for a reboot, and the activities of one process on it."""

    def __init__(self, fleet: SimulatedFleet, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder
        [self.cluster] = fleet.create("blue", nodes=3)
        self.cluster.create_namespace("midwatch")
        self.cluster.require_reboot(NODE, "linux-image")
        self.api = api_of(self.cluster, folder)
        self.kubeconfig = fleet.kubeconfig(folder / "kubeconfig", "midwatch")
        self.pool = ClientPool({"KUBECONFIG": str(self.kubeconfig)})
        self.ref = ClusterRef(name="blue", context="blue")
        self._activities = activities(self.pool)
        fleet.quiesce()

    async def call(self, name: str, step: Message) -> Json:
        """What an activity answers, as the orchestration gets it."""
        return await self.answer(name, step.to_wire())

    async def answer(self, name: str, payload: Json) -> Json:
        """The same, from and to JSON."""
        return await self._activities[name](payload)

    async def do[R: Message](self, name: str, step: Message, result: type[R]) -> R:
        """The result of an activity that succeeds."""
        answer = await self.call(name, step)
        assert "error" not in answer, answer
        found = answer["result"]
        assert isinstance(found, dict)
        return result.from_wire(found)

    async def refuse(self, name: str, step: Message) -> Failure:
        """The failure of an activity that does not."""
        return Failure.model_validate((await self.call(name, step))["error"])

    def step(self, node: str = NODE, run: str = RUN, **sections: dict[str, object]) -> NodeStep:
        """A step on a node."""
        return NodeStep(run=run, cluster=self.ref, policy=policy(**sections), node=node)

    def release(self, claimed_by: str = RUN, **fields: object) -> ReleaseStep:
        """The last step on the node."""
        return ReleaseStep.model_validate({**dict(self.step()), "claimed_by": claimed_by, **fields})

    async def take(self, run: str = RUN) -> LeaseHeld:
        """Take the lease."""
        return await self.do("acquire_lease", ClusterStep(run=run, cluster=self.ref), LeaseHeld)

    async def claim(self) -> Claimed:
        """Take the lease, and claim the node."""
        await self.take()
        return await self.do("claim_node", self.step(), Claimed)

    async def cordon(self) -> RebootStep:
        """The same, and cordon it; the step that reboots it."""
        claimed = await self.claim()
        await self.do("cordon_node", self.step(), Checked)
        assert claimed.before is not None
        return RebootStep(**dict(self.step()), before=claimed.before)

    def node(self, name: str = NODE) -> Node:
        """The node as it is."""
        return next(n for n in map(Node.model_validate, self.cluster.objects("v1", "Node")) if n.metadata.name == name)

    def patch_node(self, body: JsonObject, name: str = NODE) -> None:
        """Change the node as an administrator does."""
        self.api.patch(f"/api/v1/nodes/{name}", body, MERGE_PATCH)

    def human_cordons(self) -> None:
        """`kubectl cordon`."""
        self.patch_node({"spec": {"unschedulable": True}})

    def human_uncordons(self) -> None:
        """`kubectl uncordon`."""
        self.patch_node({"spec": {"unschedulable": None}})

    def steal_lease(self) -> None:
        """Somebody else takes the lease."""
        path = "/apis/coordination.k8s.io/v1/namespaces/midwatch/leases/midwatch"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.api.patch(path, {"spec": {"holderIdentity": "other", "renewTime": now}}, MERGE_PATCH)

    def left_claimed(self) -> None:
        """A run that is no more has claimed and cordoned the node."""
        notes: JsonObject = {
            "midwatch.dev/run": OTHER, "midwatch.dev/boot-id": self.cluster.machines[NODE].boot_id,
            "midwatch.dev/was-unschedulable": "false", "midwatch.dev/phase": "drain",
        }  # fmt: skip
        self.patch_node({"metadata": {"annotations": notes}, "spec": {"unschedulable": True}})

    def refuses(self, verb: str, what: str, status: int = 403, times: int | None = None) -> Fault:
        """From now on the API server refuses this to Midwatch."""
        return self.cluster.add_fault(
            Fault(
                FaultKind.ERROR,
                verbs=frozenset({verb}),
                resources=frozenset({what}),
                users=frozenset({"midwatch"}),
                status=status,
                times=times,
            )
        )

    @property
    def reboot_pods(self) -> int:
        """How many there are."""
        return len(self.cluster.objects("v1", "Pod", "midwatch"))

    @property
    def notes(self) -> dict[str, str]:
        """Our annotations on the node, without the prefix."""
        found = self.node().metadata.annotations.items()
        return {key.removeprefix("midwatch.dev/"): value for key, value in found if key.startswith("midwatch.dev/")}


def writes(cluster: SimulatedCluster, verbs: Iterable[str] = ("create", "update", "patch", "delete")) -> int:
    """How many writes Midwatch has asked for so far."""
    return sum(count for (user, verb, _), count in cluster.calls.items() if user == "midwatch" and verb in set(verbs))


async def settle(bench: Bench) -> None:
    """Until nothing is due in the cluster; the event loop stays free."""
    await asyncio.to_thread(bench.fleet.quiesce)
