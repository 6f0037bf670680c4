"""A small app for the tests of the embedded host. Activities leave a line in FIXTURE_LOG, if that is set."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Generator
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from durabletask import task
from durabletask.client import OrchestrationQuery
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
api = FastAPI()
durable: ContextVar[df.DurableFunctionsClient] = ContextVar("durable")

type Steps = Generator[task.Task[Any], Any, Any]


def note(line: str) -> None:
    """Append to the log in one write, so that a kill leaves whole lines."""
    path = os.environ.get("FIXTURE_LOG")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


async def work(payload: object) -> object:
    """Note that it ran, and give the payload back."""
    note(f"work {json.dumps(payload)}")
    return payload


async def slow(payload: object) -> object:
    """Take a while."""
    await asyncio.sleep(float(str(payload)))
    return payload


def flaky(payload: object) -> object:
    """Fail until it has run three times for this payload."""
    marks = Path(os.environ["FIXTURE_LOG"]).parent / f"flaky-{payload}"
    attempts = len(marks.read_text()) if marks.exists() else 0
    marks.write_text("x" * (attempts + 1))
    if attempts < 2:
        raise ValueError(f"attempt {attempts + 1}: not yet")
    return attempts + 1


def chain(ctx: task.OrchestrationContext, steps: int) -> Steps:
    """Run activities one after the other."""
    for step in range(steps):
        yield ctx.call_activity("work", input=[ctx.instance_id, step])
    return steps


def wide(ctx: task.OrchestrationContext, spec: list[float]) -> Steps:
    """Run activities at the same time."""
    results = yield task.when_all([ctx.call_activity("slow", input=spec[1]) for _ in range(int(spec[0]))])
    return len(results)


def retrying(ctx: task.OrchestrationContext, key: str) -> Steps:
    """Retry an activity that fails twice."""
    policy = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=50), max_number_of_attempts=5)
    return (yield ctx.call_activity("flaky", input=key, retry_policy=policy))


def failing(ctx: task.OrchestrationContext, key: str) -> Steps:
    """Let an activity's failure out."""
    yield ctx.call_activity("flaky", input=key)


def poll(ctx: task.OrchestrationContext, state: list[int]) -> Steps:
    """Wait in short rounds, a fresh execution every 5, until enough events `tick` have come; count them."""
    rounds, seen, wanted = state
    tick = ctx.wait_for_external_event("tick")
    for _ in range(5):
        timer = ctx.create_timer(timedelta(milliseconds=rounds))
        first = yield task.when_any([tick, timer])
        if first is tick:
            seen += 1
            if seen == wanted:
                return seen
            break
    ctx.continue_as_new([rounds, seen, wanted], save_events=True)
    return None


def member(ctx: task.OrchestrationContext, number: int) -> Steps:
    """One member of `team`: work, wait for the parent's word, poll, work."""
    yield ctx.call_activity("work", input=[ctx.instance_id, "before"])
    word = yield ctx.wait_for_external_event("go")
    yield ctx.create_timer(timedelta(milliseconds=20))
    yield ctx.call_activity("work", input=[ctx.instance_id, "after"])
    return [number, word]


def team(ctx: task.OrchestrationContext, size: int) -> Steps:
    """Start members, give each its word, wait for all; the same again in a second execution."""
    ids = [f"{ctx.instance_id}:{n}" for n in range(size)]
    members: list[task.Task[Any]] = [
        ctx.call_sub_orchestrator("member", input=n, instance_id=id_) for n, id_ in enumerate(ids)
    ]
    yield ctx.call_activity("work", input=[ctx.instance_id, "started"])
    for n, id_ in enumerate(ids):
        ctx.send_event(id_, "go", data=f"word {n}")
    return (yield task.when_all(members))


def waiter(ctx: task.OrchestrationContext, _: object) -> Steps:
    """Wait for a child that waits for ever."""
    return (yield ctx.call_sub_orchestrator("forever", instance_id=f"{ctx.instance_id}:child"))


