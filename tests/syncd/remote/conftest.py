"""One drive for all tests here; each test has a volume of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.device import Device, linked_device
from tests.support.drive import Drive, running_drive


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    with running_drive(tmp_path_factory.mktemp("remote")) as running:
        yield running


@pytest.fixture
def device(drive: Drive, request: pytest.FixtureRequest) -> Iterator[Device]:
    """A device of alice's on a new volume of hers."""
    with linked_device(drive, request.node.name) as linked:
        yield linked
