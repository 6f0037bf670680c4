"""After the run: is anything left behind, and does the report say what the clusters and their machines say?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midwatch.simulator import Machine
from tests.e2e.midwatch import Run, objects
from tests.kit.objects import Node, Pod
from tests.soak.cases import DEAD_RUN, Act, Case, NodePlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.kit.api import JsonObject
    from tests.soak.staging import Staged
    from tests.soak.watching import Watcher

_EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
_SAYS_SO = ("left:", "possibly", "abandoned", "stays cordoned")
_TOLD = frozenset({"rebooted", "still-required", "reboot-failed", "not-ready", "gone", "taken-over"})
"""Outcomes of nodes that may have been told to reboot."""


@dataclass(frozen=True)
class _Seen:
    """A node at the end, as cluster, machine, plan and report have it."""

    plan: NodePlan
    node: Node | None
    machine: Machine
    reported: JsonObject | None

    @property
    def outcome(self) -> str:
        return str(self.reported["outcome"]) if self.reported is not None else ""

    @property
    def reason(self) -> str:
        return str(self.reported["reason"] or "") if self.reported is not None else ""


def judge(case: Case, staged: Sequence[Staged], watchers: Sequence[Watcher], report: Run) -> list[str]:
    """What is wrong, in words."""
    problems: list[str] = []
    for one, watcher in zip(staged, watchers, strict=True):
        cluster = report.clusters[one.plan.name]
        seen = list(_seen(one, cluster))
        looked = cluster["outcome"] not in {"unreachable", "busy"}
        found = [text for each in seen for text in _node(each, watcher, _others(one))]
        found += [text for each in seen if looked or not each.plan.claimed for text in _leftovers(each, watcher)]
        found += _left_in_namespace(one, cluster, watcher)
        if one.plan.holder not in {"", DEAD_RUN} and (looked or watcher.changes):
            found.append(f"{one.plan.holder} held the lease, and the run made {watcher.changes} changes: {cluster}")
        problems += [f"{one.plan.name}: {text}" for text in found]
    if case.calm:
        problems += _calm(case, report)
    return problems


def _seen(staged: Staged, cluster: JsonObject) -> Iterator[_Seen]:
    nodes = {n.metadata.name: n for n in map(Node.model_validate, staged.cluster.objects("v1", "Node"))}
    reported = {str(node["name"]): node for node in objects(cluster["nodes"])}
    machines = staged.cluster.machines
    for plan in staged.plan.nodes:
        yield _Seen(plan, nodes.get(plan.name), machines[plan.name], reported.get(plan.name))


def _others(staged: Staged) -> dict[str, set[Act]]:
    """What others did to nodes, by node."""
    found: dict[str, set[Act]] = {}
    for strike in staged.plan.strikes:
        found.setdefault(strike.node, set()).add(strike.act)
    return found


def _node(seen: _Seen, watcher: Watcher, others: dict[str, set[Act]]) -> Iterator[str]:
    name, signals = seen.plan.name, seen.machine.signals
    if signals > 1:
        yield f"{name} was told to reboot {signals} times"
    if signals and not seen.outcome:
        yield f"{name} was told to reboot, and is not in the report"
    if signals and seen.outcome not in _TOLD:
        yield f"{name} was told to reboot, and is reported {seen.outcome}: {seen.reason}"
    if name in watcher.claimed and not seen.outcome:
        yield f"{name} was claimed, and is not in the report"
    disturbed = bool(others.get(name, set()) & {Act.POWER_OFF, Act.DELETE_NODE})
    if not disturbed:
        yield from _truth(seen)


def _truth(seen: _Seen) -> Iterator[str]:
    """Whether the outcome is what the machine did; for nodes that nobody else has powered off or deleted."""
    name, machine, node = seen.plan.name, seen.machine, seen.node
    need = node.condition("RebootRequired") if node is not None else None
    up = node is not None and node.ready
    says = f"{name} is reported {seen.outcome} ({seen.reason}), and"
    match seen.outcome:
        case "rebooted" if machine.boots != 1 or not up or need is None or need.status != "False":
            yield f"{says} booted {machine.boots} times, Ready is {up}, its condition is {need}"
        case "still-required" if machine.boots != 1 or need is None or need.status != "True":
            yield f"{says} booted {machine.boots} times, its condition is {need}"
        case "reboot-failed" | "skipped" | "cancelled" | "drain-failed" if machine.boots:
            yield f"{says} booted {machine.boots} times"
        case "gone" if node is not None:
            yield f"{says} is there"
        case "taken-over":
            yield f"{says} there is no auto-repair here"
        case _:
            pass
    if seen.outcome == "rebooted" and seen.reported is not None:
        told = seen.reported["kernelAfter"], seen.reported["bootIDAfter"]
        if told != (machine.kernel, machine.boot_id):
            yield f"{says} the evidence is {told}, the machine's {(machine.kernel, machine.boot_id)}"


def _leftovers(seen: _Seen, watcher: Watcher) -> Iterator[str]:
    if seen.node is None:
        return
    name, meta = seen.plan.name, seen.node.metadata
    left = [key for key in meta.annotations if "midwatch" in key]
    left += [_EXCLUDE] if _EXCLUDE in meta.labels else []
    left += ["the cordon"] if seen.node.spec.unschedulable and name not in watcher.human else []
    if left and not any(word in seen.reason for word in _SAYS_SO):
        yield f"{name} is left with {left}, and the report says {seen.outcome}: {seen.reason}"


def _left_in_namespace(staged: Staged, cluster: JsonObject, watcher: Watcher) -> Iterator[str]:
    reasons = [str(node["reason"] or "") for node in objects(cluster["nodes"])]
    for doc in staged.cluster.objects("v1", "Pod", "midwatch"):
        pod = Pod.model_validate(doc)
        if not any("reboot pod" in reason or "possibly" in reason for reason in reasons):
            yield f"pod {pod.metadata.name} is left on {pod.spec.node_name}, and the report does not say so"
    holder = watcher.holder
    said = any(words in str(cluster["error"]) for words in ("lease was not released", "lease was taken is not known"))
    if watcher.run and holder.startswith(watcher.run) and not said:
        yield f"the lease is left to {holder}, and the report says {cluster['outcome']}: {cluster['error']}"


def _calm(case: Case, report: Run) -> Iterator[str]:
    for plan in case.clusters:
        for node in plan.nodes:
            wanted = node.needs and node.doubt is None and not node.human and node.os == "linux"
            if wanted and report.outcomes.get(node.name) != "rebooted":
                found = report.nodes.get(node.name)
                yield f"{plan.name}: nothing was in the way of {node.name}, and it ended {found}"
