"""The lease that makes sure of one run per cluster."""

from __future__ import annotations

from datetime import UTC, datetime

from midwatch.domain.errors import PermanentError
from midwatch.domain.lease import DURATION, NAME, NAMESPACE, LeaseMove, LeaseView, move
from midwatch.domain.steps import LeaseHeld
from midwatch.kube.client import JsonObject, KubeClient
from midwatch.kube.errors import AlreadyExists, Conflict, NotFound
from midwatch.kube.objects import Lease

_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_TRIES = 3
"""Two hosts that start at once meet here; the second look shows who was first."""


async def read_lease(client: KubeClient) -> LeaseView | None:
    """The lease as stored, None where there is none."""
    try:
        return Lease.read(await client.get(f"{_LEASES}/{NAME}")).view()
    except NotFound:
        return None


async def hold_lease(client: KubeClient, holder: str, now: datetime) -> LeaseHeld:
    """Take the lease, or renew it. A second call renews.

    Raises:
        PermanentError: `namespace-missing`, when the cluster was not prepared (`deploy/rbac`).
    """
    for _ in range(_TRIES):
        lease = await read_lease(client)
        decided = move(lease, holder, now)
        if decided is LeaseMove.BUSY:
            assert lease is not None
            return LeaseHeld(held=False, holder=lease.holder)
        try:
            await _write(client, lease, holder, now)
        except (Conflict, AlreadyExists):
            continue
        return LeaseHeld(held=True, holder=holder)
    lease = await read_lease(client)
    found = lease.holder if lease else ""
    return LeaseHeld(held=found == holder, holder=found)


async def free_lease(client: KubeClient, holder: str, now: datetime) -> LeaseHeld:
    """Give the lease back, if `holder` has it. A second call does nothing.

    Raises:
        Conflict: somebody else changed it each time between our look and our write; it is still held.
    """
    for attempt in range(1, _TRIES + 1):
        lease = await read_lease(client)
        if lease is None or lease.holder != holder:
            break
        try:
            await _write(client, lease, "", now)
        except (Conflict, NotFound):
            if attempt == _TRIES:
                raise
        else:
            break
    return LeaseHeld(held=False, holder="")


async def _write(client: KubeClient, lease: LeaseView | None, holder: str, now: datetime) -> None:
    changed_hands = lease is None or lease.holder != holder or lease.acquired is None
    body: JsonObject = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(DURATION.total_seconds()),
            "acquireTime": _micro_time(now if changed_hands or lease is None or not lease.acquired else lease.acquired),
            "renewTime": _micro_time(now),
        },
    }
    if lease is not None:
        body["metadata"] = {"name": NAME, "namespace": NAMESPACE, "resourceVersion": lease.resource_version}
        await client.replace(f"{_LEASES}/{NAME}", body)
        return
    try:
        await client.create(_LEASES, body)
    except NotFound as error:
        text = f"namespace {NAMESPACE!r} is missing: prepare the cluster with `kubectl apply -k deploy/rbac`"
        raise PermanentError("namespace-missing", text) from error


def _micro_time(when: datetime) -> str:
    """Kubernetes' MicroTime: six digits, always."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
