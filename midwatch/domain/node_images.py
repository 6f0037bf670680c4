"""The node images of AKS, and their age: an image of months ago brings a node back without months of fixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date

LABEL = "kubernetes.azure.com/node-image-version"
"""Set by AKS on each node, such as `AKSUbuntu-2204gen2containerd-202510.03.0`."""
_BUILT = re.compile(r"-(20\d\d)(\d\d)\.(\d\d)\.\d+$")


def oldest_image(labels: Iterable[Mapping[str, str]], today: date) -> str | None:
    """A line on the oldest image among nodes with these labels; None where no label tells a date."""
    dated = sorted((built, image) for each in labels if (built := _built(image := each.get(LABEL, ""))) is not None)
    if not dated:
        return None
    built, image = dated[0]
    return f"the oldest node image is {image}, {(today - built).days} days old"


def _built(image: str) -> date | None:
    found = _BUILT.search(image)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None
