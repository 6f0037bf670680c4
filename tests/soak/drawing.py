"""From a seed to a case. The same seed draws the same case, in every process."""

from __future__ import annotations

import random

from midwatch.simulator import STOP_SECONDS, Behaviour, Fault, FaultKind, Workload
from tests.soak.cases import DEAD_RUN, RIVAL, Act, Case, ClusterPlan, Doubt, NodePlan, Strike

_NAMES = ("blue", "green", "red")
_US = frozenset({"midwatch"})
_WRITES = frozenset({"create", "update", "patch", "delete"})
_LATE_CHANGES = 40
"""Changes by Midwatch within which what happens meanwhile happens: about those of five nodes."""


def draw(seed: int) -> Case:
    """The case of a seed."""
    dice = random.Random(seed)
    clusters = tuple(_cluster(dice, name) for name in _NAMES[: dice.choice((1, 1, 1, 2, 2, 3))])
    return Case(seed, clusters, _policy(dice))


def _chance(dice: random.Random, probability: float) -> bool:
    return dice.random() < probability


def _policy(dice: random.Random) -> dict[str, dict[str, object]]:
    return {
        "nodes": {
            "maxUnavailable": dice.choice((1, 1, 1, 2, 3, "10%", "25%", "50%", "100%")),
            "countCordoned": _chance(dice, 0.3),
            "order": dice.choice(("longest-waiting", "zone-then-age", "name")),
            "settle": dice.choice(("0s", "0s", "30s")),
        },
        "drain": {
            "timeout": dice.choice(("5s", "20s")),
            "misconfiguredTimeout": dice.choice((None, "5s")),
            "onTimeout": dice.choice(("fail", "fail", "fail", "delete", "reboot-anyway")),
            "force": _chance(dice, 0.8),
            "deleteEmptyDirData": _chance(dice, 0.8),
            "excludeFromLoadBalancers": _chance(dice, 0.2),
        },
        "reboot": {"timeout": dice.choice(("10s", "30s")), "method": dice.choice(("signal", "command"))},
        "verify": {"stableFor": dice.choice(("0s", "3s")), "conditionClears": "10s"},
        "failure": {"maxFailedNodes": dice.choice((0, 1, 1, 5)), "keepCordoned": _chance(dice, 0.2)},
    }


def _cluster(dice: random.Random, name: str) -> ClusterPlan:
    rough = _chance(dice, 0.75)
    """Whether anything goes wrong at all: a calm cluster must be patched from end to end."""
    nodes = tuple(_node(dice, name, number, rough=rough) for number in range(dice.randint(2, 8)))
    return ClusterPlan(
        name=name,
        nodes=nodes,
        workloads=_workloads(dice, len(nodes), rough=rough),
        bare=tuple(node.name for node in nodes if node.os == "linux" and not node.off and _chance(dice, 0.1)),
        faults=_faults(dice) if rough else (),
        strikes=_strikes(dice, nodes) if rough else (),
        holder=_holder(dice, nodes) if rough else "",
    )


def _holder(dice: random.Random, nodes: tuple[NodePlan, ...]) -> str:
    if any(node.claimed for node in nodes):
        return DEAD_RUN
    return RIVAL if _chance(dice, 0.04) else ""


def _node(dice: random.Random, cluster: str, number: int, *, rough: bool) -> NodePlan:
    windows = _chance(dice, 0.05)
    off = rough and _chance(dice, 0.05)
    claimed = rough and not windows and not off and _chance(dice, 0.07)
    return NodePlan(
        name=f"{cluster}-{number}",
        pool=dice.choice(("system", "work")),
        zone=f"westeurope-{dice.randint(1, 3)}",
        os="windows" if windows else "linux",
        needs=_chance(dice, 0.6),
        doubt=dice.choice(tuple(Doubt)) if not claimed and _chance(dice, 0.1) else None,
        human=not claimed and _chance(dice, 0.1),
        off=off,
        claimed=claimed,
        behaviour=_behaviour(dice) if rough and _chance(dice, 0.25) else Behaviour(),
    )


def _behaviour(dice: random.Random) -> Behaviour:
    return dice.choice(
        (
            Behaviour(ignores_reboot=True),
            Behaviour(boot_seconds=dice.choice((5.0, 200.0))),
            Behaviour(returns=False),
            Behaviour(returns=False, clean=False),
            Behaviour(clean=False),
            Behaviour(deleted_while_down=True),
            Behaviour(keeps_sentinel=True),
        )
    )


def _workloads(dice: random.Random, nodes: int, *, rough: bool) -> tuple[Workload, ...]:
    found = [Workload("agent", daemon=True, namespace="kube-system")] if _chance(dice, 0.6) else []
    for number in range(dice.randint(0, 3)):
        replicas = dice.randint(1, 2 * nodes)
        guard: int | None = None
        if rough and _chance(dice, 0.5):
            guard = replicas if _chance(dice, 0.3) else max(0, replicas - dice.randint(1, 2))
        found.append(
            Workload(
                f"app{number}",
                replicas=replicas,
                namespace=dice.choice(("default", "shop")),
                min_available=guard,
                empty_dir=_chance(dice, 0.2),
                annotations={STOP_SECONDS: "8"} if _chance(dice, 0.2) else {},
            )
        )
    return tuple(found)


def _faults(dice: random.Random) -> tuple[Fault, ...]:
    often, some = dice.choice((0.03, 0.1, 0.25)), dice.choice((1, 3, 10))
    possible = (
        Fault(FaultKind.ERROR, users=_US, status=dice.choice((500, 503, 429)), probability=often),
        Fault(FaultKind.ERROR, users=_US, status=500, skip=dice.randint(0, 30), times=some * 3),
        Fault(FaultKind.LATENCY, users=_US, seconds=0.02, probability=often),
        Fault(FaultKind.RESET, users=_US, probability=often),
        Fault(FaultKind.LOST_ANSWER, users=_US, verbs=_WRITES, probability=often),
        Fault(FaultKind.LOST_ANSWER, users=_US, verbs=_WRITES, skip=dice.randint(0, 30), times=some),
        Fault(FaultKind.ERROR, users=_US, verbs=frozenset({"patch", "update"}), status=409, probability=often * 2),
        Fault(FaultKind.DROP_WATCH, users=_US, probability=0.5, seconds=0.0),
        Fault(FaultKind.ERROR, users=_US, verbs=frozenset({"watch"}), status=410, probability=0.5),
        _forbidden(dice),
    )
    return tuple(dice.sample(possible, dice.choice((0, 0, 1, 1, 2, 3))))


def _forbidden(dice: random.Random) -> Fault:
    """Rights that are missing, or are taken away."""
    verb, what = dice.choice(
        (("delete", "pods"), ("create", "events"), ("patch", "nodes"), ("create", "pods"), ("create", "pods/eviction"))
    )
    times = dice.choice((None, 1, 4))
    skip = dice.randint(0, 12)
    return Fault(
        FaultKind.ERROR,
        users=_US,
        verbs=frozenset({verb}),
        resources=frozenset({what}),
        status=403,
        skip=skip,
        times=times,
    )


def _strikes(dice: random.Random, nodes: tuple[NodePlan, ...]) -> tuple[Strike, ...]:
    acts = [act for act in Act if act is not Act.KILL]
    found = [Strike(Act.KILL, dice.randint(1, _LATE_CHANGES)) for _ in range(dice.choice((0, 0, 0, 1, 1, 2)))]
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        act = dice.choice(acts)
        found.append(Strike(act, dice.randint(1, _LATE_CHANGES // 2), dice.choice(nodes).name))
    return tuple(found)
