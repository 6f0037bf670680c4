"""`midwatch simulate`: a policy tried on a copy of a cluster, which itself is only read."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from midwatch.cli import options
from midwatch.cli.consoles import PROGRESS, RESULT
from midwatch.cli.directory import policy_in_force
from midwatch.cli.options import Output
from midwatch.cli.prediction import Assumptions, Prediction, Timeline, predict, prediction_lines, prediction_table
from midwatch.cli.sandbox import Sandbox, gone_at_the_end, open_sandbox
from midwatch.cli.tables import to_json
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.durations import parse_duration
from midwatch.domain.errors import UsageError
from midwatch.domain.policy import Policy
from midwatch.domain.runs import RunStatus, RunView
from midwatch.kube.pool import ClientPool
from midwatch.kube.snapshots import Snapshot, load_snapshot, save_snapshot, take_snapshot
from midwatch.local import FastClock
from midwatch.simulator import Behaviour, SimulatedFleet, Timings

_NAME = "copy"
"""Of the simulated cluster; a context's name may be longer than a certificate allows."""
_EVERY_SECONDS = 0.05

Like = Annotated[str | None, typer.Option("--like", metavar="CONTEXT", help="Copy this cluster; it is only read.")]
SnapshotFile = Annotated[
    Path | None, typer.Option("--snapshot", metavar="FILE", help="Save the copy here; without --like, load it.")
]
BootTime = Annotated[str, typer.Option("--boot-time", metavar="TIME", help="Assumed: how long a machine is down.")]
StopTime = Annotated[str, typer.Option("--pod-stop-time", metavar="TIME", help="Assumed; never longer than its grace.")]
StartTime = Annotated[str, typer.Option("--pod-start-time", metavar="TIME", help="Assumed: until a new pod is Ready.")]
DetectorTime = Annotated[
    str, typer.Option("--detector-time", metavar="TIME", help="Assumed: until a booted node says that it is done.")
]
Speed = Annotated[float, typer.Option("--speed", min=1, max=200, help="Simulated seconds in a real one.")]


def simulate(
    like: Like = None,
    snapshot: SnapshotFile = None,
    boot_time: BootTime = "2m",
    pod_stop_time: StopTime = "10s",
    pod_start_time: StartTime = "15s",
    detector_time: DetectorTime = "30s",
    speed: Speed = 20,
    kubeconfig: options.Kubeconfig = None,
    policy: options.PolicyFile = None,
    output: options.OutputFormat = Output.TABLE,
) -> None:
    """Try a policy on a simulated copy of a cluster, and predict what a run would do. The cluster is only read."""
    assumed = Assumptions(
        boot_seconds=_seconds("--boot-time", boot_time),
        pod_stop_seconds=_seconds("--pod-stop-time", pod_stop_time),
        pod_start_seconds=_seconds("--pod-start-time", pod_start_time),
        detector_seconds=_seconds("--detector-time", detector_time),
        speed=speed,
    )
    options.apply_settings(kubeconfig, policy)
    rules = policy_in_force()
    copied = _copy(like, snapshot)
    with gone_at_the_end(PROGRESS):
        prediction = _run(copied, rules, assumed)
    if output is Output.JSON:
        typer.echo(to_json(prediction))
    else:
        RESULT.print(prediction_table(prediction), "")
        for line in prediction_lines(prediction):
            RESULT.print(line, highlight=False, markup=False)
    if prediction.failed:
        raise typer.Exit(1)


def _seconds(flag: str, text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise UsageError("bad-duration", f"{flag}: {error}") from error


def _copy(like: str | None, file: Path | None) -> Snapshot:
    if like is None and file is None:
        raise UsageError("nothing-to-simulate", "name a cluster with --like, or a saved copy of one with --snapshot")
    if like is None:
        assert file is not None
        return load_snapshot(file)
    copied = asyncio.run(_take(like))
    if file is not None:
        save_snapshot(copied, file)
        _say(f"the copy of {like} is in {file}")
    return copied


async def _take(context: str) -> Snapshot:
    pool = ClientPool(os.environ)
    try:
        return await take_snapshot(await pool.client(ClusterRef(name=context, context=context)), context)
    finally:
        await pool.close()


def _run(copied: Snapshot, rules: Policy, assumed: Assumptions) -> Prediction:
    """Run the policy on the copy, with the host's clock as fast as that of the copy."""
    _say(f"simulating {copied.cluster}: {len(copied.nodes)} nodes, {len(copied.pods)} pods, at {assumed.speed:g} times")
    timings = Timings(
        pod_start=assumed.pod_start_seconds,
        pod_stop=assumed.pod_stop_seconds,
        detector=assumed.detector_seconds,
    )
    clock = FastClock(assumed.speed)
    with SimulatedFleet(scale=1 / assumed.speed, timings=timings) as fleet:
        [cluster] = fleet.create(_NAME, nodes=[])
        cluster.create_namespace("midwatch")
        cluster.copy(copied.documents, taken_at=copied.taken_at, behaviour=Behaviour(boot_seconds=assumed.boot_seconds))
        with open_sandbox(fleet, rules.model_dump(mode="json", by_alias=True), clock=clock) as sandbox:
            timeline = Timeline()
            view = _follow(sandbox, clock, timeline)
    head = Prediction(
        cluster=copied.cluster,
        taken_at=copied.taken_at,
        outcome=None,
        error=None,
        duration_seconds=0,
        nodes=(),
        blocking=(),
        assumptions=assumed,
        notes=_notes(assumed),
    )
    return predict(view, timeline, head)


def _follow(sandbox: Sandbox, clock: FastClock, timeline: Timeline) -> RunView:
    """The run, once it has ended; on the way it says which nodes have."""
    view = sandbox.api.view(sandbox.api.start({"reason": "midwatch simulate", "trigger": "cli"}).id)
    told: set[str] = set()
    while True:
        timeline.look(view, clock.now())
        for node in view.clusters[0].nodes:
            if node.ended_at is not None and node.name not in told:
                told.add(node.name)
                _say(f"{node.name} {node.outcome}")
        if view.status is RunStatus.ENDED:
            return view
        time.sleep(_EVERY_SECONDS)
        view = sandbox.api.view(view.id)


def _notes(assumed: Assumptions) -> tuple[str, ...]:
    return (
        f"Midwatch itself is not simulated: it ran {assumed.speed:g} times as fast, so its own work, and its patience "
        f"with one look, count {assumed.speed:g}-fold. Expect some 20 seconds more or less for each node; a lower "
        "--speed is more exact.",
        "Every boot succeeds and takes as long. The scheduler of the copy knows taints, node selectors and 110 pods a "
        "node, no requests and no affinity; nothing brings back the pods of controllers other than Deployments, "
        "ReplicaSets, StatefulSets and DaemonSets.",
    )


def _say(text: str) -> None:
    PROGRESS.print(text, highlight=False, markup=False, soft_wrap=True)
