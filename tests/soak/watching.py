"""Looks at every change of a cluster, and keeps what must never happen. It believes no report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from midwatch.simulator import Change, ChangeType
from tests.kit.objects import Node, Pod
from tests.soak.cases import Case, budget_of
from tests.soak.nodes import NodeBook, is_fit
from tests.soak.pods import PodBook, name_of

if TYPE_CHECKING:
    from tests.soak.staging import Staged

US = "midwatch"
_FRESH_SECONDS = 1.5
"""What others did so shortly before may have come between Midwatch's look and its act."""


class Watcher:
    """The invariants of one cluster.

    A start is the claim of a node, and its first cordon. At each start the nodes that count are: those that Midwatch
    holds, those that it has left cordoned, and those that are not Ready, whatever the reason, unless they became so in
    the second before the claim. That sum must be within the budget.

    Args:
        staged: the cluster.
        case: for its policy.
        on_change: called after each change that Midwatch makes, with their number.
    """

    def __init__(self, staged: Staged, case: Case, on_change: Callable[[int], None]) -> None:
        self.violations: list[str] = []
        self.changes = 0
        self.run = ""
        self.claimed: set[str] = set()
        """Nodes that Midwatch has claimed at any time."""
        self.deleted: set[str] = set()
        self.reboot_pods: Counter[str] = Counter()
        self._staged = staged
        self._policy = case.policy
        self._on_change = on_change
        self._book = NodeBook(staged)
        self._pods = PodBook(staged)
        self._holder = staged.plan.holder
        self._holder_since = 0.0
        staged.cluster.observe(self._look)

    @property
    def human(self) -> frozenset[str]:
        """The nodes that a human has cordoned, as things stand."""
        return frozenset(self._book.human)

    def _look(self, change: Change) -> None:
        user, verb, what = self._staged.cluster.acting
        ours = user == US
        kind = change.resource.plural
        if kind == "nodes":
            self._look_at_node(change, ours=ours)
        elif kind == "pods":
            pod = self._pods.note(change)
            if ours:
                self._look_at_pod(change, pod, by=f"{verb} {what}")
        elif kind == "leases":
            self._look_at_lease(change)
        if ours:
            self.changes += 1
            self._on_change(self.changes)

    def _say(self, text: str) -> None:
        self.violations.append(f"{self._staged.plan.name}: {text}")

    # -- nodes --------------------------------------------------------------------------------------------------------

    def _look_at_node(self, change: Change, *, ours: bool) -> None:
        after = Node.model_validate(change.record.doc)
        name = after.metadata.name
        if change.type is ChangeType.DELETED:
            self.deleted.add(name)
            self._book.forget(name)
            return
        before = Node.model_validate(change.before.doc) if change.before is not None else after
        if ours:
            self._judge(before, after)
        self._book.note(before, after, ours=ours)

    def _judge(self, before: Node, after: Node) -> None:
        name = after.metadata.name
        run, former = _run_of(after), _run_of(before)
        claims = run is not None and run != former
        cordons = after.spec.unschedulable and not before.spec.unschedulable
        if claims:
            self.claimed.add(name)
            if (unfit := is_fit(before)) is not None:
                self._say(f"{name} was claimed, and {unfit}")
            self._check_lease(f"{name} was claimed", str(run))
        if cordons and former is None:
            self._say(f"{name} was cordoned without a claim")
        if claims or (cordons and not self._book.was_cordoned(name)):
            self._check_budget(name, "claimed" if claims else "cordoned")
        if before.spec.unschedulable and not after.spec.unschedulable and name in self._book.human:
            self._say(f"the cordon of a human on {name} was removed")

    def _check_budget(self, name: str, how: str) -> None:
        counted = self._book.unavailable(name, _FRESH_SECONDS, cordoned=self._policy["nodes"]["countCordoned"] is True)
        budget = budget_of(self._policy["nodes"]["maxUnavailable"], self._book.total(_FRESH_SECONDS))
        if len(counted) > budget:
            self._say(f"{name} was {how}, and {len(counted)} are unavailable of {budget}: {sorted(counted)}")

    # -- pods ---------------------------------------------------------------------------------------------------------

    def _look_at_pod(self, change: Change, pod: Pod, *, by: str) -> None:
        node, name = pod.spec.node_name, name_of(pod)
        if pod.metadata.namespace == "midwatch":
            if change.type is ChangeType.ADDED:
                self._look_at_reboot(node)
            return
        if not self._book.held_lately(node, _FRESH_SECONDS):
            self._say(f"{name} was told to go, and {node} is neither claimed nor cordoned")
        if by == "delete pods" and self._policy["drain"]["onTimeout"] != "delete":
            self._say(f"{name} was deleted past the budgets")

    def _look_at_reboot(self, node: str) -> None:
        self.reboot_pods[node] += 1
        if not self._book.held_lately(node, _FRESH_SECONDS):
            self._say(f"a reboot pod was started on {node}, which is neither claimed nor cordoned")
        if time.monotonic() - self._book.human.get(node, time.monotonic()) > _FRESH_SECONDS:
            self._say(f"a reboot pod was started on {node}, which a human has cordoned")
        self._check_lease(f"a reboot pod was started on {node}", self._book.run_of(node))
        if self._policy["drain"]["onTimeout"] != "reboot-anyway" and (left := self._pods.to_drain(node)):
            self._say(f"a reboot pod was started on {node}, and it has {left}")

    # -- the lease ----------------------------------------------------------------------------------------------------

    def _look_at_lease(self, change: Change) -> None:
        spec = change.record.doc.get("spec")
        holder = str(spec.get("holderIdentity") or "") if isinstance(spec, dict) else ""
        if holder != self._holder:
            self._holder, self._holder_since = holder, time.monotonic()

    def _check_lease(self, did: str, run: str) -> None:
        """The holder is `run:cluster`."""
        if self._holder.partition(":")[0] != run and time.monotonic() - self._holder_since > _FRESH_SECONDS:
            self._say(f"{did} for run {run}, and {self._holder or 'nobody'} holds the lease")

    @property
    def holder(self) -> str:
        """Who holds the lease."""
        return self._holder


def _run_of(node: Node) -> str | None:
    return node.metadata.annotations.get("midwatch.dev/run")
