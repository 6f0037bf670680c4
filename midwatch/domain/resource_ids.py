"""Azure resource IDs of clusters and fleets. Azure compares them without regard to case, and so do we."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_SUBSCRIPTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROUP = re.compile(r"[\w.()-]{1,90}(?<!\.)")
_NAME = re.compile(r"[A-Za-z0-9]([\w-]{0,61}[A-Za-z0-9])?", re.ASCII)
_PROVIDER = "Microsoft.ContainerService"


@dataclass(frozen=True, slots=True)
class _ResourceId:
    """A resource of Microsoft.ContainerService.

    Attributes:
        subscription: its GUID.
        group: name of the resource group.
        name: name of the resource.
    """

    subscription: str
    group: str
    name: str

    @classmethod
    def _kind(cls) -> str:
        raise NotImplementedError

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ID.

        Raises:
            ValueError: it is not the ID of such a resource; the message says what is wrong and how one looks.
        """
        parts = text.strip().split("/")
        words = ("", "subscriptions", None, "resourcegroups", None, "providers", _PROVIDER.lower(), cls._kind().lower())
        fits = len(parts) == len(words) + 1 and all(
            word is None or part.lower() == word for part, word in zip(parts, words, strict=False)
        )
        if not fits:
            raise ValueError(f"{text!r} is not an ID of the form {cls(*'SGN')}")
        subscription, group, name = parts[2], parts[4], parts[8]
        check_subscription(subscription)
        check_group(group)
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} in {text!r} is not a name that Azure allows")
        return cls(subscription, group, name)

    def key(self) -> str:
        """What is equal for two spellings of one ID."""
        return str(self).lower()

    def __str__(self) -> str:
        path = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{_PROVIDER}"
        return f"{path}/{self._kind()}/{self.name}"


@dataclass(frozen=True, slots=True)
class AksId(_ResourceId):
    """The ID of an AKS cluster."""

    @classmethod
    def _kind(cls) -> str:
        return "managedClusters"


@dataclass(frozen=True, slots=True)
class FleetId(_ResourceId):
    """The ID of a Fleet Manager."""

    @classmethod
    def _kind(cls) -> str:
        return "fleets"


def check_subscription(text: str) -> str:
    """The GUID of a subscription, as it was given.

    Raises:
        ValueError: it is no GUID (a subscription's display name, for example).
    """
    if not _SUBSCRIPTION.fullmatch(text):
        raise ValueError(f"{text!r} is not the ID of a subscription: that is a GUID, not its display name")
    return text


def check_group(text: str) -> str:
    """The name of a resource group, as it was given.

    Raises:
        ValueError: Azure allows no such name.
    """
    if not _GROUP.fullmatch(text):
        raise ValueError(f"{text!r} is not the name of a resource group")
    return text
