"""The durable backend, with durabletask's own worker stepping in this thread."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import durabletask.internal.orchestrator_service_pb2 as pb
import pytest
from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.grpc_options import GrpcChannelOptions
from durabletask.internal import helpers
from durabletask.worker import TaskHubGrpcWorker

from midwatch.local.backend import Backend
from midwatch.local.clock import VirtualClock
from midwatch.local.errors import HostError, JournalError, RefusedError
from midwatch.local.journal import SCHEMA_VERSION, Journal
from midwatch.local.service import Server
from tests.unit.local.local_kit import InlineWorker, eventually, open_backend, output, start, status

# What an orchestrator yields and returns is anything: the library types it so.
type Steps = Generator[task.Task[Any], Any, Any]


def work(_: task.ActivityContext, payload: object) -> object:
    return payload


def collect(ctx: task.OrchestrationContext, state: list[int]) -> Steps:
    """Count events up to `state[1]`, one execution each, with a timer left pending every time."""
    seen, wanted = state
    event = ctx.wait_for_external_event("tick")
    timer = ctx.create_timer(timedelta(minutes=1))
    first = yield task.when_any([event, timer])
    if first is timer:
        return ["timed out", seen]
    yield ctx.call_activity(work, input=seen)
    if seen + 1 < wanted:
        ctx.continue_as_new([seen + 1, wanted], save_events=True)
    return seen + 1


def member(ctx: task.OrchestrationContext, number: int) -> Steps:
    word = yield ctx.wait_for_external_event("go")
    yield ctx.create_timer(timedelta(minutes=number))
    yield ctx.call_activity(work, input=number)
    return [number, word]


def team(ctx: task.OrchestrationContext, state: list[int]) -> Steps:
    """Two members, each sent its word; in a second execution the same again."""
    round_, size = state
    ids = [f"{ctx.instance_id}:{round_}:{n}" for n in range(size)]
    members: list[task.Task[Any]] = [
        ctx.call_sub_orchestrator(member, input=n, instance_id=id_) for n, id_ in enumerate(ids)
    ]
    yield ctx.call_activity(work, input="started")
    for id_ in ids:
        ctx.send_event(id_, "go", data=round_)
    answers = yield task.when_all(members)
    if round_ == 0:
        ctx.continue_as_new([1, size], save_events=True)
        return None
    return answers


def nested(ctx: task.OrchestrationContext, depth: int) -> Steps:
    if depth == 0:
        return (yield ctx.wait_for_external_event("never"))
    return (yield ctx.call_sub_orchestrator(nested, input=depth - 1, instance_id=f"{ctx.instance_id}x"))


def naps(ctx: task.OrchestrationContext, rounds: int) -> Steps:
    for _ in range(rounds):
        yield ctx.create_timer(timedelta(minutes=10))
    return "awake"


def restless(ctx: task.OrchestrationContext, first: bool) -> Steps:
    """Leave a one-minute timer pending, continue as new, and set a one-hour timer with the same task ID."""
    begin = ctx.current_utc_datetime
    if first:
        ctx.create_timer(timedelta(minutes=1))
        ctx.continue_as_new(False)
        return None
    yield ctx.create_timer(timedelta(hours=1))
    return (ctx.current_utc_datetime - begin).total_seconds()


def forgetful(ctx: task.OrchestrationContext, child_id: str) -> Steps:
    """Start a child and continue as new at once; wait for a second child, whose task ID is the same."""
    child = ctx.call_sub_orchestrator(nested, input=0, instance_id=child_id)
    if child_id == "first":
        ctx.continue_as_new("second")
        return None
    return (yield child)


WORKER = InlineWorker(collect, member, team, nested, naps, restless, forgetful, activities=(work,))


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = open_backend(tmp_path, VirtualClock())
    yield backend
    backend.close()


def run(backend: Backend, instance_id: str) -> object:
    WORKER.run(backend, lambda: status(backend, instance_id) in {"COMPLETED", "FAILED", "TERMINATED"})
    assert status(backend, instance_id) == "COMPLETED"
    return output(backend, instance_id)


def test_a_hundred_naps_of_ten_minutes_pass_in_virtual_time(backend: Backend) -> None:
    before = backend.now()
    start(backend, "naps", "n", 100)
    assert run(backend, "n") == "awake"
    assert backend.now() - before >= timedelta(minutes=1000)
    assert backend.history("n").by_kind["timerFired"] == 100


def test_no_event_is_lost_when_the_instance_continues_as_new(backend: Backend) -> None:
    start(backend, "collect", "c", [0, 40])
    for n in range(40):
        backend.raise_event("c", "tick", str(n))
        if n % 3 == 0:
            WORKER.step(backend)
    assert run(backend, "c") == 40
    counts = backend.history("c")
    assert (counts.executions, counts.activities) == (40, {"work": 40})
    assert counts.events > counts.current_events


def test_an_event_that_arrives_while_a_worker_has_the_last_turn_survives(backend: Backend) -> None:
    start(backend, "collect", "c", [0, 2])
    backend.raise_event("c", "tick", None)
    WORKER.step(backend)
    WORKER.step(backend)
    last_turn = backend.take_turn(WORKER)
    assert last_turn is not None
    backend.raise_event("c", "tick", None)
    backend.complete_turn(WORKER.turn(last_turn))
    assert run(backend, "c") == 2


def test_a_timer_of_the_former_execution_does_not_fire_in_the_next_one(backend: Backend) -> None:
    start(backend, "restless", "r", True)
    seconds = run(backend, "r")
    assert isinstance(seconds, float)
    assert seconds >= 3600


def test_nor_does_it_after_a_restart(tmp_path: Path) -> None:
    clock = VirtualClock(auto_advance=False)
    backend = open_backend(tmp_path, clock)
    start(backend, "restless", "r", True)
    while WORKER.step(backend):
        pass
    backend.close()
    backend = open_backend(tmp_path, clock)
    following = backend._store.alarms.next_at()
    assert following is not None
    assert following - clock.now() > timedelta(minutes=50)
    clock.advance(timedelta(hours=1))
    seconds = run(backend, "r")
    assert isinstance(seconds, float)
    assert seconds >= 3600
    backend.close()


def test_a_child_of_the_former_execution_does_not_answer_the_next_one(backend: Backend) -> None:
    start(backend, "forgetful", "f", "first")
    while WORKER.step(backend):
        pass
    backend.raise_event("first", "never", '"old"')
    assert run(backend, "first") == "old"
    backend.raise_event("second", "never", '"new"')
    assert run(backend, "f") == "new"


def test_a_late_answer_does_not_count_while_another_worker_has_the_turn(backend: Backend) -> None:
    lost = object()
    start(backend, "collect", "c", [0, 1])
    late = backend.take_turn(lost)
    backend.release(lost)
    again = backend.take_turn(WORKER)
    assert late is not None
    assert again is not None
    backend.complete_turn(WORKER.turn(late))
    assert status(backend, "c") == "PENDING"
    backend.complete_turn(WORKER.turn(again))
    assert status(backend, "c") == "RUNNING"


def test_a_team_hears_the_words_of_its_parent_over_two_executions(backend: Backend) -> None:
    start(backend, "team", "t", [0, 3])
    assert run(backend, "t") == [[0, 1], [1, 1], [2, 1]]
    assert backend.history_under("t:").executions == 6


@pytest.mark.parametrize("moment", ["before commit", "after commit"])
def test_a_crash_at_any_commit_loses_nothing(tmp_path: Path, moment: str) -> None:
    crashes = 0
    for commit in range(1, 200):
        path = tmp_path / f"{commit}"
        path.mkdir()
        clock = VirtualClock()
        backend = open_backend(path, clock)
        start(backend, "team", "t", [0, 1])
        start(backend, "collect", "c", [0, 2])
        backend.raise_event("c", "tick", None)
        backend.raise_event("c", "tick", None)
        crash_at(backend, commit, moment)
        try:
            run_both(backend)
        except (HostError, _CrashError):
            crashes += 1
            backend.close()
            backend = open_backend(path, clock)
            run_both(backend)
        assert output(backend, "t") == [[0, 1]], f"crash {moment} {commit}"
        assert output(backend, "c") == 2, f"crash {moment} {commit}"
        backend.close()
        if crashes < commit:
            break
    assert crashes > 20
    assert crashes < 199


class _CrashError(Exception):
    pass


def crash_at(backend: Backend, commit: int, moment: str) -> None:
    """Fail the backend's n-th commit from now: just before it, or just after it and before anything is shown."""
    journal = backend._store.journal
    original, counter = journal.transaction, iter(range(1, 10_000))

    def transaction() -> object:
        if next(counter) != commit:
            return original()
        return failing()

    @contextmanager
    def failing() -> Iterator[None]:
        with original():
            yield
            if moment == "before commit":
                raise _CrashError
        raise _CrashError

    journal.transaction = transaction  # type: ignore[method-assign,assignment]


