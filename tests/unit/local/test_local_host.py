"""The embedded host with a small app, in a process of its own."""

from __future__ import annotations

import json
import random
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from midwatch.local.state import running_host
from tests.unit.local.local_kit import Served, eventually, serving


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("host")
    with serving(folder / "state", settings={"FIXTURE_LOG": str(folder / "log")}) as served:
        yield served
        assert served.stop() == "", "nothing is written to stderr"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_activities_run_one_after_the_other_each_once(host: Served) -> None:
    host.start("chain", "chain", 50)
    assert host.result("chain") == 50
    assert host.ask("history chain")["activities"] == {"work": 50}


def test_forty_activities_run_at_the_same_time(host: Served) -> None:
    begin = time.monotonic()
    host.start("wide", "wide", [40, 0.5])
    assert host.result("wide") == 40
    assert time.monotonic() - begin < 5


def test_a_failing_activity_is_retried_and_its_failure_has_a_type_and_a_text(host: Served) -> None:
    host.start("retrying", "retrying", "a")
    assert host.result("retrying") == 3
    host.start("failing", "failing", "b")
    state = host.get("/api/wait/failing")
    assert isinstance(state, dict)
    assert state["status"] == "FAILED"
    assert "attempt 1: not yet" in state["failure"]


def test_events_reach_a_polling_instance_that_continues_as_new(host: Served) -> None:
    host.start("poll", "poll", [1, 0, 20])
    for _ in range(20):
        assert host.call("POST", "/api/event/poll/tick")[0] == 202
    assert host.result("poll") == 20


def test_a_parent_sends_its_children_events(host: Served) -> None:
    host.start("team", "team", 5)
    assert host.result("team") == [[n, f"word {n}"] for n in range(5)]


def test_the_client_lists_under_a_prefix_in_order_page_by_page(host: Served) -> None:
    for name in ("list-b", "list-a", "list-c"):
        host.start("echo", name, "payload")
        host.result(name)
    expected = [[name, "COMPLETED", len('"payload"')] for name in ("list-b", "list-a", "list-c")]
    assert host.get("/api/list/list-") == expected
    assert host.get("/api/list/list-?page=1") == expected


def test_the_client_terminates_with_all_children(host: Served) -> None:
    host.start("waiter", "stop", None)
    eventually(lambda: "RUNNING" in host.call("GET", "/api/state/stop:child")[1])
    assert host.call("POST", "/api/terminate/stop")[0] == 202
    assert host.get("/api/state/stop") == {"status": "TERMINATED", "output": "stopped", "failure": None}
    assert host.get("/api/state/stop:child") == {"status": "TERMINATED", "output": "stopped", "failure": None}


def test_five_megabytes_pass_through_client_orchestrator_and_answer(host: Served) -> None:
    host.start("echo", "big", "x" * 5_000_000)
    assert host.result("big") == "x" * 5_000_000


def test_an_unknown_orchestrator_fails_with_its_name(host: Served) -> None:
    host.start("nobody", "unknown")
    state = host.get("/api/wait/unknown")
    assert isinstance(state, dict)
    assert "nobody" in state["failure"]


def test_an_http_function_sees_method_query_headers_and_bytes(host: Served) -> None:
    code, body = host.call("POST", "/api/plain/x?a=1&b=%20", b"\xff\x00", {"X-Many": "one,two"})
    assert code == 200
    assert json.loads(body) == {"method": "POST", "query": {"a": "1", "b": " "}, "many": "one,two", "size": 2}


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        pytest.param("GET", "/api/plain/broken", {}, 500, id="a function that fails"),
        pytest.param("GET", "/nothing", {}, 404, id="no such path"),
        pytest.param("DELETE", "/api/plain/x", {}, 405, id="a method that is not bound"),
        pytest.param("GET", "/api/plain/x", {"Host": "evil.example"}, 403, id="a foreign host name"),
        pytest.param("GET", "/api/plain/x", {"Origin": "https://evil.example"}, 403, id="a foreign page"),
        pytest.param("GET", "/api/plain/x", {"Origin": "null"}, 403, id="an opaque page"),
        pytest.param("POST", "/admin/functions/nothing", {}, 404, id="no such function"),
        pytest.param("POST", "/admin/functions/plain", {}, 409, id="not a timer"),
    ],
)
def test_an_error_is_a_problem_document(
    host: Served, method: str, path: str, headers: dict[str, str], code: int
) -> None:
    status, body = host.call(method, path, headers=headers)
    problem = json.loads(body)
    assert (status, problem["status"]) == (code, code)
    assert set(problem) == {"type", "title", "status", "detail"}
    assert "Traceback" not in body


def test_fastapi_validates_behind_the_catch_all_route(host: Served) -> None:
    assert host.call("GET", "/api/list/x?page=many")[0] == 422
    assert host.call("GET", "/api/no/such/route")[0] == 404