def forever(ctx: task.OrchestrationContext, _: object) -> Steps:
    """Wait for an event that nobody sends."""
    return (yield ctx.wait_for_external_event("never"))


def naps(ctx: task.OrchestrationContext, rounds: int) -> Steps:
    """Sleep ten minutes, often."""
    for _ in range(rounds):
        yield ctx.create_timer(timedelta(minutes=10))
    return ctx.current_utc_datetime.isoformat()


def echo(_: task.OrchestrationContext, payload: object) -> object:
    """End at once."""
    return payload


for orchestrator in (chain, wide, retrying, failing, poll, member, team, waiter, forever, naps, echo):
    app.orchestration_trigger(context_name="context", orchestration=orchestrator.__name__)(orchestrator)
for activity in (work, slow, flaky):
    app.activity_trigger(input_name="payload", activity=activity.__name__)(activity)


@app.timer_trigger(arg_name="timer", schedule="%FIXTURE_SCHEDULE%")
async def tick(timer: func.TimerRequest) -> None:
    """Note that it ran."""
    note(f"tick {'late' if timer.past_due else 'on time'}")


@app.route("plain/{name}", methods=["GET", "POST"])
def plain(req: func.HttpRequest) -> func.HttpResponse:
    """Say what came in."""
    if req.route_params["name"] == "broken":
        raise ValueError("as asked")
    logging.warning("a warning of the app")
    seen = {
        "method": req.method,
        "query": dict(req.params),
        "many": req.headers.get("x-many"),
        "size": len(req.get_body()),
    }
    response = func.HttpResponse(json.dumps(seen), mimetype="application/json")
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.route("{*path}", methods=["GET", "POST"])
@app.durable_client_input(client_name="client")
async def http(req: func.HttpRequest, client: df.DurableFunctionsClient, context: func.Context) -> func.HttpResponse:
    """Everything else goes to FastAPI."""
    durable.set(client)
    response: func.HttpResponse = await func.AsgiMiddleware(api).handle_async(req, context)  # type: ignore[no-untyped-call]
    return response


@api.post("/api/start/{name}/{instance_id}")
async def start(name: str, instance_id: str, request: Request) -> JSONResponse:
    """Start an orchestration; the body is its input."""
    body = await request.body()
    await durable.get().schedule_new_orchestration(name, input=json.loads(body or b"null"), instance_id=instance_id)
    return JSONResponse({"id": instance_id}, status_code=202)


@api.get("/api/state/{instance_id}")
async def state(instance_id: str) -> JSONResponse:
    """An instance's state."""
    found = await durable.get().get_orchestration_state(instance_id)
    if found is None:
        return JSONResponse({"status": None}, status_code=404)
    output = json.loads(found.serialized_output) if found.serialized_output else None
    failure = found.failure_details.message if found.failure_details else None
    return JSONResponse({"status": found.runtime_status.name, "output": output, "failure": failure})


@api.get("/api/wait/{instance_id}")
async def wait(instance_id: str) -> JSONResponse:
    """An instance's state once it has ended."""
    await durable.get().wait_for_orchestration_completion(instance_id, timeout=20)
    return await state(instance_id)


@api.get("/api/list/{prefix}")
async def listing(prefix: str, page: int = 0) -> JSONResponse:
    """The instances under a prefix."""
    query = OrchestrationQuery(
        instance_id_prefix=prefix, fetch_inputs_and_outputs=True, max_instance_count=page or None
    )
    found = await durable.get().get_all_orchestration_states(query)
    return JSONResponse([[s.instance_id, s.runtime_status.name, len(s.serialized_input or "")] for s in found])


@api.post("/api/event/{instance_id}/{name}")
async def event(instance_id: str, name: str) -> JSONResponse:
    """Raise an event."""
    await durable.get().raise_orchestration_event(instance_id, name, data="external")
    return JSONResponse({}, status_code=202)


@api.post("/api/terminate/{instance_id}")
async def terminate(instance_id: str) -> JSONResponse:
    """End an instance and its children."""
    await durable.get().terminate_orchestration(instance_id, output="stopped", recursive=True)
    return JSONResponse({}, status_code=202)
