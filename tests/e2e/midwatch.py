"""Midwatch as its users meet it: the command line, the HTTP API of `midwatch up`, and what is left on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from midwatch.local import EmbeddedHost, HistoryCounts, running_host
from tests.kit import background
from tests.kit.api import LOOPBACK
from tests.kit.background import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.kit.api import JsonObject, JsonValue
    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = str(Path(sys.executable).with_name("midwatch"))
_PREFIX = "midwatch.dev/"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/midwatch/leases/midwatch"
_REBOOT_POD = {"app.kubernetes.io/name": "midwatch-reboot"}
_QUICK: dict[str, dict[str, object]] = {
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "20s"},
    "reboot": {"timeout": "20s"},
    "verify": {"stableFor": "0s", "conditionClears": "10s"},
    "failure": {"maxFailedNodes": 20},
}
"""A policy without pauses, whose deadlines a test can wait for."""


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> JsonObject:
        """Its result, with `--output json`."""
        parsed = json.loads(self.stdout)
        assert isinstance(parsed, dict)
        return parsed


class Midwatch:
    """The product, set up for the clusters of a fleet: kubeconfig, policy, and a state directory of its own."""

    def __init__(self, fleet: Fleet, **policy: dict[str, object]) -> None:
        self.fleet = fleet
        self.folder = background.scratch("midwatch")
        self.state = self.folder / "state"
        self.kubeconfig = fleet.kubeconfig()
        self.policy = self.write_policy(**policy)
        for cluster in fleet.clusters.values():
            cluster.plane.apply(ROOT / "deploy" / "rbac")

    def write_policy(self, **sections: dict[str, object]) -> Path:
        """The quick policy with these sections laid over it."""
        whole = {name: {**_QUICK.get(name, {}), **sections.get(name, {})} for name in _QUICK | sections}
        names = [{"kubeconfig": {"context": name}} for name in self.fleet.clusters]
        path = self.folder / "policy.yaml"
        path.write_text(yaml.safe_dump({"apiVersion": "midwatch/v1", "clusters": names, **whole}))
        return path

    @property
    def flags(self) -> list[str]:
        """What every command gets."""
        return ["--kubeconfig", str(self.kubeconfig), "--policy", str(self.policy), "--state", str(self.state)]

    def run(self, *args: str, seconds: float = 150) -> Done:
        """`midwatch run --output json` to its end."""
        return call("run", *self.flags, "--output", "json", *args, seconds=seconds)

    def patch(self, *args: str, seconds: float = 150) -> Run:
        """The same; the run that it reports."""
        done = self.run(*args, seconds=seconds)
        assert done.stdout, done.stderr
        return Run(done.json, done.code)

    def drain(self, node: str, *args: str) -> Done:
        """`midwatch drain --output json`, on the fleet's first cluster."""
        context = next(iter(self.fleet.clusters))
        return call("drain", node, "--context", context, *self.flags, "--output", "json", *args, seconds=220)

    def uncordon(self, node: str) -> Done:
        """`midwatch uncordon`, likewise."""
        return call("uncordon", node, "--context", next(iter(self.fleet.clusters)), *self.flags)

    def costs(self, prefix: str) -> HistoryCounts:
        """What the instances of this prefix cost; no host may run on the state directory."""
        with EmbeddedHost(ROOT, self.state, run_work=False) as host:
            return host.history_under(prefix)