def test_the_state_directory_is_private_and_says_where_the_host_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert running_host(state) is None
    with serving(state) as host:
        info = running_host(state)
        assert info is not None
        assert (info.pid, info.url, info.extra) == (host.process.pid, host.url, {"who": "test"})
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        for name in ("host.json", "journal.db", "host.log"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600, name
        second = Served(state)
        assert second.hello["error"] == "state-in-use"
        assert host.url in str(second.hello["message"])
        second.stop()
        host.kill()
        assert (state / "host.json").exists()
        assert running_host(state) is None


def test_a_host_that_only_looks_runs_nothing_until_told(tmp_path: Path, log: Path) -> None:
    with serving(tmp_path / "state", work=False, settings={"FIXTURE_LOG": str(log)}) as host:
        host.start("chain", "c", 1)
        assert host.call("POST", "/admin/functions/tick")[0] == 409
        assert host.get("/api/state/c") == {"status": "PENDING", "output": None, "failure": None}
        host.ask("resume")
        assert host.result("c") == 1


def test_the_host_stops_with_the_reason_when_the_disk_is_full(tmp_path: Path) -> None:
    with serving(tmp_path / "state") as host:
        host.ask("fill")
        assert host.call("POST", "/api/start/echo/big", json.dumps("x" * 500_000).encode())[0] == 500
        stopped = host.ask("serve")
        assert stopped["error"] == "journal-write"
        assert "full" in str(stopped["message"])
        eventually(lambda: running_host(tmp_path / "state") is None)


def test_a_timer_runs_on_schedule_by_hand_and_late_after_a_pause(tmp_path: Path, log: Path) -> None:
    settings = {"FIXTURE_LOG": str(log), "FIXTURE_SCHEDULE": "0 0 * * * *"}
    with serving(tmp_path / "state", virtual="manual", settings=settings) as host:
        host.ask("advance 3600")
        eventually(lambda: lines(log) == ["tick on time"])
        assert host.call("POST", "/admin/functions/tick", b'{"input": ""}')[0] == 202
        eventually(lambda: lines(log) == ["tick on time"] * 2)
        host.stop()
    log.unlink()
    # The stored occurrence is an hour ahead of the machine's clock: go beyond it before work begins.
    with serving(tmp_path / "state", virtual="manual", work=False, settings=settings) as host:
        host.ask("advance 10800")
        host.ask("resume")
        eventually(lambda: lines(log) == ["tick late"])


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="setting not set"),
        pytest.param({"FIXTURE_SCHEDULE": "* * * * * *", "AzureWebJobs.tick.Disabled": "true"}, id="disabled"),
    ],
)
def test_a_timer_that_is_off_runs_only_by_hand(tmp_path: Path, log: Path, settings: dict[str, str]) -> None:
    with serving(tmp_path / "state", virtual="manual", settings={"FIXTURE_LOG": str(log), **settings}) as host:
        host.ask("advance 3600")
        host.call("POST", "/admin/functions/tick")
        eventually(lambda: lines(log) == ["tick on time"])


def test_a_bad_schedule_is_named_at_the_start(tmp_path: Path) -> None:
    host = Served(tmp_path / "state", settings={"FIXTURE_SCHEDULE": "every hour"})
    assert host.hello["error"] == "schedule"
    assert "FIXTURE_SCHEDULE" in str(host.hello["message"])
    host.stop()


@pytest.mark.parametrize(
    ("files", "code", "text"),
    [
        pytest.param({"host.json": "{"}, "host-file", "host.json", id="host.json is not JSON"),
        pytest.param({"host.json": '{"version": "2.0"}'}, "app-load", "no function_app.py", id="no function_app.py"),
        pytest.param(
            {"host.json": '{"version": "2.0"}', "function_app.py": "import nothing_like_it"},
            "app-load",
            "nothing_like_it",
            id="an import that fails",
        ),
    ],
)
def test_an_app_that_cannot_be_loaded_gives_one_line(
    tmp_path: Path, files: dict[str, str], code: str, text: str
) -> None:
    app = tmp_path / "app"
    app.mkdir()
    for name, content in files.items():
        (app / name).write_text(content)
    host = Served(tmp_path / "state", app=app)
    assert host.hello["error"] == code
    assert text in str(host.hello["message"])
    assert "\n" not in str(host.hello["message"])
    assert host.stop() == ""
    if "function_app.py" in files:
        assert "Traceback" in (tmp_path / "state" / "host.log").read_text()


def test_virtual_time_passes_while_nothing_runs(tmp_path: Path) -> None:
    with serving(tmp_path / "state", virtual="auto") as host:
        host.start("naps", "n", 50)
        begin = time.monotonic()
        host.result("n")
        assert time.monotonic() - begin < 10


def test_kill_9_at_any_moment_loses_no_work(tmp_path: Path, log: Path) -> None:
    random.seed(11)
    state, kills = tmp_path / "state", 0
    host = Served(state, settings={"FIXTURE_LOG": str(log)})
    try:
        names = [f"t{n}" for n in range(8)]
        for name in names:
            host.start("team", name, 6)
        host.start("poll", "p", [1, 0, 12])
        for n in range(12):
            host.call("POST", "/api/event/p/tick")
            if n % 3 == 2:
                time.sleep(random.uniform(0.0, 0.1))  # not to wait for anything: to kill at another moment each time
                host.kill()
                kills += 1
                host = Served(state, settings={"FIXTURE_LOG": str(log)})
        for name in names:
            assert host.result(name) == [[n, f"word {n}"] for n in range(6)]
        assert host.result("p") == 12
        done = {line for line in lines(log) if line.startswith("work")}
        assert done >= {
            f'work ["{name}:{n}", "{when}"]' for name in names for n in range(6) for when in ("before", "after")
        }
        counts = host.ask("under t")
        assert counts["activities"] == {"work": 8 * 13}, "each answer is counted once, however often it ran"
    finally:
        if not host.ended:
            host.kill()
    assert kills == 4
