"""Really runs a container's command in a machine's namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.kit.background import DIE_WITH_PARENT
from tests.kit.machines.capabilities import decode, limits
from tests.kit.objects import SecurityContext

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.machines.machine import Machine
    from tests.kit.objects import Container

_MARK = "--- output ---"
_STATUS_FIRST = f'cat /proc/$$/status; echo "{_MARK}"; exec "$@"'
"""The process says what it may do, then becomes the container's command."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Execution:
    """One run of a command in a machine. `exit_code` is None until it ends, and 128 + N after signal N."""

    pod: str
    command: list[str]
    boot_id: str
    log: Path
    process: asyncio.subprocess.Process
    exit_code: int | None = None

    async def wait(self) -> int:
        """Wait for its end; the exit code."""
        code = await self.process.wait()
        self.exit_code = code if code >= 0 else 128 - code
        return self.exit_code

    async def stop(self, grace_seconds: float) -> None:
        """TERM, and KILL after the grace. The group's id is that of nsenter, which stays outside of the namespaces."""
        if self.process.returncode is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), grace_seconds)
        if self.process.returncode is None:
            self._signal(signal.SIGKILL)
        await self.wait()

    @property
    def output(self) -> str:
        """What the command wrote."""
        return self.log.read_text(errors="replace").partition(f"{_MARK}\n")[2]

    @property
    def effective(self) -> frozenset[str]:
        """The capabilities that it had."""
        return decode(self._said("CapEff"))

    @property
    def bounding(self) -> frozenset[str]:
        """The capabilities that it could ever have had."""
        return decode(self._said("CapBnd"))

    @property
    def no_new_privileges(self) -> bool:
        """Whether it could gain none."""
        return self._said("NoNewPrivs") == "1"

    def _said(self, key: str) -> str:
        head = self.log.read_text(errors="replace").partition(_MARK)[0]
        return next((line.split()[1] for line in head.splitlines() if line.startswith(f"{key}:")), "0")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def execute(machine: Machine, pod: str, container: Container) -> Execution:
    """Run a container's command as its security context allows; the machine remembers it."""
    env = {variable.name: variable.value for variable in container.env}
    execution = await run_in(
        machine, pod, [*container.command, *container.args], env=env, context=container.security_context
    )
    machine.executions.append(execution)
    return execution


async def run_in(
    machine: Machine, name: str, command: list[str], *, env: dict[str, str], context: SecurityContext | None = None
) -> Execution:
    """Run a command in the machine's namespaces, as its root, with an environment of its own."""
    log = machine.folder / "logs" / f"{name.replace('/', '_')}-{time.monotonic_ns()}.log"
    enter = ["nsenter", "-t", str(machine.init_pid), "-U", "-p", "-m", "--preserve-credentials", "--"]
    limited = ["setpriv", *limits(context or SecurityContext(privileged=True)), "--"]
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *DIE_WITH_PARENT,
            *enter,
            *limited,
            *("/bin/sh", "-c", _STATUS_FIRST, "sh", *command),
            env={"PATH": _PATH, "HOSTNAME": machine.name, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return Execution(name, command, machine.boot_id, log, process)
