"""One drive for all tests here; each test has a volume of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syncd.remote.client import Remote
from tests.support.device import Device, linked_device, remote_of
from tests.support.drive import Drive, running_drive


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    with running_drive(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture
def device(drive: Drive, request: pytest.FixtureRequest) -> Iterator[Device]:
    """A device of alice's on a new volume of hers."""
    with linked_device(drive, request.node.name) as linked:
        yield linked


@pytest.fixture
def bob(drive: Drive) -> Iterator[Remote]:
    """The remote as bob sees it."""
    remote = remote_of(drive, "bob")
    yield remote
    remote.connection.close()