def run_both(backend: Backend) -> None:
    WORKER.run(backend, lambda: {status(backend, "t"), status(backend, "c")} == {"COMPLETED"})


def test_recursive_terminate_ends_all_generations_at_once(backend: Backend) -> None:
    start(backend, "nested", "p", 3)
    while WORKER.step(backend):
        pass
    backend.terminate("p", '"enough"', recursive=True)
    assert {status(backend, "p" + "x" * n) for n in range(4)} == {"TERMINATED"}


def test_a_parent_learns_that_its_child_was_terminated(backend: Backend) -> None:
    start(backend, "nested", "p", 1)
    while WORKER.step(backend):
        pass
    backend.terminate("px", None, recursive=False)
    WORKER.run(backend, lambda: status(backend, "p") == "FAILED")


def test_a_turn_that_a_worker_has_is_void_after_terminate(backend: Backend) -> None:
    start(backend, "nested", "p", 1)
    item = backend.take_turn(WORKER)
    assert item is not None
    answer = WORKER.turn(item)
    backend.terminate("p", None, recursive=False)
    backend.complete_turn(answer)
    assert backend.state("px", payloads=False) is None


def test_a_scheduled_start_waits_for_its_time_also_over_a_restart(tmp_path: Path) -> None:
    clock = VirtualClock(auto_advance=False)
    backend = open_backend(tmp_path, clock)
    request = pb.CreateInstanceRequest(instanceId="s", name="naps", input=helpers.get_string_value("0"))
    request.scheduledStartTimestamp.FromDatetime(clock.now() + timedelta(hours=1))
    backend.start_instance(request)
    assert not WORKER.step(backend)
    backend.close()
    backend = open_backend(tmp_path, clock)
    assert not WORKER.step(backend)
    clock.advance(timedelta(hours=1))
    assert run(backend, "s") == "awake"
    backend.close()


