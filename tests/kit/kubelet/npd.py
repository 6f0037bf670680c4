"""Who sets the condition `RebootRequired` on a machine's node: the real node-problem-detector, or a quick stand-in."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.kit.controlplane.build import NPD, binaries
from tests.kit.machines.execution import run_in

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from tests.kit.api import JsonObject
    from tests.kit.kubelet.kubelet import Kubelets
    from tests.kit.machines.execution import Execution
    from tests.kit.machines.machine import Machine

_POLL_SECONDS = 0.1
_HEARTBEAT_SECONDS = 2
_RESTART_SECONDS = 0.5
CONDITION = "RebootRequired"

type Detection = Coroutine[object, object, None]


@dataclass(frozen=True)
class NpdSettings:
    """How to run the real node-problem-detector.

    `config` is a custom plugin monitor's configuration; `replace` maps texts in it to others, such as the folder where
    the container has its plugin to where it is here. `interval` is how often the plugin runs, `heartbeat` how often the
    condition is written when nothing changes (Go durations).
    """

    config: Path
    replace: dict[str, str] = field(default_factory=dict)
    interval: str = "1s"
    heartbeat: str = "5s"


async def detect(machine: Machine, settings: NpdSettings, server: str, kubeconfig: Path) -> None:
    """Run node-problem-detector in a machine, again after each boot. Cancel it to end it."""
    config = _configure(machine, settings)
    while True:
        await machine.up.wait()
        await machine.booted.wait()
        command = [
            str(binaries()[NPD]),
            f"--apiserver-override={server}?inClusterConfig=false&auth={kubeconfig}",
            f"--config.custom-plugin-monitor={config}",
            f"--k8s-exporter-heartbeat-period={settings.heartbeat}",
            "--port=0",
            "--prometheus-port=0",
        ]
        execution = await run_in(machine, "npd", command, env={"NODE_NAME": machine.name})
        await _serve(execution)
        await asyncio.sleep(_RESTART_SECONDS)


async def _serve(execution: Execution) -> None:
    try:
        await execution.wait()
    finally:
        await execution.stop(0)


def _configure(machine: Machine, settings: NpdSettings) -> Path:
    text = settings.config.read_text()
    for old, new in settings.replace.items():
        text = text.replace(old, new)
    content: JsonObject = json.loads(text)
    plugin = content.setdefault("pluginConfig", {})
    assert isinstance(plugin, dict)
    plugin["invoke_interval"] = settings.interval
    path = machine.folder / "npd.json"
    path.write_text(json.dumps(content))
    return path


async def simulate(kubelets: Kubelets, machine: Machine, prefix: str) -> None:
    """Set the condition from the sentinel: at once on a change, at each boot, and every 2 s as a heartbeat.

    The message is `prefix` and the packages, sorted. Cancel it to end it.
    """
    said: tuple[str, ...] = ()
    quiet = 0.0
    while True:
        await machine.up.wait()
        await machine.booted.wait()
        status, message = _look(machine, prefix)
        if (machine.boot_id, status, message) != said or quiet > _HEARTBEAT_SECONDS:
            said, quiet = (machine.boot_id, status, message), 0.0
            reason = CONDITION if status == "True" else f"No{CONDITION}"
            await kubelets.post_condition(machine.name, CONDITION, status, reason, message)
        await asyncio.sleep(_POLL_SECONDS)
        quiet += _POLL_SECONDS


def _look(machine: Machine, prefix: str) -> tuple[str, str]:
    if not (machine.run_folder / "reboot-required").exists():
        return "False", "No reboot required"
    names = machine.run_folder / "reboot-required.pkgs"
    packages = sorted(set(names.read_text().split())) if names.exists() else []
    return "True", f"{prefix}{', '.join(packages)}" if packages else "Reboot required"
