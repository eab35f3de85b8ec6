"""The version gate: what is newer is refused, what is older is upgraded, step by step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cas
from cas.maintenance.upgrading import Migration
from cas.stores.base import BlobStore


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A repository whose config says that it has the format before the first."""
    with cas.create(tmp_path / "store") as repository:
        repository.create_volume("v")
    set_version(tmp_path / "store", 0)
    return tmp_path / "store"


def set_version(location: Path, version: int) -> None:
    config = json.loads((location / "config").read_bytes())
    config |= {"version": version, "of a later version": [1]}
    (location / "config").write_text(json.dumps(config))


def config_of(location: Path) -> dict[str, object]:
    found = json.loads((location / "config").read_bytes())
    assert isinstance(found, dict)
    return found


def test_an_old_format_is_refused_with_the_way_out(location: Path) -> None:
    with pytest.raises(cas.FormatError, match="run `casdav upgrade`"):
        cas.open(location)


def test_it_is_upgraded_and_opens(location: Path) -> None:
    before = config_of(location)
    done: list[str] = []
    migrations = [Migration(1, "made new", lambda store: done.append(store.location))]
    looked = cas.upgrade(location, is_dry_run=True, migrations=migrations)
    assert looked == cas.Upgrade(0, 1, ("made new",))
    assert (done, config_of(location)) == ([], before)
    assert cas.upgrade(location, migrations=migrations) == looked
    assert done == [str(location)]
    assert config_of(location) == {**before, "version": 1}
    with cas.open(location) as repository:
        assert [info.name for info in repository.volumes()] == ["v"]
    assert cas.upgrade(location, migrations=migrations) == cas.Upgrade(1, 1, ())
    assert len(done) == 1


def test_one_that_fails_is_begun_again(location: Path) -> None:
    runs: list[int] = []

    def fail_once(_: BlobStore) -> None:
        runs.append(1)
        if len(runs) == 1:
            raise cas.StoreError("the disk is broken")

    migrations = [Migration(1, "made new", fail_once)]
    with pytest.raises(cas.StoreError):
        cas.upgrade(location, migrations=migrations)
    assert config_of(location)["version"] == 0
    cas.upgrade(location, migrations=migrations)
    assert len(runs) == 2


def test_what_is_newer_or_without_a_way_is_left_alone(location: Path) -> None:
    with pytest.raises(cas.FormatError, match="no way from format 0"):
        cas.upgrade(location)
    set_version(location, 2)
    with pytest.raises(cas.FormatError, match="use a newer casdav"):
        cas.upgrade(location)
    with pytest.raises(cas.NotFoundError):
        cas.upgrade(location / "elsewhere")