def test_what_a_lost_worker_had_is_handed_out_again(backend: Backend) -> None:
    lost = object()
    start(backend, "collect", "c", [0, 1])
    backend.raise_event("c", "tick", None)
    late = backend.take_turn(lost)
    assert late is not None
    assert backend.take_turn(WORKER) is None
    backend.release(lost)
    WORKER.step(backend)
    assert backend.take_activity(lost) is not None
    assert backend.take_activity(WORKER) is None
    backend.release(lost)
    backend.complete_turn(WORKER.turn(late))
    assert run(backend, "c") == 1
    assert backend.history("c").by_kind["taskScheduled"] == 1


def test_a_plain_worker_and_client_work_over_grpc_with_payloads_beyond_4_mb(tmp_path: Path) -> None:
    backend = open_backend(tmp_path, VirtualClock())
    server = Server(backend)
    options = GrpcChannelOptions(max_receive_message_length=2**30, max_send_message_length=2**30)
    client = TaskHubGrpcClient(host_address=server.address, channel_options=options)
    worker = TaskHubGrpcWorker(host_address=server.address, channel_options=options)
    worker.add_orchestrator(echo_through_activity)
    worker.add_activity(work)
    worker.start()  # type: ignore[no-untyped-call]  # the library does not annotate it
    try:
        client.schedule_new_orchestration(echo_through_activity, input="x" * 6_000_000, instance_id="big")
        state = client.wait_for_orchestration_completion("big", timeout=30)
        assert state is not None
        assert len(state.serialized_output or "") > 6_000_000
    finally:
        worker.stop()  # type: ignore[no-untyped-call]
        server.stop(0)
        backend.close()


def echo_through_activity(ctx: task.OrchestrationContext, payload: str) -> Steps:
    return (yield ctx.call_activity(work, input=payload))


