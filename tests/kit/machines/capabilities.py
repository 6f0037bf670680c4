"""The capabilities that a security context leaves a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.kit.objects import SecurityContext

_BY_BIT = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
"""In the order of their bits, as in linux/capability.h."""
_DEFAULT = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL
AUDIT_WRITE
"""
"""What containerd gives a container that says nothing."""


def granted(context: SecurityContext) -> frozenset[str]:
    """The capabilities that a container of this security context may have."""
    everything = frozenset(_BY_BIT.split())
    add, drop = frozenset(context.capabilities.add), frozenset(context.capabilities.drop)
    if context.privileged or "ALL" in add:
        return everything
    base = frozenset[str]() if "ALL" in drop else frozenset(_DEFAULT.split()) - drop
    return base | add


def decode(mask: str) -> frozenset[str]:
    """The names in a mask of `/proc/PID/status`."""
    bits = int(mask, 16)
    return frozenset(name for bit, name in enumerate(_BY_BIT.split()) if bits >> bit & 1)


def limits(context: SecurityContext) -> list[str]:
    """The options of setpriv(1) that leave a process just these."""
    options = [] if context.allow_privilege_escalation or context.privileged else ["--no-new-privs"]
    if context.run_as_user:
        options += [f"--reuid={context.run_as_user}", "--clear-groups"]
    if context.privileged:
        return options
    kept = [f"+{name.lower()}" for name in sorted(granted(context))]
    return [*options, "--bounding-set", ",".join(["-all", *kept])]
