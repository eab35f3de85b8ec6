"""A linked folder and what syncd keeps of it, for the tests of what touches the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncd.disk.database import Database
from syncd.disk.folder import Folder
from tests.support.linked import Linked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Linked]:
    root = tmp_path / "linked"
    root.mkdir()
    with Folder(root) as folder, Database(tmp_path / "state.sqlite") as database:
        yield Linked(folder, database)
