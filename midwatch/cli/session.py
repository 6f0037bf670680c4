"""A host to talk to: the one that runs on the state directory, or one in this process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import midwatch
from midwatch.cli import options
from midwatch.cli.client import ApiClient, RefusedError
from midwatch.cli.directory import policy_in_force
from midwatch.config import KUBECONFIG_SETTING, POLICY_SETTING, SCHEDULE_SETTING
from midwatch.domain.errors import UsageError
from midwatch.local import EmbeddedHost, HostInfo, StateInUseError, running_host

APP_DIR = Path(midwatch.__file__).resolve().parent.parent
_TIMER_OFF = "AzureWebJobs.schedule.Disabled"
_NEVER = "0 0 0 1 1 *"
_SETTINGS = "settings.json"
_LOOK_SECONDS = 30.0
"""A host that only answers a `midwatch status` is gone long before."""
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Session:
    """The API, and the host when it is ours. `kubeconfig` is whether the caller named one."""

    api: ApiClient
    host: EmbeddedHost | None
    state: Path
    kubeconfig: bool

    def begin_work(self) -> None:
        """Let our host run orchestrations; one that we attached to does so already.

        What was left unfinished goes on with the kubeconfig that it began with.

        Raises:
            UsageError: `other-settings`, `KUBECONFIG` names another one, and no flag says that this is meant.
        """
        if self.host is None:
            return
        path = self.state / _SETTINGS
        if not self.host.has_unfinished:
            path.write_text(json.dumps({KUBECONFIG_SETTING: os.environ.get(KUBECONFIG_SETTING)}))
        elif not self.kubeconfig and path.exists():
            adopt(json.loads(path.read_text()), f"what was left unfinished in {self.state}", KUBECONFIG_SETTING)
        self.host.resume_work()

    def refuse_unfinished(self) -> None:
        """Refuse while a run of an earlier process waits to be finished in this state directory.

        Raises:
            RefusedError: there is one; nothing was resumed.
        """
        live = [run for run in self.api.page().runs if run.ended_at is None]
        if self.host is not None and live:
            text = f"run {live[0].id} was left unfinished: `midwatch status --resume` finishes it"
            raise RefusedError("run-in-progress", text)


@contextmanager
def open_session(state: Path, *, kubeconfig: Path | None) -> Iterator[Session]:
    """Attach to the host of this state directory, or start one here that does no work yet.

    Attached, we go by the host's kubeconfig and policy.

    Args:
        state: the state directory.
        kubeconfig: the file that the caller named, if any.

    Raises:
        UsageError: the host that runs there was started with another kubeconfig or policy than are in force here.
    """
    found = _host_of(state)
    if isinstance(found, HostInfo):
        adopt(found.extra, f"the host at {found.url} runs", KUBECONFIG_SETTING, POLICY_SETTING)
        yield Session(ApiClient(found.url), None, state, kubeconfig is not None)
        return
    try:
        yield Session(ApiClient(found.url), found, state, kubeconfig is not None)
    finally:
        found.stop()


@contextmanager
def open_checked(kubeconfig: Path | None, policy: str | None, state: Path | None) -> Iterator[Session]:
    """The same, from the flags of a command that starts something: the policy is read first, so that it can be refused.

    Raises:
        UsageError: a file or the policy is wrong, or as `open_session`.
    """
    options.apply_settings(kubeconfig, policy)
    policy_in_force()
    with open_session(options.state_dir(state), kubeconfig=kubeconfig) as opened:
        yield opened


def _host_of(state: Path) -> HostInfo | EmbeddedHost:
    """The host that works on this state directory, or one that we have started there.

    Raises:
        HostError: the state directory cannot be used, or another command keeps holding it.
        UsageError: a setting of the traces is wrong.
    """
    deadline = time.monotonic() + _LOOK_SECONDS
    while True:
        running = _working_host(state, deadline)
        if running is not None:
            return running
        disable_timer()
        options.apply_traces(state)
        host = EmbeddedHost(APP_DIR, state, run_work=False, extra=settings_in_force())
        try:
            host.start()
        except StateInUseError:  # another command was quicker
            if time.monotonic() > deadline:
                raise
        else:
            return host


def _working_host(state: Path, deadline: float) -> HostInfo | None:
    """The host of this state directory, None where there is none. One that does no work is waited out."""
    while True:
        running = running_host(state)
        if running is None or running.working or time.monotonic() > deadline:
            return running
        time.sleep(_POLL_SECONDS)


def adopt(theirs: Mapping[str, object], who: str, *names: str) -> None:
    """Go by the settings of another process where we have none of our own.

    Raises:
        UsageError: `other-settings`, we have other ones.
    """
    for name in names:
        mine, other = os.environ.get(name), theirs.get(name)
        if mine is None:
            if isinstance(other, str):
                os.environ[name] = other
        elif mine != other:
            raise UsageError("other-settings", f"{who} with {name}={other or '(unset)'}, not {mine}")


def settings_in_force() -> dict[str, object]:
    """The settings that a later `midwatch run` must agree with."""
    return {name: os.environ.get(name) for name in (KUBECONFIG_SETTING, POLICY_SETTING, SCHEDULE_SETTING)}


def disable_timer() -> None:
    """Only `midwatch up` runs on a schedule. A binding needs an expression all the same."""
    os.environ[_TIMER_OFF] = "true"
    os.environ.setdefault(SCHEDULE_SETTING, _NEVER)
