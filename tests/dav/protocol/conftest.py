"""One drive for all protocol tests; each test has a folder of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.drive import Client, Drive, running_drive


@pytest.fixture(scope="session")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drive]:
    with running_drive(tmp_path_factory.mktemp("drive")) as running:
        yield running


@pytest.fixture(scope="session")
def alice_session(drive: Drive) -> Iterator[Client]:
    client = drive.client("alice")
    yield client
    client.connection.close()


@pytest.fixture
def alice(alice_session: Client) -> Iterator[Client]:
    yield alice_session
    # A test that ends within an answer must not spoil the next one.
    alice_session.connection.close()


@pytest.fixture
def bob(drive: Drive) -> Iterator[Client]:
    client = drive.client("bob")
    yield client
    client.connection.close()


@pytest.fixture
def folder(drive: Drive, request: pytest.FixtureRequest) -> str:
    """Path of a new, empty folder of alice's, ending in a slash."""
    return drive.folder(request.node.name)
