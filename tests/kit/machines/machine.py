"""One stand-in machine: its boots, its sentinel, and how it fails when told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from tests.kit.background import DIE_WITH_PARENT

if TYPE_CHECKING:
    from tests.kit.machines.execution import Execution

_INIT = Path(__file__).with_name("init.sh")
_NAMESPACES = ["unshare", "--user", "--map-root-user", "--pid", "--mount", "--fork", "--kill-child=KILL", "sh"]
_COMMANDS = {
    "systemctl": '#!/bin/sh\n[ "$1" = reboot ] && kill -39 1\n',
    "busybox": '#!/bin/sh\nexec "$@"\n',
}
"""The machine's own programs, laid over those of the host."""
_REBOOTED = 39
"""Exit code of init after signal 39."""
_FIRST_KERNEL = 1064

type Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Behaviour:
    """How a machine takes a reboot. The defaults are a machine that works."""

    boot_seconds: float = 2.0
    """How long it is down."""
    ignores_reboot: bool = False
    """It gets the signal and does nothing."""
    returns: bool = True
    """False: it goes down and stays so."""
    clean: bool = True
    """False: the kubelet does not say NotReady, its heartbeats just stop."""
    deleted_while_down: bool = False
    """The node object is deleted, and the machine does not come back."""
    keeps_sentinel: bool = False
    """`/var/run/reboot-required` is there again after the boot."""


class BehaviourChange(TypedDict, total=False):
    """The fields of `Behaviour`."""

    boot_seconds: float
    ignores_reboot: bool
    returns: bool
    clean: bool
    deleted_while_down: bool
    keeps_sentinel: bool


@dataclass
class Machine:
    """A machine. `boots` counts its reboots; `kernel` and `boot_id` are those of the present boot."""

    name: str
    folder: Path
    behaviour: Behaviour = Behaviour()
    boots: int = 0
    boot_id: str = ""
    init_pid: int = 0
    executions: list[Execution] = field(default_factory=list)
    """What pods have really run here, oldest first."""
    up: asyncio.Event = field(default_factory=asyncio.Event)
    booted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once its node is registered."""
    _cut_off: bool = False
    """Its power was cut: the exit code of its init means nothing."""

    def __post_init__(self) -> None:
        for part in ("bin", "run", "logs"):
            (self.folder / part).mkdir(parents=True)
        for name, text in _COMMANDS.items():
            program = self.folder / "bin" / name
            program.write_text(text)
            program.chmod(0o755)

    @property
    def kernel(self) -> str:
        """The kernel's version: another one after each boot."""
        return f"5.15.0-{_FIRST_KERNEL + self.boots}-azure"

    @property
    def run_folder(self) -> Path:
        """What the machine sees as `/var/run`."""
        return self.folder / "run"

    @property
    def signals(self) -> int:
        """How often its init got signal 39, also where it was ignored."""
        log = self.folder / "signals"
        return len(log.read_text().splitlines()) if log.exists() else 0

    # -- what tests tell it -------------------------------------------------------------------------------------------

    def require_reboot(self, packages: list[str] | None = None) -> None:
        """Leave the sentinel as Ubuntu does; without packages as Azure Linux does: no `.pkgs` file."""
        if packages:
            (self.run_folder / "reboot-required.pkgs").write_text("".join(f"{name}\n" for name in packages))
        (self.run_folder / "reboot-required").write_text("*** System restart required ***\n")

    def behave(self, **change: Unpack[BehaviourChange]) -> None:
        """Change how it takes the next reboot."""
        self.behaviour = replace(self.behaviour, **change)
        ignore = self.folder / "ignore"
        if self.behaviour.ignores_reboot:
            ignore.touch()
        else:
            ignore.unlink(missing_ok=True)

    def power_off(self) -> None:
        """End it at once, as a power cut; it boots again as its behaviour says. Best with `clean=False`."""
        self._cut_off = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.init_pid, signal.SIGKILL)

    # -- its life, in the background loop -----------------------------------------------------------------------------

    async def live(self, came_up: Hook, went_down: Hook) -> None:
        """Boot, run until a reboot, and so on, until it does not return or is cancelled."""
        while True:
            process = await self._boot()
            try:
                self.up.set()
                await came_up()
                await process.wait()
            finally:
                self.up.clear()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            cut_off, self._cut_off = self._cut_off, False
            code = process.returncode or 0
            if code > 0 and code != _REBOOTED and not cut_off:
                raise RuntimeError(f"init of {self.name} failed with {process.returncode}, see {self.folder}/init.log")
            await went_down()
            if not self.behaviour.returns or self.behaviour.deleted_while_down:
                return
            await asyncio.sleep(self.behaviour.boot_seconds)
            self._shut_down()

    async def _boot(self) -> asyncio.subprocess.Process:
        self.boot_id = str(uuid.uuid4())
        (self.folder / "boot_id").write_text(self.boot_id + "\n")
        with (self.folder / "init.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *DIE_WITH_PARENT,
                *_NAMESPACES,
                str(_INIT),
                env={"PATH": os.environ["PATH"], "KIT": str(self.folder)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdout is not None
        line = await process.stdout.readline()
        if not line:
            text = (self.folder / "init.log").read_text()
            raise RuntimeError(f"{self.name} does not boot (are user namespaces allowed here?): {text}")
        self.init_pid = int(line)
        return process

    def _shut_down(self) -> None:
        """What a boot changes: the count, and `/var/run` is empty."""
        self.boots += 1
        kept = self.behaviour.keeps_sentinel
        for entry in self.run_folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif not (kept and entry.name.startswith("reboot-required")):
                entry.unlink()
