"""One client a cluster, kept open: connections and tokens outlive the activity that needed them first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from midwatch.domain.clusters import SKIPPED, ClusterRef
from midwatch.domain.errors import PermanentError
from midwatch.kube.client import KubeClient, open_client
from midwatch.kube.kubeconfig import Connection, Kubeconfig


class ConnectionSource(Protocol):
    """Gives the connections of the clusters that are known by their AKS IDs."""

    async def connection(self, cluster: ClusterRef) -> Connection:
        """How to reach the cluster. Raises MidwatchError."""


@dataclass(frozen=True, slots=True)
class _Open:
    connection: Connection
    client: KubeClient
    stack: AsyncExitStack


class ClientPool:
    """The clients of this process, for the one event loop that runs the activities.

    The kubeconfig is read anew for each request for a client: a changed server or credential opens a new one.

    Args:
        env: where the kubeconfig is.
        aks: reaches the clusters that are known by their AKS IDs; None: nobody does.
    """

    def __init__(self, env: Mapping[str, str], aks: ConnectionSource | None = None) -> None:
        self._env = env
        self._aks = aks
        self._open: dict[str, _Open] = {}
        self._retired: dict[str, _Open] = {}
        self._lock: asyncio.Lock | None = None
        self._read: tuple[tuple[tuple[str, float], ...], Kubeconfig] | None = None

    def contexts(self) -> list[str]:
        """The contexts of the kubeconfig. Raises UsageError."""
        return self._kubeconfig().contexts

    async def connection(self, cluster: ClusterRef) -> Connection:
        """How to reach a cluster.

        Raises:
            UsageError: the kubeconfig cannot be read, or does not give usable credentials for the context.
            PermanentError: `cluster-skipped`, nothing may be asked of it; or as the source of AKS clusters raises.
        """
        if cluster.skip:
            raise PermanentError(SKIPPED, cluster.skip)
        if not cluster.aks:
            return self._kubeconfig().connection(cluster.context)
        if self._aks is None:
            raise PermanentError("no-azure", f"{cluster.aks} can be reached with Azure's help only")
        return await self._aks.connection(cluster)

    async def client(self, cluster: ClusterRef) -> KubeClient:
        """The client of a cluster.

        Raises:
            MidwatchError: as `connection`.
            PermanentError: `other-cluster`, its name leads elsewhere than when the run began.
        """
        connection = await self.connection(cluster)
        if cluster.server and connection.server != cluster.server:
            what = f"the AKS cluster {cluster.aks}" if cluster.aks else f"context {cluster.context!r}"
            text = f"{what} leads to {connection.server} now, and this began at {cluster.server}"
            raise PermanentError("other-cluster", text)
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            known = self._open.get(cluster.key())
            if known is not None and known.connection == connection:
                return known.client
            if known is not None:
                await self._retire(cluster.key())
            stack = AsyncExitStack()
            client = await stack.enter_async_context(open_client(connection))
            self._open[cluster.key()] = _Open(connection, client, stack)
            return client

    async def close(self) -> None:
        """Close every client."""
        for known in (*self._open.values(), *self._retired.values()):
            await known.stack.aclose()
        self._open.clear()
        self._retired.clear()

    async def _retire(self, key: str) -> None:
        """Put a client aside that activities may still be using, and close the one that was put aside before it."""
        before = self._retired.pop(key, None)
        self._retired[key] = self._open.pop(key)
        if before is not None:
            await before.stack.aclose()

    def _kubeconfig(self) -> Kubeconfig:
        """The kubeconfig, parsed again only when a file of it has changed."""
        listed = [part for part in self._env.get("KUBECONFIG", "").split(os.pathsep) if part]
        paths = [Path(part) for part in listed] or [Path(self._env.get("HOME") or Path.home()) / ".kube" / "config"]
        stamp = tuple((str(path), path.stat().st_mtime) for path in paths if path.exists())
        if self._read is None or self._read[0] != stamp or not stamp:
            self._read = (stamp, Kubeconfig.load(None, self._env))
        return self._read[1]
