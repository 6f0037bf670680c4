"""What is known of the nodes of a cluster: who cordoned them, who holds them, and since when they are down."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.kit.objects import Node

if TYPE_CHECKING:
    from tests.soak.staging import Staged

_RUN = "midwatch.dev/run"
_STALE_AFTER = timedelta(minutes=11)


class NodeBook:
    """Kept up to date by the watcher, in the simulator's thread."""

    def __init__(self, staged: Staged) -> None:
        self.human: dict[str, float] = {}
        """The nodes that a human has cordoned, and when; 0 for those from before the run."""
        self._nodes: dict[str, Node] = {}
        self._deleted_at: list[float] = []
        self._let_go_at: dict[str, float] = {}
        """When somebody else last uncordoned or deleted a node that Midwatch held."""
        self._down_at: dict[str, float] = {}
        self._claimed_at: dict[str, float] = {}
        self._cordoned: set[str] = set()
        """Nodes that Midwatch (also an earlier run of it) has cordoned, and that are so still."""
        self._began: set[str] = set()
        for doc in staged.cluster.objects("v1", "Node"):
            node = Node.model_validate(doc)
            name = node.metadata.name
            self._nodes[name] = node
            if node.spec.unschedulable:
                if _RUN in node.metadata.annotations:
                    self._cordoned.add(name)
                else:
                    self.human[name] = 0.0
            if not node.ready:
                self._down_at[name] = 0.0

    def total(self, fresh_seconds: float) -> int:
        """How many nodes there were a moment ago, before others deleted some."""
        return len(self._nodes) + sum(time.monotonic() - when < fresh_seconds for when in self._deleted_at)

    def holds(self, name: str) -> bool:
        """Whether a run has the node claimed and cordoned."""
        node = self._nodes.get(name)
        return node is not None and node.spec.unschedulable and _RUN in node.metadata.annotations

    def held_lately(self, name: str, seconds: float) -> bool:
        """Whether a run holds the node, or did until somebody else uncordoned or deleted it a moment ago."""
        let_go = self._let_go_at.get(name)
        return self.holds(name) or (let_go is not None and time.monotonic() - let_go < seconds)

    def run_of(self, name: str) -> str:
        """The run that has it claimed."""
        node = self._nodes.get(name)
        return node.metadata.annotations.get(_RUN, "") if node is not None else ""

    def was_cordoned(self, name: str) -> bool:
        """Whether Midwatch has cordoned it since its claim: again is no start."""
        return name in self._began

    def note(self, before: Node, after: Node, *, ours: bool) -> None:
        """Take a change."""
        name = after.metadata.name
        self._nodes[name] = after
        if before.ready and not after.ready:
            self._down_at[name] = time.monotonic()
        elif after.ready:
            self._down_at.pop(name, None)
        run = after.metadata.annotations.get(_RUN)
        if run != before.metadata.annotations.get(_RUN):
            self._began.discard(name)
            if run is None:
                self._claimed_at.pop(name, None)
            else:
                self._claimed_at[name] = time.monotonic()
        if before.spec.unschedulable != after.spec.unschedulable:
            self._note_cordon(name, on=after.spec.unschedulable, ours=ours)

    def forget(self, name: str) -> None:
        """Its object is deleted."""
        if self.holds(name):
            self._let_go_at[name] = time.monotonic()
        self._deleted_at.append(time.monotonic())
        self.human.pop(name, None)
        self._nodes.pop(name, None)
        for marks in (self._cordoned, self._began):
            marks.discard(name)
        for times in (self._down_at, self._claimed_at):
            times.pop(name, None)

    def unavailable(self, starting: str, fresh_seconds: float, *, cordoned: bool) -> set[str]:
        """The nodes that count when this one is started."""
        before = self._claimed_at.get(starting, time.monotonic()) - fresh_seconds
        down = {name for name, since in self._down_at.items() if since <= before or name in self._claimed_at}
        others = {name for name, since in self.human.items() if since <= before} if cordoned else set()
        return {starting} | down | set(self._claimed_at) | self._cordoned | others

    def _note_cordon(self, name: str, *, on: bool, ours: bool) -> None:
        if not on:
            if not ours:
                self._let_go_at[name] = time.monotonic()
            self.human.pop(name, None)
            self._cordoned.discard(name)
        elif ours:
            self._cordoned.add(name)
            self._began.add(name)
        elif name in self._began:
            self._cordoned.add(name)  # put back under our claim before we looked: taken for our own
        else:
            self.human[name] = time.monotonic()


def is_fit(node: Node) -> str | None:
    """None when a node may be taken on, as it stands; else why not."""
    need = node.condition("RebootRequired")
    if need is None or need.last_heartbeat_time is None:
        return "it does not say whether it needs a reboot"
    unfit = {
        f"its condition is {need.status}": need.status != "True",
        "its condition is stale": datetime.now(UTC) - need.last_heartbeat_time > _STALE_AFTER,
        "it is no Linux node": node.metadata.labels.get("kubernetes.io/os") != "linux",
        "it is not Ready": not node.ready,
        "somebody else had cordoned it": node.spec.unschedulable and _RUN not in node.metadata.annotations,
    }
    return next((why for why, holds in unfit.items() if holds), None)
