"""The lease of a cluster. Both are idempotent: taking again renews, freeing again does nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from midwatch.domain.steps import ClusterStep, LeaseHeld
from midwatch.kube import leases
from midwatch.kube.client import KubeClient


async def acquire_lease(client: KubeClient, step: ClusterStep) -> LeaseHeld:
    """Take or renew the lease for the run."""
    return await leases.hold_lease(client, step.holder, datetime.now(UTC))


async def release_lease(client: KubeClient, step: ClusterStep) -> LeaseHeld:
    """Free the lease, if the run has it."""
    return await leases.free_lease(client, step.holder, datetime.now(UTC))
