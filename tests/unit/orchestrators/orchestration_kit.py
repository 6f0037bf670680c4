"""The real orchestrators on the embedded backend in virtual time; the activities, their boundary, are scripted."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers
from durabletask.task import ActivityContext
from durabletask.worker import TaskHubGrpcWorker

from midwatch.domain.base import Json, Message
from midwatch.domain.budget import Availability, Candidate
from midwatch.domain.by_hand import GivenBack, Previewed, Reported
from midwatch.domain.clusters import ClusterRef
from midwatch.domain.policy import Policy
from midwatch.domain.proof import Before
from midwatch.domain.runs import CANCEL_EVENT
from midwatch.domain.steps import Checked, Claimed, Failure, LeaseHeld, Released, Seen, Surveyed
from midwatch.local.backend import Backend
from midwatch.local.clock import VirtualClock
from midwatch.local.journal import Journal
from orchestrators import ORCHESTRATORS

RUN = "20261124-030000-abc123"
CLUSTER = ClusterRef(name="kind-dev", context="kind-dev")
BEFORE = Before(boot_id="boot-1", kernel_version="6.8", heartbeat=datetime(2026, 11, 24, 3, tzinfo=UTC))
NOT_BACK = Seen(boot_id="boot-1", kernel_version="6.8")
BACK = Seen(done=True, boot_id="boot-2", kernel_version="6.9")

type Answer = Callable[["Call"], Message]


def policy(**sections: Mapping[str, object]) -> Policy:
    """The default policy without pauses."""
    quick: dict[str, dict[str, object]] = {"nodes": {"settle": "0s"}, "verify": {"stableFor": "0s"}}
    whole = {name: {**quick.get(name, {}), **sections.get(name, {})} for name in quick | sections}
    return Policy.model_validate({"apiVersion": "midwatch/v1", **whole})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an activity, with the virtual time at which it came."""

    activity: str
    cluster: str
    node: str
    payload: Json
    at: datetime


def always(message: Message) -> Answer:
    """The same answer every time."""
    return lambda _: message


def in_turn(*answers: Message | Exception) -> Answer:
    """One answer after the other; the last one for good. An exception is raised, which fails the activity."""
    left: Iterator[Message | Exception] = iter(answers)
    last: list[Message | Exception] = []

    def answer(_: Call) -> Message:
        last[:] = [next(left, last[0] if last else answers[0])]
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    return answer


def candidates(*names: str) -> tuple[Candidate, ...]:
    """Candidates without zone, in the order of their names."""
    return tuple(Candidate(name=name, pool="pool1", zone=None, since=None) for name in names)


def surveyed(*names: str, total: int = 50, not_ready: tuple[str, ...] = ()) -> Surveyed:
    """A survey that finds these candidates."""
    free = Availability(total=total, not_ready=not_ready, cordoned=())
    return Surveyed(candidates=candidates(*names), skipped=(), availability=free)


