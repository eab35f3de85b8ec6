"""What most tests of the engine begin with: an empty repository on disk, and a volume in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from cas.clock import Clock, SystemClock
from tests.support.places import location_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    """The repository's clock; a module that sets the time has a `FakeClock` of this name."""
    return SystemClock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> Iterator[cas.Repository]:
    """An empty repository, in the directory `store`; with `--in-bucket`, in a real bucket."""
    with cas.create(location_of(tmp_path / "store"), clock=clock) as made:
        yield made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    """An empty volume `v` of it."""
    return repository.create_volume("v")
