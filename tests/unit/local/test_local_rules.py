"""The embedded host's small rules: schedules, routes, the state directory; and what it needs of its libraries."""

from __future__ import annotations

import inspect
import os
from datetime import UTC, datetime
from pathlib import Path

import azure_functions_runtime  # type: ignore[import-untyped]  # publishes no types
import durabletask.internal.orchestrator_service_pb2 as pb
import durabletask.internal.orchestrator_service_pb2_grpc as stubs
import pytest
from azure_functions_runtime import native_invocation
from durabletask.internal import helpers

from midwatch.local.errors import AppLoadError, StateInUseError
from midwatch.local.routes import routes_of
from midwatch.local.schedules import Schedule, read_schedule
from midwatch.local.settings import read_host_file
from midwatch.local.state import StateDirectory, running_host


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        pytest.param("0 */5 * * * *", "2026-01-01T00:05:00", id="seconds come first"),
        pytest.param("30 0 2 * * *", "2026-01-01T02:00:30", id="second 30 of 02:00"),
        pytest.param("0 30 9 * * 1-5", "2026-01-01T09:30:00", id="days of the week"),
        pytest.param("0 0 0 * Jan Mon", "2026-01-05T00:00:00", id="names"),
        pytest.param("30 2 * * *", "2026-01-01T02:30:00", id="five fields have no seconds"),
        pytest.param("0 0 0 13 * 5", "2026-02-13T00:00:00", id="day of month and of week must both match"),
    ],
)
def test_a_schedule_comes_when_ncrontab_says(expression: str, following: str) -> None:
    found = Schedule(expression).after(datetime(2026, 1, 1, tzinfo=UTC))
    assert found == datetime.fromisoformat(following).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression",
    ["hourly", "* * * *", "61 * * * * *", "0 0 0 L * *", "0 0 0 * * 5#2", "@daily", "H * * * * *", "0 0 0 30 2 *"],
)
def test_what_is_not_ncrontab_is_refused_with_its_setting(expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEN", expression)
    with pytest.raises(AppLoadError, match="app setting WHEN"):
        read_schedule("night", "%WHEN%")


@pytest.mark.parametrize("value", [None, "", " ", "disabled", "Off"])
def test_a_schedule_setting_can_switch_the_timer_off(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("WHEN", raising=False)
    else:
        monkeypatch.setenv("WHEN", value)
    assert read_schedule("night", "%WHEN%") is None


def test_a_folder_without_host_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(AppLoadError, match=r"host\.json: No such file"):
        read_host_file(tmp_path)


@pytest.mark.parametrize(
    ("prefix", "template", "paths"),
    [
        ("api", "runs/{id}", ["/api/runs/{id:[^/]+}"]),
        ("", "{*path}", ["/{path:.*}", "/"]),
        ("api", "{*path}", ["/api/{path:.*}", "/api"]),
        ("api", "items/{id:int?}", ["/api/items/{id:-?\\d+}", "/api/items"]),
        ("/v1/", "/plain", ["/v1/plain"]),
    ],
)
def test_a_route_template_becomes_paths(prefix: str, template: str, paths: list[str]) -> None:
    assert [route.path for route in routes_of(prefix, template)] == paths


def test_literals_are_matched_before_parameters_and_these_before_a_catch_all() -> None:
    templates = ["{*path}", "runs/{id}", "runs/all"]
    routes = sorted((routes_of("", template)[0] for template in templates), key=lambda route: route.precedence)
    assert [route.path for route in routes] == ["/runs/all", "/runs/{id:[^/]+}", "/{path:.*}"]


def test_a_constraint_that_is_not_known_is_an_error() -> None:
    with pytest.raises(AppLoadError, match="datetime"):
        routes_of("api", "{when:datetime}")


def test_a_state_directory_has_one_holder_and_a_stale_note_is_no_host(tmp_path: Path) -> None:
    first = StateDirectory(tmp_path)
    first.acquire()
    first.publish("http://127.0.0.1:1", datetime.now(UTC), {"a": 1}, working=True)
    info = running_host(tmp_path)
    assert info is not None
    assert (info.pid, info.extra) == (os.getpid(), {"a": 1})
    with pytest.raises(StateInUseError, match=r"127\.0\.0\.1:1"):
        StateDirectory(tmp_path).acquire()
    note = (tmp_path / "host.json").read_text()
    first.release()
    (tmp_path / "host.json").write_text(note)
    assert running_host(tmp_path) is None


def test_the_sidecar_protocol_has_the_calls_that_the_backend_answers() -> None:
    calls = {name for name in vars(stubs.TaskHubSidecarServiceServicer) if not name.startswith("_")}
    answered = {"StartInstance", "GetInstance", "WaitForInstanceStart", "WaitForInstanceCompletion", "RaiseEvent"}
    answered |= {"TerminateInstance", "SuspendInstance", "ResumeInstance", "QueryInstances", "ListInstanceIds", "Hello"}
    answered |= {"PurgeInstances", "StreamInstanceHistory", "GetWorkItems"}
    answered |= {"CompleteOrchestratorTask", "CompleteActivityTask"}
    assert answered <= calls


def test_an_orchestrator_has_no_actions_that_the_backend_has_not_heard_of() -> None:
    done = {"scheduleTask", "createSubOrchestration", "createTimer", "sendEvent", "completeOrchestration"}
    refused = {"terminateOrchestration", "sendEntityMessage", "rewindOrchestration"}
    known = pb.OrchestratorAction.DESCRIPTOR.oneofs_by_name["orchestratorActionType"].fields
    assert {field.name for field in known} == done | refused


def test_the_history_has_no_events_that_the_backend_has_not_heard_of() -> None:
    """A new kind of event may have to survive continue-as-new: `events.survives_continue_as_new` must then know it."""
    known = {field.name for field in pb.HistoryEvent.DESCRIPTOR.oneofs_by_name["eventType"].fields}
    assert len(known) == 28, sorted(known)


def test_durabletasks_event_constructors_are_where_they_were() -> None:
    used = "orchestrator_started orchestrator_completed execution_started execution_completed timer_created timer_fired"
    used += " task_scheduled task_completed sub_orchestration_created sub_orchestration_completed event_sent"
    used += " event_raised terminated suspend resume"
    assert not [name for name in used.split() if not hasattr(helpers, f"new_{name}_event")]
    assert hasattr(helpers, "new_complete_orchestration_action")


def test_the_worker_library_is_driven_through_the_entries_that_the_host_uses() -> None:
    native = inspect.signature(native_invocation.invocation_request_native)
    expected = ["invocation_id", "function_id", "inputs", "trigger_metadata", "trace_parent", "trace_state"]
    assert list(native.parameters)[:6] == expected
    for entry in ("worker_init_request", "functions_metadata_request", "start_threadpool_executor"):
        assert callable(getattr(azure_functions_runtime, entry))
