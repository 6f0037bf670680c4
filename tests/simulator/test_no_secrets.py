"""No secret of any setting is in anything that Midwatch writes: output, log, state, spans on disk, or the clusters.

A run over four clusters: one works, one refuses the token, one is behind a proxy that is not there, of one the exec
plugin fails. Each setting that can hold a secret holds a canary, and everything that was written is searched for all.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import yaml

from midwatch.simulator import SimulatedCluster, SimulatedFleet, Workload
from tests.forked import call

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kit.api import JsonObject

TOKEN, PROXY, EXEC, PASSED, HEADER = (f"canary-{name}-8d1f" for name in ("token", "proxy", "exec", "passed", "header"))
INSTRUMENTATION = "c0ffee00-cafe-4bad-babe-facade0ddba1"
"""Says which resource a span is for: Application Insights wants it in each, so the spans that wait on disk have it."""
_NOBODY = "http://127.0.0.1:9"
_POLICY: JsonObject = {
    "apiVersion": "midwatch/v1",
    "nodes": {"settle": "0s"},
    "drain": {"timeout": "20s"},
    "verify": {"stableFor": "0s", "conditionClears": "20s"},
}
_RESOURCE = f"InstrumentationKey={INSTRUMENTATION};IngestionEndpoint={_NOBODY}"
_TARGETS = {
    "azure": {"APPLICATIONINSIGHTS_CONNECTION_STRING": _RESOURCE},
    "otlp": {"OTEL_EXPORTER_OTLP_ENDPOINT": _NOBODY, "OTEL_EXPORTER_OTLP_HEADERS": f"api-key={HEADER}"},
    "console": {},
}


def _kubeconfig(fleet: SimulatedFleet, path: Path) -> Path:
    """Of the fleet, with canaries: a token that is refused, a proxy's password, an exec plugin that says too much."""
    config = yaml.safe_load(fleet.kubeconfig(path, "admin").read_text())
    contexts = {one["name"]: one["context"] for one in config["contexts"]}
    [far] = [one["cluster"] for one in config["clusters"] if one["name"] == contexts["far"]["cluster"]]
    far["proxy-url"] = f"http://me:{PROXY}@127.0.0.1:9"
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "/bin/sh",
        "args": ["-c", 'echo "it went wrong: $SECRET" >&2; exit 1'],
        "env": [{"name": "SECRET", "value": EXEC}],
        "interactiveMode": "Never",
    }
    config["users"] += [{"name": "refused", "user": {"token": TOKEN}}, {"name": "plugin", "user": {"exec": plugin}}]
    for name, user in (("refused", "refused"), ("far", "refused"), ("plugin", "plugin")):
        contexts[name]["user"] = user
    path.write_text(yaml.safe_dump(config))
    return path


def _written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _objects(cluster: SimulatedCluster) -> bytes:
    kinds = (("v1", "Node"), ("v1", "Event"), ("v1", "Pod"), ("coordination.k8s.io/v1", "Lease"))
    return json.dumps([cluster.objects(*kind) for kind in kinds]).encode()


@pytest.mark.parametrize("target", _TARGETS)
def test_no_canary_is_in_anything_that_was_written(tmp_path: Path, target: str) -> None:
    state = tmp_path / "state"
    settings = {**_TARGETS[target], "MIDWATCH_TRACES": target, "PASSED_ON": PASSED}
    with SimulatedFleet(scale=0) as fleet:
        names = ("blue", "refused", "far", "plugin")
        blue = fleet.create(*names, nodes=2)[0]
        blue.create_namespace("midwatch")
        blue.deploy(Workload("shop", replicas=2, min_available=1))
        blue.require_reboot("blue-1", "linux-image")
        fleet.quiesce()
        flags = ["--kubeconfig", str(_kubeconfig(fleet, tmp_path / "kubeconfig"))]
        policy = tmp_path / "policy.yaml"
        clusters = [{"kubeconfig": {"context": name}} for name in names]
        policy.write_text(yaml.safe_dump({**_POLICY, "clusters": clusters}))
        flags += ["--policy", str(policy)]

        runs = [call("run", *flags, "--state", str(state), "--output", "json", seconds=120, env=settings)]
        if target == "otlp":  # what the others write does not depend on it
            runs += [
                call("doctor", *flags, "--output", "json", env=settings),
                call("survey", *flags, "--state", str(state), "--output", "json", env=settings),
            ]

        fleet.check()
        assert blue.boots == {"blue-1": 1}, runs[0].stderr
        assert b"blue-1" in _objects(blue)
        written = {**_written(state), "objects of blue": _objects(blue)}
        token = blue.token("admin")
    for number, done in enumerate(runs):
        written |= {f"stdout {number}": done.stdout.encode(), f"stderr {number}": done.stderr.encode()}
    assert sum(len(content) for content in written.values()) > 10_000
    found = {one["name"]: one["outcome"] for one in json.loads(runs[0].stdout)["clusters"]}
    assert found == {"blue": "completed", **dict.fromkeys(names[1:], "unreachable")}
    canaries = [TOKEN, PROXY, EXEC, PASSED, HEADER, INSTRUMENTATION, token]
    spellings = {c: (c.encode(), base64.b64encode(c.encode()).rstrip(b"=")) for c in canaries}
    leaks = [
        f"{canary} in {where}"
        for where, content in written.items()
        for canary, ways in spellings.items()
        if any(way in content for way in ways) and not (canary == INSTRUMENTATION and where.startswith("traces/"))
    ]
    assert leaks == []
    outbox = state / "traces"
    assert not outbox.exists() or outbox.stat().st_mode & 0o077 == 0, "others may read what waits there"
