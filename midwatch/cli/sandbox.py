"""Midwatch on simulated clusters, in this process and a temporary folder: nothing of the user's is read or written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from midwatch.cli import session
from midwatch.cli.client import ApiClient
from midwatch.cli.options import apply_settings
from midwatch.config import KUBECONFIG_SETTING, POLICY_SETTING
from midwatch.domain.base import Json
from midwatch.local import Clock, EmbeddedHost
from midwatch.simulator import SimulatedFleet

_GRACE_SECONDS = 1.0
"""What runs at the end works on clusters that end with it: there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A host that works on simulated clusters. `kubeconfig` leads to them, and to nothing else."""

    api: ApiClient
    host: EmbeddedHost
    kubeconfig: Path


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
    apply_settings(kubeconfig, policy)
    session.disable_timer()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
