"""What the environment says about Azure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from midwatch.domain.errors import UsageError

ARM_SETTING = "MIDWATCH_ARM_ENDPOINT"
CLIENT_SETTING = "AZURE_CLIENT_ID"
_HOSTED_SETTING = "IDENTITY_ENDPOINT"
_PUBLIC_ARM = "https://management.azure.com"


@dataclass(frozen=True, slots=True)
class AzureSettings:
    """Where Azure is, and as whom we come.

    Attributes:
        arm: URL of Azure Resource Manager without a slash at its end (`MIDWATCH_ARM_ENDPOINT`; sovereign clouds have
            their own). Plain http is for loopback addresses only.
        client_id: client ID of the user-assigned identity (`AZURE_CLIENT_ID`); None: the system-assigned one.
        hosted: a managed identity is at hand (the platform sets `IDENTITY_ENDPOINT`), and no other one is tried.
    """

    arm: str = _PUBLIC_ARM
    client_id: str | None = None
    hosted: bool = False

    @classmethod
    def read(cls, env: Mapping[str, str]) -> AzureSettings:
        """Read the settings; an empty value is as good as none.

        Raises:
            UsageError: `setting-invalid`, the endpoint is no URL that a token may be sent to.
        """
        arm = env.get(ARM_SETTING, "").strip().rstrip("/") or _PUBLIC_ARM
        _check_endpoint(arm)
        client_id = env.get(CLIENT_SETTING, "").strip() or None
        return cls(arm=arm, client_id=client_id, hosted=bool(env.get(_HOSTED_SETTING, "").strip()))

    @property
    def plain(self) -> bool:
        """Whether ARM is spoken to without TLS: on a loopback address only."""
        return self.arm.startswith("http://")


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        sound = bool(host) and not (parts.path or parts.query or parts.fragment or parts.username)
    except ValueError:
        sound, host, parts = False, "", urlsplit("")
    if not sound:
        raise UsageError("setting-invalid", f"{ARM_SETTING} is not of the form https://HOST")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise UsageError("setting-invalid", f"{ARM_SETTING} must begin with https://, since tokens are sent to {host}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
