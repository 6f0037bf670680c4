"""The policy in force: a file, or a blob."""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.azure.account import AzureAccount
from midwatch.config import LARGEST_POLICY_BYTES, Settings, load_policy, parse_policy
from midwatch.domain.errors import UsageError
from midwatch.domain.policy import Policy


class Policies:
    """Reads the policy anew each time: a changed file or blob counts from the next run on.

    Args:
        env: which policy (`MIDWATCH_POLICY`).
        azure: reads blobs.
    """

    def __init__(self, env: Mapping[str, str], azure: AzureAccount) -> None:
        self._env = env
        self._azure = azure

    async def read(self) -> Policy:
        """The policy.

        Raises:
            UsageError: as `Settings.read` and `parse_policy`.
            MidwatchError: the blob cannot be read.
        """
        settings = Settings.read(self._env)
        if settings.policy_url is None:
            return load_policy(settings.policy)
        content = await self._azure.blobs.read(settings.policy_url, LARGEST_POLICY_BYTES)
        try:
            return parse_policy(content.decode("utf-8"), settings.policy_url)
        except UnicodeDecodeError as error:
            text = f"the policy {settings.policy_url} cannot be read: {error}"
            raise UsageError("policy-unreadable", text) from error
