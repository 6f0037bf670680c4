"""A node of 100 pods: `midwatch drain` against `kubectl drain` and against the least that it can take, in pairs."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import raw
from tests.bench.figures import Figure
from tests.e2e.midwatch import Host, Midwatch, call, hosted
from tests.kit.background import until
from tests.kit.kubelet.node import NodeSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kit.cluster import Cluster
    from tests.kit.fleet import Fleet

    type Drain = Callable[[str], Sample]

_PODS = 100
_ROUNDS = 3
_KUBECTL_GOAL = 0.50
_RAW_GOAL = 1.30
_CALLS_GOAL = 1.00
_LOOK_SECONDS = 0.2
"""How often the host is asked; its answers cost the two cores that all of this shares."""
_KUBECTL = ("--ignore-daemonsets", "--delete-emptydir-data", "--force")
"""Midwatch's defaults."""


@dataclass(frozen=True)
class Sample:
    """One drain: how long, and how many requests the API server's audit log has of it."""

    seconds: float
    calls: int = 0


def measure(fleet: Fleet) -> Iterator[Figure]:
    """Drain a node of 100 pods to and fro between two nodes.

    Each round in turn: every eviction sent at once (raw), `kubectl drain`, `midwatch drain` as a command with its own
    host, and the same through a host that is running, which leaves the start of the process aside.
    """
    [cluster] = fleet.create("blue", nodes=[NodeSpec("node-a"), NodeSpec("node-b")])
    cluster.deploy_daemons("agent")
    cluster.cordon("node-b")
    cluster.deploy("load", _PODS)
    cluster.cordon("node-b", on=False)
    midwatch = Midwatch(fleet, drain={"timeout": "5m"})
    samples: dict[str, list[Sample]] = {"raw": [], "kubectl": [], "command": [], "host": []}
    node = "node-a"
    with hosted(midwatch, state=midwatch.folder / "served") as host:
        ways: dict[str, Drain] = {
            "raw": lambda name: Sample(raw.drain(cluster, name)),
            "kubectl": lambda name: _kubectl(cluster, name),
            "command": lambda name: _command(cluster, midwatch, name),
            "host": lambda name: _through(cluster, host, name),
        }
        for turn in range(_ROUNDS):
            names = list(ways)
            for way in names[turn % len(names) :] + names[: turn % len(names)]:
                samples[way].append(ways[way](node))
                node = _settle(cluster, node)
            last = {way: found[-1] for way, found in samples.items()}
            print(
                "  " + ", ".join(f"{w} {s.seconds:.1f} s {s.calls or '-'} calls" for w, s in last.items()), flush=True
            )
    yield Figure("calls", _paired(samples, "command", "kubectl", calls=True), _CALLS_GOAL)
    yield Figure("raw bound", _paired(samples, "host", "raw"), _RAW_GOAL)
    yield Figure("drain", _paired(samples, "command", "kubectl"), _KUBECTL_GOAL)


def _paired(samples: dict[str, list[Sample]], ours: str, theirs: str, *, calls: bool = False) -> float:
    """The median of the ratios of the rounds."""
    pairs = zip(samples[ours], samples[theirs], strict=True)
    return statistics.median(a.calls / b.calls if calls else a.seconds / b.seconds for a, b in pairs)


def _counted(cluster: Cluster, user: str, act: Callable[[], None]) -> Sample:
    start = cluster.plane.audit_size
    began = time.monotonic()
    act()
    seconds = time.monotonic() - began
    return Sample(seconds, len(cluster.plane.audit_events(user, start=start)))


def _kubectl(cluster: Cluster, node: str) -> Sample:
    return _counted(cluster, "admin", lambda: _checked(cluster.plane.kubectl("drain", node, *_KUBECTL)))


def _checked(text: str) -> None:
    assert "drained" in text, text


def _command(cluster: Cluster, midwatch: Midwatch, node: str) -> Sample:
    def drain() -> None:
        done = call("drain", node, "--context", "blue", *midwatch.flags, "--output", "json", seconds=300)
        assert done.code == 0, done.stderr

    sample = _counted(cluster, "midwatch", drain)
    assert call("uncordon", node, "--context", "blue", *midwatch.flags).code == 0
    return sample


def _through(cluster: Cluster, host: Host, node: str) -> Sample:
    sample = _counted(cluster, "midwatch", lambda: _by_hand(host, "drain", node))
    _by_hand(host, "uncordon", node)
    return sample


def _by_hand(host: Host, action: str, node: str) -> None:
    code, started = host.ask("POST", "drains", {"action": action, "cluster": "blue", "node": node})
    assert code == 202, started
    path = f"drains/{started['id']}"
    until(lambda: host.get(path)["status"] == "ended", f"the {action} of {node}", seconds=300, every=_LOOK_SECONDS)
    assert host.get(path)["error"] is None


def _settle(cluster: Cluster, node: str) -> str:
    """Wait until all pods run on the other node, open this one again; the other node's name."""
    until(lambda: sum(p.ready for p in cluster.pods("load")) == _PODS, "all pods again", every=0.3, seconds=120)
    cluster.cordon(node, on=False)
    return "node-b" if node == "node-a" else "node-a"
