"""Small files in storage accounts."""

from __future__ import annotations

from midwatch.azure.failures import named
from midwatch.azure.identity import AzureIdentity
from midwatch.domain.errors import UsageError

_READ = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"


class Blobs:
    """Blobs by their URLs, read as the identity: no key, and no signature in a URL."""

    def __init__(self, identity: AzureIdentity) -> None:
        self._identity = identity

    async def read(self, url: str, most: int) -> bytes:
        """The content of a blob.

        Args:
            url: `https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB`.
            most: bytes that it may have.

        Raises:
            UsageError: `blob-too-large`.
            MidwatchError: as `failures.named`.
        """
        from azure.storage.blob.aio import BlobClient  # noqa: PLC0415 - see identity.py

        with named(f"read {url}", _READ, url):
            async with BlobClient.from_blob_url(url, credential=self._identity.credential) as client:
                answer = await client.download_blob(offset=0, length=most + 1)
                content = await answer.readall()
        if len(content) > most:
            raise UsageError("blob-too-large", f"{url} has more than {most} bytes")
        return content