def test_sixty_waiting_clients_do_not_starve_the_server(tmp_path: Path) -> None:
    backend = open_backend(tmp_path, VirtualClock())
    server = Server(backend)
    client = TaskHubGrpcClient(host_address=server.address)
    start(backend, "nested", "w", 0)
    ended: list[object] = []
    threads = [
        threading.Thread(target=lambda: ended.append(client.wait_for_orchestration_completion("w", timeout=20)))
        for _ in range(60)
    ]
    try:
        for thread in threads:
            thread.start()
        WORKER.step(backend)
        client.raise_orchestration_event("w", "never", data=1)
        WORKER.run(backend, lambda: status(backend, "w") == "COMPLETED")
        eventually(lambda: len(ended) == 60)
    finally:
        server.stop(0)
        backend.close()
        for thread in threads:
            thread.join(5)


def test_a_query_pages_by_prefix_in_order_of_creation(backend: Backend) -> None:
    for name in ("run-b", "other", "run-a", "run-c"):
        start(backend, "naps", name, 0)
    wanted = pb.InstanceQuery(maxInstanceCount=2, instanceIdPrefix=helpers.get_string_value("run-"))
    page = backend.query(wanted)
    assert [state.instanceId for state in page.orchestrationState] == ["run-b", "run-a"]
    backend.terminate("run-b", None, recursive=False)
    backend.purge(pb.PurgeInstancesRequest(instanceId="run-b"))
    wanted.continuationToken.CopyFrom(page.continuationToken)
    page = backend.query(wanted)
    assert [state.instanceId for state in page.orchestrationState] == ["run-c"]
    assert not page.HasField("continuationToken")


def test_a_page_ends_before_it_is_too_large_to_receive(backend: Backend) -> None:
    for n in range(5):
        start(backend, "naps", f"big-{n}", "x" * 1_000_000)
    page = backend.query(pb.InstanceQuery(fetchInputsAndOutputs=True))
    assert len(page.orchestrationState) == 2
    assert page.ByteSize() < 4_000_000


def test_a_running_id_is_refused_and_an_ended_one_replaced(backend: Backend) -> None:
    start(backend, "nested", "same", 0)
    with pytest.raises(RefusedError):
        start(backend, "nested", "same", 0)
    backend.terminate("same", None, recursive=False)
    start(backend, "naps", "same", 0)
    assert run(backend, "same") == "awake"


def test_the_host_stops_when_the_disk_is_full(tmp_path: Path) -> None:
    failures: list[HostError] = []
    journal = Journal(tmp_path / "journal.db")
    backend = Backend(journal, VirtualClock(), failures.append)
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(JournalError, match="full"):
        start(backend, "naps", "n", "x" * 100_000)
    assert [failure.code for failure in failures] == ["journal-write"]
    with pytest.raises(JournalError):
        start(backend, "naps", "small", 0)
    assert backend.take_turn(WORKER) is None
    backend.close()
    reopened = open_backend(tmp_path, VirtualClock())
    assert reopened.state("n", payloads=False) is None
    reopened.close()


def test_a_journal_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal._db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    journal.close()
    with pytest.raises(JournalError, match="newer version") as caught:
        Journal(tmp_path / "journal.db")
    assert caught.value.code == "journal-newer"


@pytest.mark.parametrize("content", [b"not a database at all" * 100])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.db").write_bytes(content)
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal(tmp_path / "journal.db")


def test_purge_takes_the_children_along_when_asked(backend: Backend) -> None:
    start(backend, "nested", "p", 2)
    while WORKER.step(backend):
        pass
    backend.terminate("p", None, recursive=True)
    assert backend.purge(pb.PurgeInstancesRequest(instanceId="p", recursive=True)) == 3
    assert not backend.query(pb.InstanceQuery()).orchestrationState


def test_a_suspended_instance_waits_and_takes_what_came_meanwhile(backend: Backend) -> None:
    start(backend, "collect", "c", [0, 1])
    WORKER.step(backend)
    backend.suspend("c", None)
    backend.raise_event("c", "tick", None)
    while WORKER.step(backend):
        pass
    assert status(backend, "c") == "SUSPENDED"
    backend.resume("c", None)
    assert run(backend, "c") == 1
