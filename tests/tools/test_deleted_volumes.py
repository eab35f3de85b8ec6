"""`casdav volume delete`, `list --deleted`, `undelete`, and `gc` after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.corpus import seeded_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

SIZE = 2_000_000


def fill(casdav: Casdav, directory: Path) -> None:
    source = directory / "source"
    source.mkdir()
    (source / "file").write_bytes(seeded_bytes(1, SIZE))
    casdav("import", source, "v:/")


def test_a_deleted_volume_is_listed_and_comes_back(casdav: Casdav, tmp_path: Path) -> None:
    fill(casdav, tmp_path)
    casdav("volume", "delete", "v", "--yes")
    (listed,) = casdav("volume", "list", "--deleted", "--json").document
    assert (listed["name"], listed["size"], listed["files"]) == ("v", SIZE, 1)
    assert listed["author"].startswith("console")
    assert listed["deleted"]
    casdav("gc", "--grace", "0s")
    assert "v" in casdav("volume", "list", "--deleted").out
    back = casdav("volume", "undelete", "v", "--json").document
    assert (back["name"], back["size"]) == ("v", SIZE)
    assert casdav("cat", "v:/file").out_bytes == seeded_bytes(1, SIZE)
    assert casdav("volume", "list", "--deleted", "--json").document == []


def test_a_name_in_use_needs_another(casdav: Casdav, tmp_path: Path) -> None:
    fill(casdav, tmp_path)
    casdav("volume", "delete", "v", "--yes")
    casdav("volume", "create", "v")
    assert "already" in casdav("volume", "undelete", "v", code=None).err
    casdav("volume", "undelete", "v", "--as", "found")
    assert casdav("cat", "found:/file").out_bytes == seeded_bytes(1, SIZE)
    assert "no deleted volume" in casdav("volume", "undelete", "w", code=None).err


def test_what_is_kept_no_longer_goes_and_does_not_come_back(casdav: Casdav, tmp_path: Path) -> None:
    fill(casdav, tmp_path)
    casdav("volume", "delete", "v", "--yes")
    told = casdav("gc", "-n", "--keep-versions", "1", "--grace", "0s")
    assert "would drop 1 deleted volume" in told.out + told.err
    done = casdav("gc", "--keep-versions", "1", "--grace", "0s", "--json").document
    assert done["dropped_volumes"] == 1
    assert done["freed_size"] > SIZE * 0.9
    assert casdav("volume", "list", "--deleted", "--json").document == []
    assert "still kept" in casdav("volume", "undelete", "v", code=None).err
    assert casdav("check", "--read-data").code == 0
