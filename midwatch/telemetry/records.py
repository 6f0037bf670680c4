"""The structured records: one JSON object in one log message, since the worker in Azure forwards nothing else of it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field

from midwatch.domain.base import Json, Message
from midwatch.domain.draining import Drained
from midwatch.domain.steps import Seen, Surveyed
from midwatch.telemetry.spans import Span, Value

_log = logging.getLogger("midwatch.steps")
_MOST = 50
"""Entries of one list in a record: Application Insights cuts a message at 32,768 characters."""
_ENDS = frozenset({"run", "cluster", "node", "drain", "uncordon"})
"""The spans whose end has a record of its own; the phases' are in their steps'."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a result says beyond its outcome: for the record, and for the span."""

    record: Json = field(default_factory=dict)
    attributes: dict[str, Value] = field(default_factory=dict)


def facts(result: Message | None) -> Facts:
    """The facts of a result that someone will ask for: what is waited for, which nodes ask for a reboot since when."""
    match result:
        case Surveyed():
            pending: list[Json] = [
                {"node": one.name, "since": one.since.isoformat() if one.since else None} for one in result.candidates
            ]
            counts: dict[str, Value] = {
                "midwatch.candidates": len(result.candidates),
                "midwatch.skipped": len(result.skipped),
            }
            record: Json = {"pending": pending[:_MOST], "candidates": len(pending), "skipped": len(result.skipped)}
            return Facts(record, counts)
        case Drained() | Seen() if result.left:
            waiting = [{"kind": w.kind, "namespace": w.namespace, "name": w.name, "because": w.because}
                       for w in result.left[:_MOST]]  # fmt: skip
            lines = tuple(f"{w.kind} {w.namespace or ''}/{w.name}: {w.because}" for w in result.left[:_MOST])
            return Facts({"waiting_for": waiting}, {"midwatch.waiting_for": lines})
        case _:
            reason = getattr(result, "reason", None)
            return Facts({"reason": reason}, {"midwatch.reason": reason}) if isinstance(reason, str) else Facts()


def log(  # noqa: PLR0913 - keywords only: the documented keys
    *, run_id: str, cluster: str | None, node: str | None, step: str, outcome: str, duration_seconds: float, more: Facts
) -> None:
    """Write one record."""
    fields: Json = {
        "run_id": run_id,
        "cluster": cluster,
        "node": node,
        "step": step,
        "outcome": outcome,
        "duration_seconds": duration_seconds,
        **more.record,
    }
    _log.info("%s", json.dumps(fields))


def log_warning(run: str, warning: str) -> None:
    """Write what somebody should look into, with the run's ID: a query, and an alert, find it by `warning`."""
    _log.warning("%s", json.dumps({"run_id": run, "step": "run", "warning": warning}))


def log_end(span: Span) -> None:
    """Write the record of a run, cluster or node that has ended: `step` is `run`, `cluster` or `node`."""
    attributes = span.attributes
    if span.name not in _ENDS or "midwatch.phase" in attributes:
        return
    reason = attributes.get("midwatch.reason")
    log(
        run_id=str(attributes["midwatch.run.id"]),
        cluster=_text(attributes.get("k8s.cluster.name")),
        node=_text(attributes.get("k8s.node.name")),
        step=span.name,
        outcome=str(attributes.get("midwatch.outcome")),
        duration_seconds=round((span.ended_at - span.started_at).total_seconds(), 3),
        more=Facts({"reason": reason, "left": list(_listed(attributes.get("midwatch.left")))}),
    )


def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) else None


def _listed(value: Value | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()
