"""Recorded histories of whole runs, and their replay. `make histories` records them anew.

A run that is under way when a new version is deployed goes on from its history: the new code is replayed over it, and
has to ask for the same things in the same order. Record anew only for a change that is meant to break that, and say so
in the change log: what runs then has to end before the deployment.
"""

from __future__ import annotations

import gzip
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.worker import TaskHubGrpcWorker
from google.protobuf import json_format  # type: ignore[import-untyped]  # publishes no types

from midwatch.domain.by_hand import HandAction, HandRequest
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.draining import Drained
from midwatch.domain.runs import FleetRequest, Trigger
from midwatch.domain.steps import Abandoned, Released, Seen
from orchestrators import ORCHESTRATORS
from tests.unit.orchestrators.orchestration_kit import BACK, CLUSTER, RUN, Stage, always, in_turn, policy, surveyed

FOLDER = Path(__file__).with_name("histories")
_MOST_PER_ORCHESTRATOR = 2
"""Of one run: the first and the last execution; those between tell nothing new."""

type Action = tuple[int, str, str]


@dataclass(frozen=True)
class Recorded:
    """The last turn of one execution of one instance: all events before it, and what the orchestrator asked for."""

    orchestrator: str
    request: dict[str, object]
    actions: list[Action]


def replay(recorded: Recorded) -> list[Action]:
    """What today's code asks for, given the recorded history; a `failed` action when it cannot follow it."""
    answers = _Answers()
    worker = TaskHubGrpcWorker(emit_trace_spans=False, logger=logging.Logger("quiet", logging.CRITICAL))
    for orchestrator in ORCHESTRATORS:
        worker.add_orchestrator(orchestrator)  # type: ignore[arg-type]  # it knows Task[Any]
    worker._execute_orchestrator(json_format.ParseDict(recorded.request, pb.OrchestratorRequest()), answers, "")
    return _actions(answers.turns[0])


def load() -> dict[str, list[Recorded]]:
    """The recorded histories, by the name of the run."""
    return {path.name.split(".")[0]: _read(path) for path in sorted(FOLDER.glob("*.json.gz"))}


def _read(path: Path) -> list[Recorded]:
    return [
        Recorded(one["orchestrator"], one["request"], [(n, kind, name) for n, kind, name in one["actions"]])
        for one in json.loads(gzip.decompress(path.read_bytes()))
    ]


def _actions(response: pb.OrchestratorResponse) -> list[Action]:
    return sorted(_action(action) for action in response.actions)


def _action(action: pb.OrchestratorAction) -> Action:
    kind = str(action.WhichOneof("orchestratorActionType"))
    if kind == "completeOrchestration":
        status = pb.OrchestrationStatus.Name(action.completeOrchestration.orchestrationStatus)
        return action.id, kind, status.removeprefix("ORCHESTRATION_STATUS_").lower()
    return action.id, kind, str(getattr(getattr(action, kind), "name", ""))


class _Answers:
    def __init__(self) -> None:
        self.turns: list[pb.OrchestratorResponse] = []

    def CompleteOrchestratorTask(self, answer: pb.OrchestratorResponse) -> None:  # noqa: N802 - the protocol's name
        self.turns.append(answer)


# -- recording --------------------------------------------------------------------------------------------------------


def _fleet(stage: Stage, *names: str) -> None:
    request = FleetRequest(
        run=RUN,
        trigger=Trigger.CLI,
        requested_by=None,
        reason=None,
        dry_run=False,
        clusters=tuple(ClusterRef(name=name, context=name) for name in names),
        policy=policy(drain={"timeout": "30m"}, nodes={"maxUnavailable": 2}, failure={"maxFailedNodes": 0}),
    )
    stage.run("patch_fleet", RUN, request)


def _patched(stage: Stage) -> None:
    """Two clusters of three nodes; one takes its time."""
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    stage.on("look_for_boot", in_turn(Seen(), Seen(), BACK))
    _fleet(stage, "kind-a", "kind-b")


def _hard(stage: Stage) -> None:
    """What a dead run left is put back, a drain and a boot take many rounds, a node fails, and the run halts."""
    left = surveyed("n1", "n2").model_copy(update={"abandoned": (Abandoned(name="n9", run="dead"),)})
    stage.on("survey_cluster", in_turn(left, surveyed("n1", "n2", "n3", "n4")))
    stage.on("drain_pass", in_turn(*[Drained()] * 25, Drained(done=True)))
    stage.on("release_node", in_turn(Released(), RuntimeError("no answer"), Released(left=("the reboot pod",))))
    stage.on("look_for_boot", always(Seen(boot_id="boot-1")))
    _fleet(stage, "kind-a")


def _cancelled(stage: Stage) -> None:
    """A cancel in mid-drain."""
    stage.on("survey_cluster", always(surveyed("n1", "n2", "n3")))
    stage.on("drain_pass", always(Drained()))
    stage.cancel_at("drain_pass", RUN, nth=4)
    _fleet(stage, "kind-a")


def _by_hand(stage: Stage) -> None:
    """A drain by hand."""
    _hand(stage, "drain_by_hand", HandAction.DRAIN)


def _uncordoned(stage: Stage) -> None:
    """An uncordon by hand."""
    _hand(stage, "uncordon_by_hand", HandAction.UNCORDON)


def _hand(stage: Stage, orchestrator: str, action: HandAction) -> None:
    request = HandRequest(id=RUN, action=action, cluster=CLUSTER, node="n1", policy=policy())
    stage.run(orchestrator, f"hand:{RUN}", request)


RUNS: dict[str, Callable[[Stage], None]] = {
    "patched": _patched, "hard": _hard, "cancelled": _cancelled, "by-hand": _by_hand, "uncordoned": _uncordoned,
}  # fmt: skip


def record(name: str) -> list[Recorded]:
    """Have a run happen now, and take its histories."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        try:
            RUNS[name](stage)
            return list(_last_turns(stage))
        finally:
            stage.close()


def _last_turns(stage: Stage) -> Iterator[Recorded]:
    last = {(request.instanceId, request.executionId.value): (request, answer) for request, answer in stage.turns}
    found: dict[str, list[Recorded]] = {}
    for request, answer in last.values():
        name = next(
            e.executionStarted.name for e in (*request.pastEvents, *request.newEvents) if e.HasField("executionStarted")
        )
        slim = pb.OrchestratorRequest.FromString(request.SerializeToString())
        for event in slim.pastEvents:
            if event.HasField("taskScheduled"):
                event.taskScheduled.ClearField("input")  # what was asked for is told by its name
        found.setdefault(name, []).append(Recorded(name, json_format.MessageToDict(slim), _actions(answer)))
    for recorded in found.values():
        yield from recorded if len(recorded) <= _MOST_PER_ORCHESTRATOR else (recorded[0], recorded[-1])


def main() -> None:
    """Write every history."""
    FOLDER.mkdir(exist_ok=True)
    for name in RUNS:
        listed = [vars(one) for one in record(name)]
        (FOLDER / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(listed).encode(), mtime=0))
        print(f"{name}: {len(listed)} histories")


if __name__ == "__main__":
    main()
