"""`midwatch demo`: a fleet in the box. Three simulated clusters, the host, and one run, in this process alone."""

from __future__ import annotations

from typing import Annotated

import typer

from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.demo_fleet import BLOCKED, POLICY, SPEED, TIMINGS, build_fleet
from midwatch.cli.follow import show
from midwatch.cli.sandbox import Sandbox, gone_at_the_end, open_sandbox
from midwatch.cli.summary import summary_tables, totals
from midwatch.domain.runs import RunView
from midwatch.simulator import SimulatedFleet

Keep = Annotated[bool, typer.Option("--keep", help="Leave it up afterwards, to play with, until Control-C.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Draws boot times, ages and the names of pods.")]


def demo(keep: Keep = False, seed: Seed = 7) -> None:
    """Watch three simulated clusters being patched. Needs nothing, and touches nothing of yours."""
    _say(f"Starting three simulated clusters in this process; their time runs {SPEED} times as fast.")
    _say("Nothing of yours is read or touched: kubeconfig, policy and state are in a temporary folder.")
    with gone_at_the_end(PROGRESS), SimulatedFleet(seed=seed, scale=1 / SPEED, timings=TIMINGS) as fleet:
        build_fleet(fleet, seed)
        with open_sandbox(fleet, POLICY) as sandbox:
            started = sandbox.api.start({"reason": "midwatch demo", "trigger": "cli"})
            view = show(sandbox.api, sandbox.api.view(started.id), PROGRESS)
            nodes = sum(len(cluster.machines) for cluster in fleet.clusters.values())
            _tell(view, nodes)
            if keep:
                _keep_up(sandbox)
    if _failed(view) != {BLOCKED}:
        raise typer.Exit(1)


def _tell(view: RunView, nodes: int) -> None:
    for table in summary_tables(view, RESULT.width):
        RESULT.print(table, "")
    RESULT.print(totals(view, nodes), highlight=False, markup=False)
    if _failed(view) != {BLOCKED}:
        return
    RESULT.print(
        f"That {BLOCKED} ended as drain-failed is part of the story: a PodDisruptionBudget there wants its only pod at "
        "all times. Midwatch neither breaks it nor waits for ever: it gave the node back as it was, and went on. "
        "`midwatch run` would exit with 1.",
        highlight=False,
        markup=False,
    )


def _keep_up(sandbox: Sandbox) -> None:
    """Wait for a Control-C."""
    _say(f"\nThe clusters are still up, and so is the API: {sandbox.host.url}/api/docs")
    for context in ("dev", "staging", "prod"):
        command = f"  kubectl --kubeconfig {sandbox.kubeconfig} --context {context} get nodes"
        PROGRESS.print(command, highlight=False, markup=False, soft_wrap=True)  # whole, so that it can be copied
    _say("Control-C ends it all.")
    try:
        sandbox.host.serve_forever()
    except KeyboardInterrupt:
        _say("The simulated clusters are gone, and nothing runs any more.")


def _failed(view: RunView) -> set[str]:
    return {n.name for c in view.clusters for n in c.nodes if n.outcome is None or n.outcome.failed}


def _say(text: str) -> None:
    PROGRESS.print(text, highlight=False, markup=False, soft_wrap=not PROGRESS.is_terminal)
