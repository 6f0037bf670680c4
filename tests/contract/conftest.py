"""One suite, two backends: the simulated cluster in `make test`, the real control plane in `make e2e`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.contract.backend import Backend, Real, Simulated
from tests.kit.controlplane.build import binaries
from tests.kit.fleet import ControlPlanes, Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=["simulated", pytest.param("real", marks=pytest.mark.e2e)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The cluster under test. Where the two differ, the simulated one is wrong."""
    with ExitStack() as stack:
        if request.param == "simulated":
            made: Backend = Simulated()
        else:
            try:
                binaries()
            except SystemExit as error:
                pytest.exit(str(error), 2)
            planes = ControlPlanes()
            stack.callback(planes.stop)
            made = Real(Fleet(planes))
        stack.callback(made.close)
        yield made


@pytest.fixture
def space(backend: Backend) -> str:
    """A namespace of the test's own."""
    return backend.new_space()
