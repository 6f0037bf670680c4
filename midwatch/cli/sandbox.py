"""Midwatch on simulated clusters, in this process and a temporary folder: nothing of the user's is read or written."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import yaml
from rich.console import Console

from midwatch.cli import session
from midwatch.cli.client import ApiClient
from midwatch.cli.options import apply_settings
from midwatch.config import KUBECONFIG_SETTING, POLICY_SETTING
from midwatch.domain.base import Json
from midwatch.local import Clock, EmbeddedHost
from midwatch.simulator import SimulatedFleet

_GRACE_SECONDS = 1.0
"""What runs at the end works on clusters that end with it: there is nothing to wait for."""
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A host that works on simulated clusters. `kubeconfig` leads to them, and to nothing else."""

    api: ApiClient
    host: EmbeddedHost
    kubeconfig: Path


@contextmanager
def gone_at_the_end(progress: Console) -> Iterator[None]:
    """After a Control-C: end what is inside, whatever is pressed meanwhile, and then say how things are."""
    before = {ending: signal.getsignal(ending) for ending in _ENDINGS}
    for ending in _ENDINGS:
        if before[ending] is not signal.SIG_IGN:  # a shell's background job goes on
            signal.signal(ending, _interrupt_once)
    interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True  # the process ends next, and says with which code itself
        said = "Interrupted. The simulated clusters are gone, nothing runs any more, and nothing of yours was touched."
        progress.print(said, highlight=False, markup=False, soft_wrap=not progress.is_terminal)
        raise
    finally:
        for ending, handler in before.items() if not interrupted else ():
            signal.signal(ending, handler)


def _interrupt_once(_signal: int, _frame: FrameType | None) -> None:
    """The second one would break off the end of what the first one ends."""
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def open_sandbox(fleet: SimulatedFleet, policy: Json, *, clock: Clock | None = None) -> Iterator[Sandbox]:
    """Run the host on these clusters for as long as the context is open; its folder goes with it.

    Args:
        fleet: the clusters, all of them started.
        policy: what the policy file says, without `clusters`.
        clock: of the host; the machine's by default.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="midwatch-")))
        file = folder / "policy.yaml"
        listed = [{"kubeconfig": {"context": name}} for name in fleet.clusters]
        file.write_text(yaml.safe_dump({**policy, "clusters": listed}))
        kubeconfig = fleet.kubeconfig(folder / "kubeconfig")
        stack.enter_context(_settings(kubeconfig, file))
        app = session.APP_DIR
        host = EmbeddedHost(app, folder / "state", clock=clock, grace_seconds=_GRACE_SECONDS)
        stack.enter_context(host)
        yield Sandbox(ApiClient(host.url), host, kubeconfig)


@contextmanager
def _settings(kubeconfig: Path, policy: Path) -> Iterator[None]:
    """The function app reads its settings from the environment: ours for now, the user's again afterwards."""
    before = {name: os.environ.get(name) for name in (KUBECONFIG_SETTING, POLICY_SETTING)}
    apply_settings(kubeconfig, str(policy))
    session.disable_timer()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
