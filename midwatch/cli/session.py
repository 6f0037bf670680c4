"""A host to talk to: the one that runs on the state directory, or one in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import midwatch
from midwatch.cli.client import ApiClient, RefusedError
from midwatch.config import KUBECONFIG_SETTING, POLICY_SETTING, SCHEDULE_SETTING
from midwatch.domain.errors import UsageError
from midwatch.local import EmbeddedHost, running_host

APP_DIR = Path(midwatch.__file__).resolve().parent.parent
_TIMER_OFF = "AzureWebJobs.schedule.Disabled"
_NEVER = "0 0 0 1 1 *"


@dataclass(frozen=True, slots=True)
class Session:
    """The API, and the host when it is ours."""

    api: ApiClient
    host: EmbeddedHost | None

    def begin_work(self) -> None:
        """Let our host run orchestrations; one that we attached to does so already."""
        if self.host is not None:
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
def open_session(state: Path, *, flags: dict[str, Path | None]) -> Iterator[Session]:
    """Attach to the host of this state directory, or start one here that does no work yet.

    Args:
        state: the state directory.
        flags: setting -> the file that the caller named for it, if any.

    Raises:
        UsageError: the host that runs there was started with another kubeconfig or policy than is asked for.
    """
    running = running_host(state)
    if running is not None:
        for setting, wanted in flags.items():
            theirs = running.extra.get(setting)
            if wanted is not None and str(wanted.resolve()) != theirs:
                text = f"the host at {running.url} runs with {setting}={theirs or '(unset)'}, not {wanted}"
                raise UsageError("other-settings", text)
        yield Session(ApiClient(running.url), None)
        return
    disable_timer()
    host = EmbeddedHost(APP_DIR, state, run_work=False, extra=settings_in_force())
    with host:
        yield Session(ApiClient(host.url), host)


def settings_in_force() -> dict[str, object]:
    """The settings that a later `midwatch run` must agree with."""
    return {name: os.environ.get(name) for name in (KUBECONFIG_SETTING, POLICY_SETTING, SCHEDULE_SETTING)}


def disable_timer() -> None:
    """Only `midwatch up` runs on a schedule. A binding needs an expression all the same."""
    os.environ[_TIMER_OFF] = "true"
    os.environ.setdefault(SCHEDULE_SETTING, _NEVER)
