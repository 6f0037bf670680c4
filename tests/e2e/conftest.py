"""Fixtures of the end-to-end suite: control planes for the session, a fleet of clusters for each test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.kit.controlplane.build import binaries
from tests.kit.fleet import ControlPlanes, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOOLS = ("unshare", "nsenter", "setpriv")
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def control_planes() -> Iterator[ControlPlanes]:
    """Control planes, started when a test first needs one."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.exit(f"the end-to-end suite needs {', '.join(missing)}: install util-linux", 2)
    try:
        binaries()
    except SystemExit as error:
        pytest.exit(str(error), 2)
    planes = ControlPlanes()
    try:
        yield planes
    finally:
        planes.stop()


@pytest.fixture
def fleet(control_planes: ControlPlanes) -> Iterator[Fleet]:
    """A factory of named clusters; they are emptied after the test."""
    fleet = Fleet(control_planes)
    try:
        yield fleet
    finally:
        fleet.close()
