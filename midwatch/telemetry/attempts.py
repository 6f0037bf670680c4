"""One execution of a step: its span, its calls' spans, and its record in the log.

A step runs again when its answer was lost or it failed for now: each execution that came to an end has a span.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from midwatch.domain.base import Message
from midwatch.domain.calls import Call
from midwatch.domain.phases import NodePhase
from midwatch.domain.steps import Claimed, ClusterStep, NodeStep, Released, ReleaseStep
from midwatch.telemetry import ids, records, tree
from midwatch.telemetry.api_paths import read_path
from midwatch.telemetry.host_context import host_link
from midwatch.telemetry.spans import Kind, Span, Value, known

_MOST_CALLS = 400
"""Spans of calls in one execution; what is beyond is only counted."""
_PHASES = {
    "claim_node": NodePhase.CLAIM,
    "claim_by_hand": NodePhase.CLAIM,
    "cordon_node": NodePhase.CORDON,
    "preview_drain": NodePhase.DRAIN,
    "drain_pass": NodePhase.DRAIN,
    "report_drain": NodePhase.DRAIN,
    "recheck_node": NodePhase.RECHECK,
    "reboot_node": NodePhase.REBOOT,
    "look_for_boot": NodePhase.WAIT,
    "look_for_proof": NodePhase.VERIFY,
    "release_node": NodePhase.RELEASE,
    "give_back": NodePhase.RELEASE,
}
"""Which phase of a node a step belongs to; the others belong to the cluster."""

type Put = Callable[[Sequence[Span]], None]


class Attempt:
    """An execution of a step that is under way; `end` must be called once.

    Args:
        name: the step's.
        step: its request.
        put: takes spans; None where there are no traces.
    """

    def __init__(self, name: str, step: ClusterStep, put: Put | None) -> None:
        self._name = name
        self._step = step
        self._put = put
        self._started_at, self._clock = datetime.now(UTC), time.monotonic()
        self._calls: list[Call] = []
        self._more_calls = 0

    @property
    def observer(self) -> Callable[[Call], None] | None:
        """Takes the calls of this execution; None where nobody wants them."""
        return None if self._put is None else self._observe

    def _observe(self, call: Call) -> None:
        if len(self._calls) < _MOST_CALLS:
            self._calls.append(call)
        else:
            self._more_calls += 1

    def end(self, outcome: str, *, error: str | None = None, result: Message | None = None) -> None:
        """The execution is over.

        Args:
            outcome: a stable word.
            error: the error's code; None when there was none.
            result: what came of it, when there was no error.
        """
        seconds = round(time.monotonic() - self._clock, 3)
        found = records.facts(result)
        node = self._step.node if isinstance(self._step, NodeStep) else None
        records.log(
            run_id=self._step.run,
            cluster=self._step.cluster.name,
            node=node,
            step=self._name,
            outcome=outcome,
            duration_seconds=seconds,
            more=found,
        )
        now = datetime.now(UTC)
        above = self._above(result, now)
        for span in above:
            records.log_end(span)
        if self._put is not None:
            step = self._span(outcome, error, found, now)
            self._put([*above, step, *(_call_span(step, call) for call in self._calls)])

    def _above(self, result: Message | None, now: datetime) -> list[Span]:
        """The node and its phases, when this was its last step."""
        if isinstance(self._step, ReleaseStep) and isinstance(result, Released):
            return tree.node_spans(self._step, result, now)
        if self._name == "claim_node" and isinstance(self._step, NodeStep) and isinstance(result, Claimed):
            ended = result.outcome is not None
            return tree.unclaimed_spans(self._step, result, self._started_at, now) if ended else []
        return []

    def _span(self, outcome: str, error: str | None, found: records.Facts, now: datetime) -> Span:
        step, phase = self._step, _PHASES.get(self._name)
        parent, node = ids.cluster_span(step.run, step.cluster.name), None
        if isinstance(step, NodeStep):
            node = step.node
            if phase is not None and not (isinstance(step, ReleaseStep) and step.claimed_by != step.run):
                parent = ids.phase_span(step.run, step.cluster.name, node, phase)
        link = host_link(step.run)
        extra = known(
            midwatch__step=self._name,
            midwatch__phase=str(phase) if phase is not None and node is not None else None,
            midwatch__outcome=outcome,
            midwatch__calls=len(self._calls) + self._more_calls,
            error__type=error,
            midwatch__host__trace_id=link.trace_id if link else None,
            midwatch__host__span_id=link.span_id if link else None,
        )
        return Span(
            trace_id=ids.trace_id(step.run),
            span_id=ids.fresh_span(),
            parent_id=parent,
            name=self._name,
            started_at=self._started_at,
            ended_at=now,
            error=error,
            attributes={**tree.place(step.run, step.cluster, node), **extra, **found.attributes},
            links=(link,) if link else (),
        )


def _call_span(step: Span, call: Call) -> Span:
    """A call, by the conventions for HTTP clients; its URL is without user, password and query."""
    server, path = urlsplit(call.server), read_path(call.path)
    port = server.port or (80 if server.scheme == "http" else 443)
    host = f"[{server.hostname}]" if server.hostname and ":" in server.hostname else server.hostname
    inherited: dict[str, Value] = {
        key: step.attributes[key] for key in ("midwatch.run.id", "k8s.cluster.name") if key in step.attributes
    }
    named = known(
        k8s__namespace__name=path.namespace,
        k8s__node__name=path.name if path.resource == "nodes" else None,
        k8s__pod__name=path.name if path.resource == "pods" else None,
    )
    http = known(
        http__request__method=call.method,
        http__response__status_code=call.status,
        server__address=server.hostname,
        server__port=port,
        url__full=f"{server.scheme}://{host}:{port}{server.path.rstrip('/')}{call.path}",
        url__template=path.template,
        error__type=call.error,
        midwatch__verb=call.verb,
        midwatch__resource=path.resource,
        midwatch__step=str(step.attributes["midwatch.step"]),
    )
    return Span(
        trace_id=step.trace_id,
        span_id=ids.fresh_span(),
        parent_id=step.span_id,
        name=f"{call.method} {path.template}",
        kind=Kind.CLIENT,
        started_at=call.started_at,
        ended_at=call.started_at + call.took,
        error=call.error,
        attributes={**inherited, **named, **http},
    )
