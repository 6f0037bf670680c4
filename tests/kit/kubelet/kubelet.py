"""The kubelets of one cluster, in the background loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.kit.api import STRATEGIC_PATCH
from tests.kit.kubelet.client import KubeletClient
from tests.kit.kubelet.node import NodeWriter, lease_spec
from tests.kit.kubelet.pods import PodRunner
from tests.kit.objects import Pod

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.kit.api import Api
    from tests.kit.kubelet.client import Change
    from tests.kit.kubelet.node import NodeSpec
    from tests.kit.machines.machine import Machine

_LEASE_SECONDS = 4
_STATUS_EVERY = 2
"""Every second lease renewal comes with a status."""


class Kubelets:
    """Serves a set of machines as nodes of one cluster. All methods run in the background loop."""

    def __init__(self, api: Api) -> None:
        self._client = KubeletClient(api)
        self._machines: dict[str, Machine] = {}
        self._writers: dict[str, NodeWriter] = {}
        self._runners: dict[str, PodRunner] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pods_seen = 0
        self.failures: list[BaseException] = []
        """What went wrong in the background; empty in a good run."""

    async def start(self) -> None:
        """Begin to serve pods."""
        self._spawn(self._follow_pods())

    async def add(self, spec: NodeSpec, machine: Machine) -> None:
        """Boot a machine and register its node; returns when it is Ready."""
        self._machines[spec.name] = machine
        self._writers[spec.name] = NodeWriter(spec, machine, len(self._machines))
        self._spawn(machine.live(lambda: self._came_up(machine), lambda: self._went_down(machine)))
        while spec.name in self._machines and not machine.booted.is_set():
            if self.failures:
                raise RuntimeError("a machine failed") from self.failures[0]
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Stop all machines and pods without a word to the API server."""
        for runner in self._runners.values():
            runner.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def post_condition(self, node: str, kind: str, status: str, reason: str, message: str) -> None:
        """Set a condition of a node, with a heartbeat of now."""
        condition = self._writers[node].condition(kind, status, reason, message)
        path = f"/api/v1/nodes/{node}/status"
        await self._client.call("PATCH", path, {"status": {"conditions": [condition]}}, STRATEGIC_PATCH)

    # -- nodes --------------------------------------------------------------------------------------------------------

    async def _came_up(self, machine: Machine) -> None:
        writer = self._writers[machine.name]
        if not machine.booted.is_set():
            await self._client.call("POST", "/api/v1/nodes", writer.registration())
            await self._client.renew_lease(machine.name, lease_spec(machine.name))
            self._spawn(self._beat(machine, writer))
        else:
            await self._post_status(machine, ready=True)
        machine.booted.set()
        for runner in self._runners_of(machine):
            runner.machine_up()

    async def _went_down(self, machine: Machine) -> None:
        for runner in self._runners_of(machine):
            runner.machine_down()
        if machine.behaviour.clean:
            await self._post_status(machine, ready=False)
        if machine.behaviour.deleted_while_down:
            await self._client.call("DELETE", f"/api/v1/nodes/{machine.name}")

    async def _post_status(self, machine: Machine, *, ready: bool) -> None:
        body = self._writers[machine.name].status(ready=ready)
        await self._client.call("PATCH", f"/api/v1/nodes/{machine.name}/status", body, STRATEGIC_PATCH)

    async def _beat(self, machine: Machine, writer: NodeWriter) -> None:
        """Renew the lease and post the status while the machine is up."""
        count = 0
        while True:
            await asyncio.sleep(_LEASE_SECONDS)
            if not machine.up.is_set():
                continue
            count += 1
            await self._client.renew_lease(writer.spec.name, lease_spec(writer.spec.name))
            if count % _STATUS_EVERY == 0 and machine.up.is_set():
                await self._post_status(machine, ready=True)

    # -- pods ---------------------------------------------------------------------------------------------------------

    async def _follow_pods(self) -> None:
        async for change in self._client.watch("/api/v1/pods"):
            self._take(change)

    def _take(self, change: Change) -> None:
        if change.type == "LISTED":
            for uid in self._runners.keys() - change.uids:
                self._runners.pop(uid).cancel()
            return
        pod = Pod.model_validate(change.object)
        uid, machine = pod.metadata.uid, self._machines.get(pod.spec.node_name)
        if change.type == "DELETED":
            if runner := self._runners.pop(uid, None):
                runner.cancel()
        elif machine is not None:
            if uid not in self._runners:
                self._pods_seen += 1
                address = f"10.244.{self._pods_seen // 250 % 250}.{self._pods_seen % 250 + 1}"
                self._runners[uid] = PodRunner(self._client, machine, pod, address, self._done)
                self._runners[uid].start()
            self._runners[uid].update(pod)

    def _runners_of(self, machine: Machine) -> list[PodRunner]:
        return [runner for runner in self._runners.values() if runner.pod.spec.node_name == machine.name]

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._done)
        self._tasks.append(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)
