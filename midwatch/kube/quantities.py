"""Kubernetes quantities: `250m`, `1`, `512Mi`, `1e3`."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}  # fmt: skip
_FORM = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


def quantity(text: str) -> Decimal:
    """The value of a quantity; what cannot be read counts as nothing, since it decides nothing but a warning."""
    found = _FORM.fullmatch(text.strip())
    if found is None or found.group(2) not in _SUFFIXES:
        return Decimal(0)
    return Decimal(found.group(1)) * _SUFFIXES[found.group(2)]


def cpu_millis(text: str) -> int:
    """CPU in thousandths of a core."""
    return int(quantity(text) * 1000)


def whole(text: str) -> int:
    """Memory in bytes, or a number of things."""
    return int(quantity(text))
