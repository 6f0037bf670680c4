"""Azure as this process sees it: one identity, and what is asked with it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Self

from midwatch.azure.blobs import Blobs
from midwatch.azure.discovery import AzureDiscovery
from midwatch.azure.identity import AzureIdentity
from midwatch.azure.settings import AzureSettings


class AzureAccount:
    """One identity, for one event loop, let go at the end of `async with`.

    Nothing is read of the environment, or made, before it is asked for.

    Args:
        env: where Azure is, and who we are there.

    Raises:
        UsageError: by each property: `setting-invalid`.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    @cached_property
    def settings(self) -> AzureSettings:
        """What the environment says."""
        return AzureSettings.read(self._env)

    @cached_property
    def identity(self) -> AzureIdentity:
        """Who we are."""
        logging.getLogger("azure").setLevel(logging.CRITICAL)  # it lists each way to sign in that failed
        return AzureIdentity(self.settings)

    @cached_property
    def discovery(self) -> AzureDiscovery:
        """Questions to Resource Manager."""
        return AzureDiscovery(self.settings, self.identity)

    @cached_property
    def blobs(self) -> Blobs:
        """Files in storage accounts."""
        return Blobs(self.identity)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if "identity" in self.__dict__:
            await self.identity.close()
