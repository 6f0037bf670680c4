"""What the command of a host-PID pod does to its machine: read from the pod alone, as a kubelet would see it.

Understood is a guard by boot ID, the signal 39 (SIGRTMIN+5) to PID 1, and `systemctl reboot` in the machine's mount
namespace; nothing is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from midwatch.simulator.documents import JsonObject, objects, part, text, texts, value

_GUARD = re.compile(
    r"""\[ "\$\(cat /proc/sys/kernel/random/boot_id\)" = "\$\{?(?P<name>\w+)\}?" \] \|\| exit (?P<code>\d+)"""
)
_SIGNAL = re.compile(r"\bkill (-39|-(SIG)?RTMIN\+5|-s (39|(SIG)?RTMIN\+5)) 1\b")
_SYSTEMCTL = re.compile(r"\bnsenter\b.*\bsystemctl reboot\b")
_NOT_PERMITTED = 1
_NOT_UNDERSTOOD = 64


@dataclass(frozen=True)
class Effect:
    """What comes of a command: its exit code, and whether the machine is told to reboot."""

    exit_code: int
    reboots: bool = False


def effect_of(pod: JsonObject, boot_id: str) -> Effect | None:
    """The effect of a pod's first container on a machine; None for a pod that does nothing to it.

    Args:
        pod: as it is stored.
        boot_id: of the machine as it is now.
    """
    containers = objects(pod, "spec", "containers")
    if value(pod, "spec", "hostPID") is not True or not containers:
        return None
    script = " ".join([*texts(containers[0], "command"), *texts(containers[0], "args")])
    if not script:
        return None
    guard = _GUARD.search(script)
    if guard is not None and _variable(containers[0], guard["name"]) != boot_id:
        return Effect(int(guard["code"]))
    rest = script[guard.end() :] if guard is not None else script
    if guard is None and "boot_id" in script:
        return Effect(_NOT_UNDERSTOOD)
    return _act(containers[0], rest)


def _act(container: JsonObject, script: str) -> Effect | None:
    if _SYSTEMCTL.search(script):
        return Effect(0, reboots=True) if _is_privileged(container) else Effect(_NOT_PERMITTED)
    if _SIGNAL.search(script):
        return Effect(0, reboots=True) if _may_kill(container) else Effect(_NOT_PERMITTED)
    ends = re.search(r"\bexit (\d+)\s*$", script)
    return Effect(int(ends[1])) if ends is not None else None


def _variable(container: JsonObject, name: str) -> str:
    return next((text(v, "value") for v in objects(container, "env") if v.get("name") == name), "")


def _is_privileged(container: JsonObject) -> bool:
    return part(container, "securityContext").get("privileged") is True


def _may_kill(container: JsonObject) -> bool:
    """CAP_KILL is among the capabilities that a container has when nothing is said."""
    if _is_privileged(container):
        return True
    added = set(texts(container, "securityContext", "capabilities", "add"))
    dropped = set(texts(container, "securityContext", "capabilities", "drop"))
    return bool(added & {"KILL", "ALL"}) or not dropped & {"KILL", "ALL"}
