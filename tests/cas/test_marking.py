"""What marking reads: each node once, and of data packs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from cas.maintenance.marking import Marking
from cas.pack_reader import pack_blob_name
from cas.packfile import PackKind
from tests.support.corpus import seeded_bytes
from tests.support.volumes import put, read

if TYPE_CHECKING:
    from pathlib import Path


def test_no_data_pack_is_read_and_no_node_twice(tmp_path: Path) -> None:
    with cas.create(tmp_path) as repository:
        volume = repository.create_volume("v")
        with volume.edit() as edit:
            edit.make_directory("folder")
        put(volume, "folder/large", seeded_bytes(1, 3_000_000))
        for number in range(300):
            put(volume, f"folder/{number}", b"%d" % number)
        with volume.edit() as edit:
            edit.copy("folder", "same")
    with cas.open(tmp_path) as repository:
        with repository.engine.catalog.read() as transaction:
            packs = [row for _, row in transaction.packs() if row.kind == PackKind.DATA]
        for row in packs:
            path = repository.engine.store.local_path(pack_blob_name(row.id))
            assert path is not None
            path.chmod(0o600)
            path.write_bytes(bytes(row.size))
        told: list[int] = []
        marking = Marking(repository.engine, told.append)
        with repository.volume("v").view() as view:
            marking.entries([view.root, view.entry("folder")])
            nodes = sum(told)
            assert nodes >= 2
            marking.entries([view.root])
            assert sum(told) == nodes
        report = cas.collect_garbage(repository, grace_seconds=0, is_dry_run=True)
        assert report.size > 3_000_000
        with pytest.raises(cas.IntegrityError):  # the packs are what is not to be read
            read(repository.volume("v"), "folder/large")
