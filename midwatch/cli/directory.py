"""Policy and clusters, read without a host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.directory import ClusterDirectory
from midwatch.aks import AksClusters
from midwatch.azure.account import AzureAccount
from midwatch.domain.policy import Policy
from midwatch.kube.pool import ClientPool
from midwatch.policies import Policies


@asynccontextmanager
async def open_directory() -> AsyncIterator[ClusterDirectory]:
    """The clusters of the policy and the kubeconfig that the environment names; closed at the end."""
    async with AzureAccount(os.environ) as azure:
        aks = AksClusters(azure)
        pool = ClientPool(os.environ, aks)
        try:
            yield ClusterDirectory(pool, aks, Policies(os.environ, azure).read)
        finally:
            await pool.close()


def policy_in_force() -> Policy:
    """The policy that the environment names. Raises MidwatchError."""

    async def read() -> Policy:
        async with AzureAccount(os.environ) as azure:
            return await Policies(os.environ, azure).read()

    return asyncio.run(read())
