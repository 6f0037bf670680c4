"""The flags that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from midwatch.config import KUBECONFIG_SETTING, POLICY_SETTING, is_url
from midwatch.domain.errors import UsageError
from midwatch.kube.kubeconfig import Kubeconfig as KubeconfigFiles
from midwatch.telemetry.settings import OUTBOX_SETTING, TraceSettings

SERVE_PORT = 7071
"""Where `midwatch up` serves: the port of `func start`, so that URLs carry over."""


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


Contexts = Annotated[list[str] | None, typer.Option("--context", metavar="NAME", help="A cluster; may be repeated.")]
Nodes = Annotated[list[str] | None, typer.Option("--node", metavar="NAME", help="Only this node; may be repeated.")]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", metavar="FILE", help="Instead of KUBECONFIG and the usual file.")
]
PolicyFile = Annotated[
    str | None, typer.Option("--policy", metavar="FILE", help="The policy file, or the https URL of a blob.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and touch nothing.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; shown with the run.")]
Explain = Annotated[
    str | None, typer.Option("--explain", metavar="NODE", help="Show the pods of this node, and what would block them.")
]
OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="How to print the result.")]
State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State directory.", show_default="~/.local/state/midwatch"),
]
RunId = Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run; the latest when left out.")]


def state_dir(given: Path | None) -> Path:
    """The state directory: as given, else by the XDG convention."""
    if given is not None:
        if not given.name:  # "" and "." are both the current folder
            raise UsageError("no-state", "--state names no folder of its own")
        return given
    base = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "state") / "midwatch"


def current_context() -> str:
    """The current context of the kubeconfig, which kubectl would take.

    Raises:
        UsageError: `no-clusters`, there is none.
    """
    current = KubeconfigFiles.load(None, os.environ).current_context
    if not current:
        raise UsageError("no-clusters", "no cluster: name one with --context, or set a current context")
    return current


def apply_settings(kubeconfig: Path | None, policy: str | None) -> None:
    """Hand the flags to the function app, which reads its settings from the environment.

    Raises:
        UsageError: a file that is named does not exist.
    """
    files = [] if kubeconfig is None else [(kubeconfig, KUBECONFIG_SETTING, "kubeconfig-not-found")]
    if policy is not None and is_url(policy):
        os.environ[POLICY_SETTING] = policy
    elif policy is not None:
        files.append((Path(policy), POLICY_SETTING, "policy-not-found"))
    for path, setting, code in files:
        if not path.is_file():
            raise UsageError(code, f"there is no file {path}")
        os.environ[setting] = str(path.absolute())
    for setting in (KUBECONFIG_SETTING, POLICY_SETTING):  # absolute: another process may have to find them, too
        value = os.environ.get(setting, "")
        if is_url(value):
            continue
        parts = [part for part in value.split(os.pathsep) if part]
        if parts:
            os.environ[setting] = os.pathsep.join(str(Path(part).absolute()) for part in parts)
        else:
            os.environ.pop(setting, None)


def apply_traces(state: Path) -> None:
    """Check where traces go, and have them wait in the state directory.

    Raises:
        UsageError: `bad-setting`.
    """
    TraceSettings.read(os.environ)
    os.environ.setdefault(OUTBOX_SETTING, str((state / "traces").absolute()))
