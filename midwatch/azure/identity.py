"""One credential a process, and the tokens that it gives: kept by azure-identity, renewed when a server refuses one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from midwatch.azure.settings import AzureSettings
from midwatch.domain.errors import MidwatchError, PermanentError, TransientError

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
"""The AKS server application, the same in all clouds."""

_ANY_CLAIMS = '{"access_token": {}}'
_LONGEST_ANSWER = 300


@dataclass(frozen=True, slots=True)
class AzureToken:
    """A bearer token.

    Attributes:
        expires: Unix seconds.
    """

    value: str = field(repr=False)
    expires: int


class AzureIdentity:
    """Who we are in Azure: the managed identity where there is one, else what `DefaultAzureCredential` finds.

    To be used in one event loop, and closed there.
    """

    def __init__(self, settings: AzureSettings) -> None:
        self._settings = settings
        self._credential: ManagedIdentityCredential | DefaultAzureCredential | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the credential; the next question makes another."""
        if self._credential is not None:
            await self._credential.close()
            self._credential = None

    @property
    def credential(self) -> ManagedIdentityCredential | DefaultAzureCredential:
        """The process's one credential, made when it is first asked for."""
        if self._credential is None:
            # azure.identity takes long to import, and a policy with kubeconfig clusters alone never comes here
            from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415

            client_id = self._settings.client_id
            self._credential = (
                ManagedIdentityCredential(client_id=client_id, retry_total=3, retry_backoff_factor=0.2)
                if self._settings.hosted
                else DefaultAzureCredential(managed_identity_client_id=client_id)
            )
        return self._credential

    async def token(self, scope: str) -> AzureToken:
        """A token that is good now; azure-identity asks for another when the kept one expires.

        Raises:
            PermanentError: `azure-identity-refused` or `no-azure-identity`.
            TransientError: `azure-identity-unavailable`.
        """
        return await self._ask(scope, claims=None)

    async def renewed(self, scope: str) -> AzureToken:
        """A new token in place of one that a server refused before its time.

        Raises:
            MidwatchError: as `token`.
        """
        # the one way past the cache of azure-identity; managed identities ignore what the claims say, and the tools
        # that DefaultAzureCredential calls keep no cache in this process, and refuse claims
        return await self._ask(scope, claims=_ANY_CLAIMS if self._settings.hosted else None)

    async def _ask(self, scope: str, claims: str | None) -> AzureToken:
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - as in `credential`

        try:
            found = await self.credential.get_token(scope, claims=claims)
        except AzureError as error:
            raise self._named(error) from None
        return AzureToken(found.token, found.expires_on)

    def _named(self, error: AzureError) -> MidwatchError:
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError  # noqa: PLC0415 - as above
        from azure.identity import CredentialUnavailableError  # noqa: PLC0415 - as above

        said = " ".join(error.message.split())[:_LONGEST_ANSWER]
        who = f"the managed identity{f' {self._settings.client_id}' if self._settings.client_id else ''}"
        status = error.status_code if isinstance(error, HttpResponseError) else None
        if status == 429 or (status is not None and status >= 500):
            return TransientError("azure-identity-unavailable", f"no token for {who}: {said}")
        if not self._settings.hosted and isinstance(error, ClientAuthenticationError) and status is None:
            text = "nobody is signed in to Azure: try `az login`"
            return PermanentError("no-azure-identity", f"{text} ({said.split('.', 1)[0]})")
        if isinstance(error, CredentialUnavailableError):
            return PermanentError("no-azure-identity", f"{who} is not there: {said}")
        if isinstance(error, ClientAuthenticationError | HttpResponseError):
            by = f" for {who}" if self._settings.hosted else ""
            return PermanentError("azure-identity-refused", f"Azure gave no token{by}: {said}")
        return TransientError("azure-identity-unavailable", f"no token from Azure: {said}")
