"""What a run came to, for people: a table per cluster, and a line of totals."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from midwatch.cli.tables import COLOURS, duration
from midwatch.domain.outcomes import NodeOutcome
from midwatch.domain.runs import ClusterInRun, NodeInRun, RunView

_WIDE = 120
"""From so many columns on, the kernels get a column of their own."""


def summary_tables(run: RunView, columns: int) -> list[Table]:
    """A table for each cluster, aligned: kernels, packages, how long it took, and why where nothing was done."""
    nodes = [node for cluster in run.clusters for node in cluster.nodes]
    names = max((len(node.name) for node in nodes), default=0)
    states = max((len(_state(node)) for node in nodes), default=0)
    kernels = max((len(_kernel(node)) for node in nodes), default=0) if columns >= _WIDE else 0
    return [_cluster_table(cluster, names, states, kernels) for cluster in run.clusters]


def _cluster_table(cluster: ClusterInRun, names: int, states: int, kernels: int) -> Table:
    title = f"[bold]{escape(cluster.name)}[/bold]: {cluster.outcome or cluster.status}"
    if cluster.error is not None:
        title += f" [red]({escape(str(cluster.error))})[/red]"
    table = Table(title=title, title_justify="left", title_style="", box=None, pad_edge=False, header_style="dim")
    table.add_column("NODE", no_wrap=True, width=max(names, len("NODE")))
    table.add_column("OUTCOME", no_wrap=True, width=max(states, len("OUTCOME")))
    table.add_column("TIME", no_wrap=True, width=6, justify="right")
    if kernels:
        table.add_column("KERNEL", no_wrap=True, width=kernels)
    table.add_column("PACKAGES, OR WHY NOT", overflow="fold", ratio=1)
    for node in sorted(cluster.nodes, key=lambda node: node.started_at is None):
        colour = COLOURS.get(node.outcome, "red") if node.outcome else "cyan"
        taken = duration(node.ended_at - node.started_at) if node.started_at and node.ended_at else ""
        said = [_kernel(node), node.reason or ", ".join(node.packages)]
        details = said if kernels else ["\n".join(filter(None, said))]
        table.add_row(escape(node.name), Text(_state(node), style=colour), taken, *map(Text, details))
    return table


def _state(node: NodeInRun) -> str:
    return str(node.outcome or node.phase)


def _kernel(node: NodeInRun) -> str:
    """Before and after."""
    before, after = node.kernel_before, node.kernel_after
    if not before:
        return ""
    return f"{before} -> {after}" if after and after != before else f"{before} stays"


def totals(run: RunView, nodes: int) -> str:
    """One line: how many nodes of how many clusters came to what. `nodes`: all that the clusters have."""
    ends = Counter(node.outcome for cluster in run.clusters for node in cluster.nodes)
    counts = [f"{ends[outcome]} {outcome}" for outcome in NodeOutcome if ends[outcome]]
    idle = nodes - ends.total()
    counts += [f"{idle} needed no reboot"] if idle else []
    length = duration((run.ended_at - run.started_at) if run.ended_at else None)
    clusters = f"{len(run.clusters)} cluster{'' if len(run.clusters) == 1 else 's'}"
    return f"{clusters}, {nodes} nodes: {', '.join(counts)}; {length} in all."
