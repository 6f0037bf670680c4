"""Durations as people write them in the policy: `90s`, `15m`, `6h`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
}
_PART = re.compile(r"([0-9]+)(ms|s|m|h)")
_WHOLE = re.compile(r"(?:[0-9]+(?:ms|s|m|h))+")
_LONGEST = timedelta(days=7)
"""No single step of a node patch is meant to last longer; a larger figure is a typing error."""


def parse_duration(text: object) -> timedelta:
    """Read a duration.

    Raises:
        ValueError: no unit, another unit, negative, or longer than seven days.
    """
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write a number with a unit (ms, s, m, h), such as 90s or 6h")
    total = timedelta()
    for amount, unit in _PART.findall(text):
        total += min(int(amount), 10**10) * _UNITS[unit]
        if total > _LONGEST:  # here, since the sum of many such parts would be more than a timedelta holds
            raise ValueError(f"{text!r} is longer than seven days")
    return total


def format_duration(value: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same value (to the millisecond)."""
    milliseconds = round(value / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, milliseconds = divmod(milliseconds, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


type Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$", "examples": ["90s", "15m", "6h"]}),
]


_LONGEST_STEP = timedelta(hours=12)


def _at_most_a_night(value: timedelta) -> timedelta:
    if value > _LONGEST_STEP:
        raise ValueError(f"{format_duration(value)} is longer than 12h: a node in work is not kept longer")
    return value


type StepLimit = Annotated[Duration, AfterValidator(_at_most_a_night)]
"""How long one step of a node may take. While it does, its cluster's lease is renewed, and its history grows."""
