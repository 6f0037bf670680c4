"""The clusters, read without a host."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from activities.directory import ClusterDirectory
from midwatch.aks import AksClusters
from midwatch.config import Settings, load_policy
from midwatch.kube.pool import ClientPool


@asynccontextmanager
async def open_directory() -> AsyncIterator[ClusterDirectory]:
    """The clusters of the policy and the kubeconfig that the environment names; closed at the end."""
    azure = AksClusters(os.environ)
    pool = ClientPool(os.environ, azure)
    try:
        yield ClusterDirectory(pool, azure, lambda: load_policy(Settings.read(os.environ).policy))
    finally:
        await pool.close()
        await azure.close()
