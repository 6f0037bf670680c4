"""Label selectors, as the API server matches them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from midwatch.domain.base import Message

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_KEY = rf"(?:{_NAME}/)?{_NAME}"
_VALUE = rf"(?:{_NAME})?"
_FORMS = (
    (re.compile(rf"({_KEY})\s*(?:==?)\s*({_VALUE})"), "In"),
    (re.compile(rf"({_KEY})\s*!=\s*({_VALUE})"), "NotIn"),
    (re.compile(rf"({_KEY})\s+in\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)"), "In"),
    (re.compile(rf"({_KEY})\s+notin\s*\(\s*({_VALUE}(?:\s*,\s*{_VALUE})*)\s*\)"), "NotIn"),
    (re.compile(rf"({_KEY})"), "Exists"),
    (re.compile(rf"!\s*({_KEY})"), "DoesNotExist"),
)
"""The requirements of a label selector in its short form, as kubectl's `--selector` reads it."""
_COMMA = re.compile(r",(?![^()]*\))")


class Requirement(Message):
    """One `matchExpressions` entry."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it; an operator that we do not know meets nothing."""
        present = self.key in labels
        match self.operator:
            case "In":
                return present and labels[self.key] in self.values
            case "NotIn":
                return not present or labels[self.key] not in self.values
            case "Exists":
                return present
            case "DoesNotExist":
                return not present
            case _:
                return False


def parse_selector(text: str) -> tuple[Requirement, ...]:
    """Read a label selector in its short form: `app=web,tier in (a,b),!keep`. All its parts must hold; empty: any.

    Raises:
        ValueError: a part that the API server would not read either.
    """
    parts = _COMMA.split(text) if text.strip() else []
    return tuple(_requirement(part.strip(), text) for part in parts)


def _requirement(part: str, text: str) -> Requirement:
    for form, operator in _FORMS:
        if (found := form.fullmatch(part)) is None:
            continue
        values = found.group(2).split(",") if operator in {"In", "NotIn"} else []
        return Requirement(key=found.group(1), operator=operator, values=tuple(value.strip() for value in values))
    raise ValueError(f"{text!r} is no label selector: {part!r} cannot be read (app=web, tier in (a,b), !keep)")


def all_match(requirements: Iterable[Requirement], labels: Mapping[str, str]) -> bool:
    """Whether the labels meet every requirement."""
    return all(requirement.matches(labels) for requirement in requirements)