class Stage:
    """A backend, the orchestrators, and activities that answer as if all went well unless a test scripts them."""

    def __init__(self, folder: Path) -> None:
        journal = Journal(folder / "journal.db")
        journal._db.execute("PRAGMA synchronous=OFF")  # no power cut here: a commit need not wait for the disk
        self.backend = Backend(journal, VirtualClock(), lambda _error: None)
        self.backend.resume_work()
        self.calls: list[Call] = []
        self.turns: list[tuple[pb.OrchestratorRequest, pb.OrchestratorResponse]] = []
        self._script: dict[str, Answer] = {
            "acquire_lease": always(LeaseHeld(held=True, holder=RUN)),
            "release_lease": always(LeaseHeld(held=False, holder="")),
            "survey_cluster": always(surveyed("n1")),
            "claim_node": always(Claimed(outcome=None, reason=None, before=BEFORE, packages=("linux-image",))),
            "cordon_node": always(Checked()),
            "drain_pass": always(Seen(done=True)),
            "recheck_node": always(Checked(before=BEFORE)),
            "reboot_node": always(Checked()),
            "look_for_boot": always(BACK),
            "look_for_proof": always(BACK),
            "release_node": always(Released()),
            "claim_by_hand": always(Claimed(outcome=None, reason=None, before=BEFORE)),
            "preview_drain": always(Previewed(pods=(), uids=())),
            "report_drain": always(Reported(left=frozenset())),
            "give_back": always(GivenBack(ours=True, reason="released: uncordoned")),
        }
        self._worker = TaskHubGrpcWorker(emit_trace_spans=False, logger=logging.Logger("quiet", logging.CRITICAL))
        for orchestrator in ORCHESTRATORS:
            self._worker.add_orchestrator(orchestrator)  # type: ignore[arg-type]  # it knows Task[Any]
        for name in self._script:
            self._worker.add_activity(self._activity(name))
        self.records: list[Json] = []
        for name in ("record_run", "record_by_hand"):
            self._worker.add_activity(self._recording(name))

    def on(self, activity: str, answer: Answer) -> None:
        """Script an activity."""
        assert activity in self._script
        self._script[activity] = answer

    def usual(self, activity: str) -> Answer:
        """What the activity answers as things stand."""
        return self._script[activity]

    def fail(self, activity: str, code: str, *nodes: str) -> None:
        """Let an activity report a permanent failure, for these nodes or for all."""
        usual = self.usual(activity)
        failure = Failure(code=code, message="it cannot be done")
        self.on(activity, lambda call: failure if not nodes or call.node in nodes else usual(call))

    def cancel(self, instance: str) -> None:
        """Send the cancel event, as the HTTP API does."""
        self.backend.raise_event(instance, CANCEL_EVENT, None)

    def cancel_at(self, activity: str, instance: str, nth: int = 1) -> None:
        """Cancel while the activity runs for the `nth` time."""
        usual = self.usual(activity)

        def answer(call: Call) -> Message:
            if len(self.of(activity)) == nth:
                self.cancel(instance)
            return usual(call)

        self.on(activity, answer)

    def run(self, orchestrator: str, instance: str, request: Message) -> Json:
        """Run an orchestration to its end; what it returned."""
        encoded = helpers.get_string_value(json.dumps(request.to_wire()))
        self.backend.start_instance(pb.CreateInstanceRequest(instanceId=instance, name=orchestrator, input=encoded))
        state = self._ended(instance)
        assert state.orchestrationStatus == pb.ORCHESTRATION_STATUS_COMPLETED, state
        found = json.loads(state.output.value)
        assert isinstance(found, dict)
        return found

    def of(self, activity: str, node: str | None = None) -> list[Call]:
        """The calls of an activity, in order."""
        return [call for call in self.calls if call.activity == activity and node in {None, call.node}]

    @property
    def names(self) -> list[str]:
        """The activities, in the order of their calls."""
        return [call.activity for call in self.calls]

    def statuses(self, instance: str) -> list[Json]:
        """The custom statuses of an instance, in the order of its turns."""
        told = [end.customStatus.value for begin, end in self.turns if begin.instanceId == instance]
        return [json.loads(status) for status in told if status]

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()

    def _ended(self, instance: str, seconds: float = 60.0) -> pb.OrchestrationState:
        """Do all the work there is, in this thread, until the instance has ended."""
        woken, deadline = threading.Event(), time.monotonic() + seconds
        unsubscribe = self.backend.subscribe(woken.set)
        try:
            while True:
                woken.clear()
                while self._step():
                    assert time.monotonic() < deadline, f"it goes round and round: {self.names[-5:]}"
                state = self.backend.state(instance, payloads=True)
                assert state is not None
                if state.orchestrationStatus not in _UNDER_WAY:
                    return state
                assert time.monotonic() < deadline, f"it stands still after {self.names[-5:]}"
                woken.wait(0.2)
        finally:
            unsubscribe()

    def _step(self) -> bool:
        """Run one turn or one activity with durabletask's own worker; False when nothing waits."""
        answers = _Answers()
        if (turn := self.backend.take_turn(self)) is not None:
            self._worker._execute_orchestrator(turn.orchestratorRequest, answers, turn.completionToken)
            self.turns.append((turn.orchestratorRequest, answers.turns[0]))
            self.backend.complete_turn(answers.turns[0])
        elif (activity := self.backend.take_activity(self)) is not None:
            self._worker._execute_activity(activity.activityRequest, answers, activity.completionToken)
            self.backend.complete_activity(answers.activities[0])
        else:
            return False
        return True

    def _activity(self, name: str) -> Callable[[ActivityContext, Json], Json]:
        def activity(_: ActivityContext, payload: Json) -> Json:
            cluster = ClusterRef.model_validate(payload["cluster"])
            call = Call(name, cluster.name, str(payload.get("node", "")), payload, self.backend.now())
            self.calls.append(call)
            answer = self._script[name](call)
            return {"error" if isinstance(answer, Failure) else "result": answer.to_wire()}

        activity.__name__ = name
        return activity

    def _recording(self, name: str) -> Callable[[ActivityContext, Json], Json]:
        def activity(_: ActivityContext, payload: Json) -> Json:
            self.records.append(payload)
            return {}

        activity.__name__ = name
        return activity


_UNDER_WAY = {pb.ORCHESTRATION_STATUS_PENDING, pb.ORCHESTRATION_STATUS_RUNNING}


class _Answers:
    """Where the worker sends what it did, instead of to a server."""

    def __init__(self) -> None:
        self.turns: list[pb.OrchestratorResponse] = []
        self.activities: list[pb.ActivityResponse] = []

    def CompleteOrchestratorTask(self, answer: pb.OrchestratorResponse) -> None:  # noqa: N802 - the protocol's name
        self.turns.append(answer)

    def CompleteActivityTask(self, answer: pb.ActivityResponse) -> None:  # noqa: N802 - the protocol's name
        self.activities.append(answer)
