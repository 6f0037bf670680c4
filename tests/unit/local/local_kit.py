"""What the tests of the embedded host share: a worker that steps in this thread, and a host in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import durabletask.internal.orchestrator_service_pb2 as pb
from durabletask.internal import helpers
from durabletask.worker import TaskHubGrpcWorker

from midwatch.local.backend import Backend
from midwatch.local.clock import Clock
from midwatch.local.journal import Journal
from tests.forked import fork
from tests.unit.local.serve import main

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
APP = HERE / "app"


class InlineWorker:
    """durabletask's own worker, fed from the backend by hand, so that a test decides what runs when."""

    def __init__(self, *functions: Callable[..., object], activities: tuple[Callable[..., object], ...] = ()) -> None:
        self._worker = TaskHubGrpcWorker(emit_trace_spans=False)
        for function in functions:
            self._worker.add_orchestrator(function)
        for activity in activities:
            self._worker.add_activity(activity)

    def turn(self, item: pb.WorkItem) -> pb.OrchestratorResponse:
        """Run one turn; the answer is not sent yet."""
        answers: list[pb.OrchestratorResponse] = []
        self._worker._execute_orchestrator(item.orchestratorRequest, _Stub(answers), item.completionToken)
        return answers[0]

    def activity(self, item: pb.WorkItem) -> pb.ActivityResponse:
        """Run one activity; the answer is not sent yet."""
        answers: list[pb.ActivityResponse] = []
        self._worker._execute_activity(item.activityRequest, _Stub(answers), item.completionToken)
        return answers[0]

    def step(self, backend: Backend) -> bool:
        """Take and answer one work item; False when there was none."""
        item = backend.take_turn(self)
        if item is not None:
            backend.complete_turn(self.turn(item))
            return True
        item = backend.take_activity(self)
        if item is not None:
            backend.complete_activity(self.activity(item))
        return item is not None

    def run(self, backend: Backend, done: Callable[[], bool], seconds: float = 10.0) -> None:
        """Step until `done`.

        Raises:
            HostError: the backend failed.
        """
        woken = threading.Event()
        unsubscribe = backend.subscribe(woken.set)
        deadline = time.monotonic() + seconds
        try:
            while not done():
                woken.clear()
                if not self.step(backend) and not done():
                    assert time.monotonic() < deadline, "the orchestrations stand still"
                    woken.wait(0.5)
                    backend.set_last_occurrence("probe", backend.now())  # raises once the backend has failed
        finally:
            unsubscribe()


class _Stub:
    def __init__(self, answers: list[pb.OrchestratorResponse] | list[pb.ActivityResponse]) -> None:
        self.CompleteOrchestratorTask = self.CompleteActivityTask = answers.append


def open_backend(path: Path, clock: Clock, *, working: bool = True) -> Backend:
    """A backend over the journal in `path`."""
    backend = Backend(Journal(path / "journal.db"), clock, lambda _error: None)
    if working:
        backend.resume_work()
    return backend


def start(backend: Backend, name: str, instance_id: str, payload: object = None) -> str:
    """Start an orchestration."""
    encoded = helpers.get_string_value(json.dumps(payload))
    return backend.start_instance(pb.CreateInstanceRequest(instanceId=instance_id, name=name, input=encoded))


def status(backend: Backend, instance_id: str) -> str:
    """An instance's status, without its prefix."""
    state = backend.state(instance_id, payloads=False)
    assert state is not None
    return str(pb.OrchestrationStatus.Name(state.orchestrationStatus)).removeprefix("ORCHESTRATION_STATUS_")


def output(backend: Backend, instance_id: str) -> object:
    """What an instance returned."""
    state = backend.state(instance_id, payloads=True)
    assert state is not None
    return json.loads(state.output.value) if state.HasField("output") else None


class Served:
    """The embedded host in a process of its own."""

    def __init__(
        self,
        state: Path,
        *,
        app: Path = APP,
        virtual: str | None = None,
        work: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        options = {"app": str(app), "state": str(state), "virtual": virtual, "work": work}
        from_us, commands = os.pipe()
        answers, to_us = os.pipe()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `_close`, as the next two
        self._commands, self._answers = os.fdopen(commands, "w"), os.fdopen(answers)
        environment = {**os.environ, **(settings or {})}
        self.process = fork(main, (json.dumps(options),), environment, (from_us, to_us, self._errors.fileno()))
        os.close(from_us)
        os.close(to_us)
        self.hello = self._read()
        self.url = str(self.hello.get("url", ""))

    def ask(self, command: str) -> dict[str, object]:
        """Send a command; its answer."""
        self._commands.write(f"{command}\n")
        self._commands.flush()
        return self._read()

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """One HTTP request."""
        request = urllib.request.Request(self.url + path, body, dict(headers or {}), method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def get(self, path: str) -> object:
        """The JSON at a path."""
        return json.loads(self.call("GET", path)[1])

    def start(self, name: str, instance_id: str, payload: object = None) -> None:
        """Start an orchestration."""
        assert self.call("POST", f"/api/start/{name}/{instance_id}", json.dumps(payload).encode())[0] == 202

    def result(self, instance_id: str) -> object:
        """What an orchestration returns, once it has."""
        state = self.get(f"/api/wait/{instance_id}")
        assert isinstance(state, dict)
        assert state["status"] == "COMPLETED", state
        return state["output"]

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self._close()

    def stop(self) -> str:
        """End it in peace; what it wrote to stderr."""
        with contextlib.suppress(BrokenPipeError):
            self._commands.close()
        return self._close()

    def _close(self) -> str:
        self.process.join(15)
        assert self.ended
        with contextlib.suppress(BrokenPipeError):
            self._commands.close()
        self._answers.close()
        with self._errors:
            self._errors.seek(0)
            return self._errors.read()

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self.process.exitcode is not None

    def _read(self) -> dict[str, object]:
        line = self._answers.readline()
        assert line, "the host wrote nothing"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


@contextlib.contextmanager
def serving(
    state: Path,
    *,
    app: Path = APP,
    virtual: str | None = None,
    work: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Served]:
    """A host process that is ended at the end."""
    host = Served(state, app=app, virtual=virtual, work=work, settings=settings)
    try:
        yield host
    finally:
        if not host.ended:
            host.kill()


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
