"""What a host must do: say that it is well, refuse what is wrong, rehearse a run, and make one."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import yaml

from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload
from tests.kit.api import LOOPBACK
from tests.kit.objects import Node

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.kit.api import JsonObject

NAME = "smoke"
_WAITS = f"{NAME}-1"
_POLICY: dict[str, object] = {
    "apiVersion": "midwatch/v1",
    "clusters": [{"kubeconfig": {"context": NAME}}],
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "60s"},
    "reboot": {"timeout": "60s"},
    "verify": {"stableFor": "0s", "conditionClears": "60s"},
}
_POLL_SECONDS = 0.5


class SmokeError(Exception):
    """The host does not do what it must."""


@contextmanager
def staged_cluster(folder: Path) -> Iterator[tuple[SimulatedCluster, dict[str, str]]]:
    """A simulated cluster, and the settings of a host that is to look after it."""
    with SimulatedFleet(scale=0) as fleet:
        [cluster] = fleet.create(NAME, nodes=3)
        cluster.create_namespace("midwatch")
        cluster.deploy(Workload("shop", replicas=3, min_available=2))
        cluster.require_reboot(_WAITS, "linux-image")
        fleet.quiesce()
        policy = folder / "policy.yaml"
        policy.write_text(yaml.safe_dump(_POLICY))
        kubeconfig = fleet.kubeconfig(folder / "kubeconfig", "admin")
        yield cluster, {"KUBECONFIG": str(kubeconfig), "MIDWATCH_POLICY": str(policy)}
        fleet.check()


def smoke(url: str, cluster: SimulatedCluster, host: subprocess.Popen[bytes], seconds: float) -> str:
    """Wait for the host, and put it to the test; a sentence about it.

    Raises:
        SmokeError: what was wrong.
    """
    began = time.monotonic()
    _await_start(url, host, began + seconds)
    started = time.monotonic() - began
    refused, _ = _ask(url, "POST", "runs", {"nodez": []})
    _expect(refused, 422, "a body with an unknown key")
    rehearsal = _run(url, {"dryRun": True, "reason": "smoke"}, seconds)
    _expect(sum(cluster.boots.values()), 0, "reboots of a dry run")
    run = _run(url, {"reason": "smoke"}, seconds)
    _expect(rehearsal["outcome"], "nothing-to-do", "the dry run's outcome")
    _expect(run["outcome"], "completed", "the run's outcome")
    _expect(cluster.boots, {_WAITS: 1}, "reboots")
    nodes = [Node.model_validate(doc) for doc in cluster.objects("v1", "Node")]
    _expect([node.metadata.name for node in nodes if node.spec.unschedulable], [], "nodes left cordoned")
    return f"smoke: started in {started:.1f} s; run {run['id']} rebooted {_WAITS} and nothing else"


def _await_start(url: str, host: subprocess.Popen[bytes], until: float) -> None:
    while host.poll() is None:
        try:
            if _ask(url, "GET", "healthz")[0] == 200:
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise SmokeError(f"{url}/api/healthz does not answer")
        time.sleep(_POLL_SECONDS)
    raise SmokeError(f"the host has ended with {host.returncode}")


def _run(url: str, body: JsonObject, seconds: float) -> JsonObject:
    code, started = _ask(url, "POST", "runs", body)
    _expect(code, 202, f"the start of a run, which answered {started},")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        code, view = _ask(url, "GET", f"runs/{started['id']}")
        _expect(code, 200, f"the look at run {started['id']}, which answered {view},")
        if view["status"] == "ended":
            return view
        time.sleep(_POLL_SECONDS)
    raise SmokeError(f"run {started['id']} did not end within {seconds:.0f} s")


def _ask(url: str, method: str, path: str, body: JsonObject | None = None) -> tuple[int, JsonObject]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with LOOPBACK.open(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise SmokeError(f"{what}: {found}, not {wanted}")
