"""The life of one pod on a machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.kit.api import STRATEGIC_PATCH
from tests.kit.kubelet.node import now
from tests.kit.machines.execution import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.kubelet.client import KubeletClient
    from tests.kit.machines.execution import Execution
    from tests.kit.machines.machine import Machine
    from tests.kit.objects import Pod

STOP_SECONDS = "kit/stop-seconds"
"""How long the pod takes to end (0.3 when not said), never longer than its grace."""
RUN_SECONDS = "kit/run-seconds"
"""The pod succeeds after that long; without it, it runs on."""
NEVER_READY = "kit/never-ready"
"""The pod runs, and is never Ready."""
BAD_IMAGE = "kit/bad-image"
"""The pod's image cannot be pulled."""
_START_SECONDS = 0.15
_STOP_SECONDS = 0.3
_BACK_OFF_SECONDS = 2
_DIED_WITH_MACHINE = 255
"""What containerd reports of a container that it finds dead after a boot (reason `Unknown`)."""
_FINISHED = ("Succeeded", "Failed")

type Done = Callable[[asyncio.Task[None]], None]


class PodRunner:
    """Starts a pod, runs it through reboots of its machine, and ends it. Only host-PID pods run a real command."""

    def __init__(
        self,
        client: KubeletClient,
        machine: Machine,
        pod: Pod,
        address: str,
        done: Done,
    ) -> None:
        self._client = client
        self._machine = machine
        self._address = address
        self._path = f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"
        self._restarts = 0
        self._started = now()
        self._execution: Execution | None = None
        self._work: asyncio.Task[None] | None = None
        self._ending = False
        self._done = done
        self._phase = pod.status.phase
        self.pod = pod

    def update(self, pod: Pod) -> None:
        """Take the pod as it is now; a deletion ends it."""
        self.pod = pod
        self._phase = pod.status.phase if pod.status.phase in _FINISHED else self._phase
        if pod.metadata.deletion_timestamp is not None and not self._ending:
            self._ending = True
            self._switch(self._end())

    def start(self) -> None:
        """Start it, unless it has finished."""
        if not self._ending and self._phase not in _FINISHED:
            self._switch(self._run())

    def machine_down(self) -> None:
        """Its processes are gone. Nothing is reported: nobody is there who could."""
        if not self._ending:
            self.cancel()

    def machine_up(self) -> None:
        """Start it again as its restart policy says."""
        if self._ending or self._phase in _FINISHED:
            return
        if self.pod.spec.restart_policy == "Never" and self._phase == "Running":
            self._switch(self._report_end(_DIED_WITH_MACHINE))
            return
        self._restarts += self._phase == "Running"
        self.start()

    def cancel(self) -> None:
        """Stop caring for it."""
        if self._work is not None:
            self._work.cancel()

    def _switch(self, work: Coroutine[object, object, None]) -> None:
        self.cancel()
        self._work = asyncio.create_task(work)
        self._work.add_done_callback(self._done)

    # -- the steps ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        await self._machine.up.wait()
        await asyncio.sleep(_START_SECONDS)
        notes, spec = self.pod.metadata.annotations, self.pod.spec
        if BAD_IMAGE in notes:
            await self._report("Pending", {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
            return
        command = spec.host_pid and bool(spec.containers[0].command)
        await self._report_running(ready=NEVER_READY not in notes and not command)
        if command:
            await self._execute()
        elif RUN_SECONDS in notes:
            await asyncio.sleep(float(notes[RUN_SECONDS]))
            await self._report_end(0)

    async def _execute(self) -> None:
        name = f"{self.pod.metadata.namespace}/{self.pod.metadata.name}"
        while True:
            self._execution = await execute(self._machine, name, self.pod.spec.containers[0])
            if NEVER_READY not in self.pod.metadata.annotations:
                await self._report_running(ready=True)
            code = await self._execution.wait()
            # A process that is killed without our doing dies with its machine, whose end is noticed a moment later.
            if code == 128 + 9:
                await asyncio.sleep(1)
            policy = self.pod.spec.restart_policy
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                await self._report_end(code)
                return
            self._restarts += 1
            await self._report("Running", {"waiting": {"reason": "CrashLoopBackOff", "message": f"exit code {code}"}})
            await asyncio.sleep(_BACK_OFF_SECONDS)

    async def _end(self) -> None:
        meta = self.pod.metadata
        grace = meta.deletion_grace_period_seconds or 0
        asked = float(meta.annotations.get(STOP_SECONDS, _STOP_SECONDS))
        if self._execution is not None:
            await self._execution.stop(grace)
        else:
            await asyncio.sleep(min(asked, grace))
        await self._machine.up.wait()
        options: JsonObject = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta.uid}}
        await self._client.call("DELETE", self._path, options)

    # -- what the API server hears ------------------------------------------------------------------------------------

    async def _report_running(self, *, ready: bool) -> None:
        await self._report("Running", {"running": {"startedAt": now()}}, ready=ready)

    async def _report_end(self, code: int) -> None:
        reason = "Completed" if code == 0 else "Unknown" if code == _DIED_WITH_MACHINE else "Error"
        state: JsonObject = {"terminated": {"exitCode": code, "reason": reason, "finishedAt": now()}}
        await self._report("Failed" if code else "Succeeded", state)

    async def _report(self, phase: str, state: JsonObject, *, ready: bool = False) -> None:
        answer = "True" if ready else "False"
        parts = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": answer, "Ready": answer}
        conditions: list[JsonValue] = [
            {"type": kind, "status": status, "lastTransitionTime": now()} for kind, status in parts.items()
        ]
        containers: list[JsonValue] = [
            {
                "name": container.name,
                "ready": ready,
                "started": "running" in state,
                "restartCount": self._restarts,
                "image": container.image,
                "imageID": "",
                "state": state,
            }
            for container in self.pod.spec.containers
        ]
        status: JsonObject = {
            "phase": phase,
            "startTime": self._started,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": conditions,
            "containerStatuses": containers,
        }
        await self._client.call("PATCH", f"{self._path}/status", {"status": status}, STRATEGIC_PATCH)
        self._phase = phase
