"""Durable instances, as far as the API reads them; the only module here that knows the durable client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from durabletask.client import AsyncTaskHubGrpcClient, OrchestrationQuery, OrchestrationState, OrchestrationStatus

from midwatch.domain import ids
from midwatch.domain.base import Json, Message
from midwatch.domain.by_hand import HandAction, HandRequest
from midwatch.domain.runs import CANCEL_EVENT, FleetRequest

_LIVE = [OrchestrationStatus.RUNNING, OrchestrationStatus.PENDING, OrchestrationStatus.SUSPENDED]


class Instance(Message):
    """One orchestration instance. `output` and `custom_status` are None where there is none."""

    id: str
    live: bool
    pending: bool
    paused: bool
    failed: bool
    terminated: bool
    failure: str | None
    input: Json | None
    output: Json | None
    custom_status: Json | None
    created_at: datetime
    updated_at: datetime


class Instances:
    """The instances of this function app's task hub. A run is started within `starting` its ID."""

    def __init__(self, client: AsyncTaskHubGrpcClient, starting: Callable[[str], AbstractContextManager[None]]) -> None:
        self._client = client
        self._starting = starting

    async def start(self, request: FleetRequest) -> None:
        """Start a run; the run's ID is the instance ID."""
        with self._starting(request.run):
            await self._client.schedule_new_orchestration(
                "patch_fleet", input=request.to_wire(), instance_id=request.run
            )

    async def start_by_hand(self, request: HandRequest) -> None:
        """Start a drain, or an uncordon, of one node."""
        name = "drain_by_hand" if request.action is HandAction.DRAIN else "uncordon_by_hand"
        instance = ids.hand_instance(request.id)
        with self._starting(request.id):
            await self._client.schedule_new_orchestration(name, input=request.to_wire(), instance_id=instance)

    async def live_by_hand(self) -> list[HandRequest]:
        """The drains and uncordons by hand that have not ended, without dry runs, oldest first."""
        query = OrchestrationQuery(
            runtime_status=_LIVE, instance_id_prefix=ids.HAND_PREFIX, fetch_inputs_and_outputs=True
        )
        found = [_read(state) for state in await self._client.get_all_orchestration_states(query)]
        own = [instance for instance in found if ":" not in instance.id.removeprefix(ids.HAND_PREFIX)]
        requests = [HandRequest.model_validate(instance.input) for instance in own]
        return sorted((one for one in requests if not one.dry_run), key=lambda request: request.id)

    async def cancel(self, run: str) -> None:
        """Ask a run to stop."""
        await self._client.raise_orchestration_event(run, CANCEL_EVENT)

    async def live_runs(self) -> list[str]:
        """The IDs of the runs that have not ended, oldest first."""
        found = await self._client.get_all_orchestration_states(OrchestrationQuery(runtime_status=_LIVE))
        return sorted(state.instance_id for state in found if _is_run(state.instance_id))

    async def runs(self) -> list[str]:
        """The IDs of all runs, newest first. Payloads are not fetched; the IDs of runs sort by time."""
        found = await self._client.get_all_orchestration_states(OrchestrationQuery())
        return sorted((state.instance_id for state in found if _is_run(state.instance_id)), reverse=True)

    async def read(self, instance: str) -> Instance | None:
        """One instance, None where there is none."""
        state = await self._client.get_orchestration_state(instance)
        return None if state is None else _read(state)

    async def below(self, run: str) -> list[Instance]:
        """The instances of a run's clusters, nodes and waits."""
        query = OrchestrationQuery(instance_id_prefix=f"{run}:", fetch_inputs_and_outputs=True)
        return [_read(state) for state in await self._client.get_all_orchestration_states(query)]


def _is_run(instance: str) -> bool:
    """Clusters, nodes and waits have the run's ID and a colon in front."""
    return ":" not in instance


def _read(state: OrchestrationState) -> Instance:
    status = state.runtime_status
    return Instance(
        id=state.instance_id,
        live=status in _LIVE,
        pending=status is OrchestrationStatus.PENDING,
        paused=status is OrchestrationStatus.SUSPENDED,
        failed=status is OrchestrationStatus.FAILED,
        terminated=status is OrchestrationStatus.TERMINATED,
        failure=state.failure_details.message if state.failure_details is not None else None,
        input=_json(state.serialized_input),
        output=_json(state.serialized_output),
        custom_status=_json(state.serialized_custom_status),
        created_at=_utc(state.created_at),
        updated_at=_utc(state.last_updated_at),
    )


def _json(text: str | None) -> Json | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return dict(value) if isinstance(value, Mapping) else None


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
