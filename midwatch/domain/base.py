"""What every message and view shares: frozen, camelCase on the wire, plain JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

type Json = dict[str, object]
"""One JSON object, as the durable codec and the HTTP API carry it."""


def wire_name(field: str) -> str:
    """The name of a field on the wire: camelCase, and `bootID` as Kubernetes spells it."""
    return to_camel(field).replace("bootId", "bootID")


class Message(BaseModel):
    """One request, result or view.

    A new field gets a default, so that a run which began under an older version still replays.
    """

    model_config = ConfigDict(frozen=True, alias_generator=wire_name, populate_by_name=True)

    def to_wire(self) -> Json:
        """The JSON object: camelCase keys, all present; RFC 3339 times in UTC; unknown is null."""
        return self.model_dump(mode="json", by_alias=True)

    @classmethod
    def from_wire(cls, payload: Mapping[str, object]) -> Self:
        """Read what `to_wire` wrote.

        Raises:
            pydantic.ValidationError: the object is not such a message.
        """
        return cls.model_validate(payload)
