"""`casdav gc`: what it says, what it gives back, and what it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.corpus import seeded_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

SIZE = 2_000_000


def stored_size(casdav: Casdav) -> int:
    return sum(
        path.stat().st_size for path in (casdav.store / "packs").rglob("*") if path.is_file()
    )


def overwrite(casdav: Casdav, directory: Path, count: int) -> None:
    source = directory / "source"
    source.mkdir()
    for number in range(count):
        (source / "file").write_bytes(seeded_bytes(number, SIZE))
        casdav("import", source, "v:/")


def test_a_dry_run_says_what_would_go_and_leaves_it(casdav: Casdav, tmp_path: Path) -> None:
    overwrite(casdav, tmp_path, 3)
    size = stored_size(casdav)
    said = casdav("gc", "-n", "--keep-versions", "1", "--grace", "0s", "--json").document
    assert said["dry_run"]
    assert said["condemned_size"] - said["live_size"] > SIZE * 1.9
    assert said["removed_packs"] == 0
    assert stored_size(casdav) >= size


def test_old_versions_go_and_their_room_with_them(casdav: Casdav, tmp_path: Path) -> None:
    overwrite(casdav, tmp_path, 3)
    done = casdav("gc", "--keep-versions", "2", "--grace", "0s", "--json").document
    assert SIZE * 0.9 < done["freed_size"] < SIZE * 1.1
    assert stored_size(casdav) < SIZE * 2.1
    assert casdav("cat", "v:/file").out_bytes == seeded_bytes(2, SIZE)
    assert casdav("check", "--read-data").code == 0


def test_by_default_versions_of_the_last_days_stay(casdav: Casdav, tmp_path: Path) -> None:
    overwrite(casdav, tmp_path, 3)
    done = casdav("gc", "--grace", "0s", "--json").document
    assert done["freed_size"] < SIZE * 0.1
    assert stored_size(casdav) > SIZE * 2.9


def test_both_kinds_of_rules_at_once_are_refused(casdav: Casdav) -> None:
    ended = casdav("gc", "--keep-versions", "1", "--keep-within", "1d", code=2)
    assert "either --keep-within or --keep-versions" in ended.err
