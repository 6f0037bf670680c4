"""What a kubelet writes about its node."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.machines.machine import Machine

_SHUTTING_DOWN = "container runtime is down, node is shutting down"
_QUIET = ("MemoryPressure", "DiskPressure", "PIDPressure")
_OS_IMAGES = {"linux": "Ubuntu 22.04.5 LTS", "windows": "Windows Server 2022 Datacenter"}


@dataclass(frozen=True)
class NodeSpec:
    """A node to be: its place in the cluster as AKS labels it. A zone is like `westeurope-1`; None: no zone."""

    name: str
    pool: str = "nodepool1"
    zone: str | None = "westeurope-1"
    os: str = "linux"
    labels: dict[str, str] = field(default_factory=dict)


def now() -> str:
    """The time with whole seconds, as the API has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_now() -> str:
    """The time with microseconds, as leases have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def lease_spec(name: str) -> JsonObject:
    """A node lease, renewed now."""
    return {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": precise_now()}


class NodeWriter:
    """Builds the bodies of one node; keeps when a condition last changed."""

    def __init__(self, spec: NodeSpec, machine: Machine, number: int) -> None:
        self.spec = spec
        self._machine = machine
        self._address = f"10.240.{number // 250}.{number % 250 + 4}"
        self._since: dict[str, tuple[str, str]] = {}

    def registration(self) -> JsonObject:
        """The node as it is created: Ready at once."""
        labels: JsonObject = {
            "kubernetes.io/hostname": self.spec.name,
            "kubernetes.io/os": self.spec.os,
            "kubernetes.io/arch": "amd64",
            "agentpool": self.spec.pool,
            "kubernetes.azure.com/agentpool": self.spec.pool,
            **({"topology.kubernetes.io/zone": self.spec.zone} if self.spec.zone else {}),
            **self.spec.labels,
        }
        return {"kind": "Node", "metadata": {"name": self.spec.name, "labels": labels}, **self.status(ready=True)}

    def status(self, *, ready: bool) -> JsonObject:
        """The status of now, as the body of a patch."""
        capacity: JsonObject = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
        addresses: list[JsonValue] = [
            {"type": "InternalIP", "address": self._address},
            {"type": "Hostname", "address": self.spec.name},
        ]
        state = ("True", "KubeletReady", "kubelet is posting ready status")
        conditions = [self.condition(kind, "False", "Kubelet", "as it should be") for kind in _QUIET]
        conditions.append(self.condition("Ready", *(state if ready else ("False", "KubeletNotReady", _SHUTTING_DOWN))))
        return {
            "status": {
                "capacity": capacity,
                "allocatable": capacity,
                "addresses": addresses,
                "conditions": conditions,
                "nodeInfo": self._info(),
            }
        }

    def condition(self, kind: str, status: str, reason: str, message: str) -> JsonValue:
        """A condition with a heartbeat of now; its transition time is that of its last change of status."""
        known, since = self._since.get(kind, ("", now()))
        if known != status:
            since = now()
        self._since[kind] = (status, since)
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now(),
            "lastTransitionTime": since,
        }

    def _info(self) -> JsonObject:
        windows = self.spec.os == "windows"
        return {
            "bootID": self._machine.boot_id,
            "kernelVersion": f"10.0.20348.{self._machine.boots + 2000}" if windows else self._machine.kernel,
            "osImage": _OS_IMAGES[self.spec.os],
            "operatingSystem": self.spec.os,
            "architecture": "amd64",
            "machineID": self.spec.name,
            "systemUUID": self.spec.name,
            "containerRuntimeVersion": "containerd://1.7.28",
            "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "",
        }
