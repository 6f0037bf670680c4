"""How a run, or a drain by hand, ended: told to telemetry. It touches no cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from midwatch.domain.base import Json
from midwatch.domain.by_hand import HandEnded
from midwatch.domain.runs import RunEnded
from midwatch.telemetry import Telemetry


def recording(telemetry: Telemetry) -> dict[str, Callable[[Json], Awaitable[Json]]]:
    """The activities that record. A second call writes its records again, and adds no span."""

    async def record_run(payload: Json) -> Json:
        telemetry.run_ended(RunEnded.from_wire(payload))
        return {}

    async def record_by_hand(payload: Json) -> Json:
        telemetry.hand_ended(HandEnded.from_wire(payload))
        return {}

    for activity in (record_run, record_by_hand):
        activity.__annotations__ = {"payload": dict, "return": dict}  # the worker's indexer knows plain classes only
    return {"record_run": record_run, "record_by_hand": record_by_hand}