def call(*args: str, seconds: float = 60, env: dict[str, str] | None = None) -> Done:
    """Run `midwatch` with these arguments to its end. Its environment is ours without `KUBECONFIG` and settings."""
    kept = {name: value for name, value in os.environ.items() if name != "KUBECONFIG" and "MIDWATCH" not in name}
    done = subprocess.run(
        [PROGRAM, *args],
        env={**kept, "COLUMNS": "200", **(env or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Run:
    """The `run` JSON, and the exit code of the command that printed it."""

    def __init__(self, data: JsonObject, code: int | None = None) -> None:
        self.data = data
        self.code = code
        self.id = str(data["id"])
        self.outcome = data["outcome"]

    @property
    def clusters(self) -> dict[str, JsonObject]:
        """By name."""
        return {str(cluster["name"]): cluster for cluster in objects(self.data["clusters"])}

    @property
    def nodes(self) -> dict[str, JsonObject]:
        """The nodes of all clusters, by name."""
        return {str(n["name"]): n for c in self.clusters.values() for n in objects(c["nodes"])}

    @property
    def outcomes(self) -> dict[str, JsonValue]:
        """Outcome by node."""
        return {name: node["outcome"] for name, node in self.nodes.items()}

    def reason(self, node: str) -> str:
        """Why a node ended as it did."""
        return str(self.nodes[node]["reason"] or "")

    def error(self, cluster: str) -> str:
        """What went wrong with a cluster: code and message."""
        found = self.clusters[cluster]["error"]
        assert isinstance(found, dict), found
        return f"{found['code']}: {found['message']}"


class Host:
    """`midwatch up` in a process of its own."""

    def __init__(self, midwatch: Midwatch, *, schedule: str | None = None, state: Path | None = None) -> None:
        self._midwatch = midwatch
        self._schedule = schedule
        self.state = state or midwatch.state
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it and wait until it serves."""
        settings = [] if self._schedule is None else [f"MIDWATCH_SCHEDULE={self._schedule}"]
        command = ["env", *settings, PROGRAM, "up", *self._midwatch.flags[:4], "--state", str(self.state)]
        process = background.spawn([*command, "--port", "0"], log=self._midwatch.folder / "host.log", cwd=ROOT)
        self._process = process

        def serves() -> bool:
            assert process.poll() is None, self.log
            info = running_host(self.state)
            self.url = info.url if info is not None else ""
            return bool(self.url)

        until(serves, "the host")

    def kill(self) -> None:
        """`kill -9`."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it as a service manager would."""
        self._end(signal.SIGTERM)

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self._midwatch.folder / "host.log").read_text()

    def get(self, path: str) -> JsonObject:
        """An answer of the API that must be a success."""
        code, body = self.ask("GET", path)
        assert code == 200, body
        return body

    def ask(self, method: str, path: str, body: object | None = None, *, raw: bytes | None = None) -> Answer:
        """Status and body of an answer of the API."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/{path}", data, headers, method=method)
        try:
            with LOOPBACK.open(request, timeout=60) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            if not str(error.headers["Content-Type"]).startswith("application/problem+json"):
                raise AssertionError(f"{error.code} {error.read()!r}") from error
            return error.code, json.load(error)

    def start_run(self, **body: object) -> str:
        """Start a run; its ID."""
        code, answer = self.ask("POST", "runs", body)
        assert code == 202, answer
        return str(answer["id"])

    def view(self, run: str) -> Run:
        """A run as it is now."""
        return Run(self.get(f"runs/{run}"))

    def wait_end(self, run: str, *, seconds: float = 150) -> Run:
        """Wait for a run's end."""
        until(lambda: self.view(run).data["status"] == "ended", f"the end of run {run}", seconds=seconds, every=0.3)
        return self.view(run)

    def wait_phase(self, run: str, node: str, *phases: str, seconds: float = 60) -> None:
        """Wait until a node is in one of these phases."""

        def there() -> bool:
            found = self.view(run).nodes.get(node)
            return found is not None and found["phase"] in phases

        until(there, f"{node} in {' or '.join(phases)}", seconds=seconds)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            background.end(self._process, how)
            self._process = None


type Answer = tuple[int, JsonObject]


@contextmanager
def hosted(midwatch: Midwatch, *, schedule: str | None = None, state: Path | None = None) -> Iterator[Host]:
    """A host that is killed at the end, whatever happens."""
    host = Host(midwatch, schedule=schedule, state=state)
    try:
        host.start()
        yield host
    finally:
        host.kill()


def leftovers(cluster: Cluster) -> list[str]:
    """What Midwatch has left on a cluster: a held lease, annotations, cordons, pods. Empty after a good run."""
    lease = cluster.api.get(_LEASE)["spec"]
    assert isinstance(lease, dict)
    found = [f"lease of {lease['holderIdentity']}"] if lease.get("holderIdentity") else []
    for node in cluster.nodes():
        name = node.metadata.name
        found += [f"{name} cordoned"] if node.spec.unschedulable else []
        found += [f"{name} {key}" for key in (*node.metadata.annotations, *node.metadata.labels) if _PREFIX in key]
    pods = [pod.metadata for pod in cluster.pods(namespace="midwatch")]
    return found + [f"pod {meta.name}" for meta in pods if _REBOOT_POD.items() <= meta.labels.items()]


def require_reboot(cluster: Cluster, *names: str, packages: Sequence[str] = ("linux-image",)) -> None:
    """Leave the sentinel on these machines and wait for the condition."""
    for name in names:
        cluster.machines[name].require_reboot(list(packages))
    for name in names:
        cluster.wait_condition(name, "True")


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a JSON list."""
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]
