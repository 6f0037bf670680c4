"""What a node's image label says of its age."""

from __future__ import annotations

from datetime import date

import pytest

from midwatch.domain.node_images import LABEL, oldest_image

TODAY = date(2026, 11, 25)


def test_the_oldest_image_is_named_with_its_age() -> None:
    images = ("AKSUbuntu-2204gen2containerd-202611.01.0", "AKSAzureLinux-V3gen2-202610.26.2", "")
    said = oldest_image(({LABEL: image} for image in images), TODAY)
    assert said == "the oldest node image is AKSAzureLinux-V3gen2-202610.26.2, 30 days old"


@pytest.mark.parametrize("image", ["", "custom", "AKSUbuntu-2204-202613.40.0", "AKSUbuntu-2204-1.2.3"])
def test_an_image_without_a_date_says_nothing(image: str) -> None:
    assert oldest_image([{LABEL: image}], TODAY) is None
