"""The IDs of a run's trace, drawn from names: every process knows them without being told, and they never change."""

from __future__ import annotations

import hashlib
import secrets

from midwatch.domain.phases import NodePhase

_TRACE_DIGITS = 32
_SPAN_DIGITS = 16


def trace_id(run: str) -> str:
    """The trace, and Application Insights' operation ID, of a run: `printf %s RUN | sha256sum | cut -c 1-32`."""
    return hashlib.sha256(run.encode()).hexdigest()[:_TRACE_DIGITS]


def run_span(run: str) -> str:
    """The span of a run."""
    return _span("run", run)


def cluster_span(run: str, cluster: str) -> str:
    """The span of a cluster in a run."""
    return _span("cluster", run, cluster)


def node_span(run: str, cluster: str, node: str) -> str:
    """The span of a node in a run."""
    return _span("node", run, cluster, node)


def phase_span(run: str, cluster: str, node: str, phase: NodePhase) -> str:
    """The span of a phase of a node."""
    return _span("phase", run, cluster, node, phase)


def fresh_span() -> str:
    """For what happens anew each time: an execution of a step, a call."""
    return secrets.token_hex(_SPAN_DIGITS // 2)


def _span(*names: str) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:_SPAN_DIGITS]
