"""`casdav gc`: what it says, what it gives back, and what it keeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support import free_port, wait_until
from tests.support.corpus import seeded_bytes
from tests.support.server import Server
from tools.output import NoProgress, Output
from tools.watching import StagePrinter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

SIZE = 2_000_000
COLLECTED = "garbage collection: freed"


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


def test_young_packs_are_left_alone_and_it_says_so(casdav: Casdav, tmp_path: Path) -> None:
    overwrite(casdav, tmp_path, 2)
    size = stored_size(casdav)
    for words in (("--dry-run",), ()):
        said = casdav("gc", "--keep-versions", "1", *words).out
        assert "packs were left alone, as they are young: --grace" in said
    assert stored_size(casdav) >= size
    assert "young" not in casdav("gc", "--keep-versions", "1", "--grace", "0s").out


def test_both_kinds_of_rules_at_once_are_refused(casdav: Casdav) -> None:
    ended = casdav("gc", "--keep-versions", "1", "--keep-within", "1d", code=2)
    assert "either --keep-within or --keep-versions" in ended.err


def test_without_options_the_settings_say_what_is_kept(
    casdav: Casdav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overwrite(casdav, tmp_path, 3)
    monkeypatch.setenv("CASDAV__GC__GRACE", "0s")
    kept = casdav("gc", "--json").document
    assert kept["freed_size"] < SIZE * 0.1
    monkeypatch.setenv("CASDAV__GC__KEEP_VERSIONS", "1")
    kept = casdav("gc", "--keep-within", "1d", "--json").document
    assert kept["freed_size"] < SIZE * 0.1
    done = casdav("gc", "--json").document
    assert done["freed_size"] > SIZE * 1.9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INTERVAL", "often"),
        ("INTERVAL", "0s"),
        ("BUDGET", "1y6m"),
        ("GRACE", ""),
        ("KEEP_WITHIN", "0d"),
        ("KEEP_DAILY_FOR", "ever"),
    ],
)
def test_a_setting_that_is_no_span_is_named_before_anything_is_served(
    casdav: Casdav, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CASDAV__GC__{name}", value)
    assert f"gc.{name.lower()}: " in casdav("serve", code=2).err


def has_collected(server: Server, before: int) -> bool:
    return server.log.count(COLLECTED) > before


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_collects_by_itself_and_goes_on_when_it_was_killed(
    casdav: Casdav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    overwrite(casdav, tmp_path, 3)
    for name, value in (("INTERVAL", "1s"), ("GRACE", "0s"), ("KEEP_VERSIONS", "1")):
        monkeypatch.setenv(f"CASDAV__GC__{name}", value)
    server = Server(casdav.store, free_port(), ("--workers", workers), tmp_path / "log")
    server.log_path.touch()
    for end in (server.kill, server.stop):
        before = server.log.count(COLLECTED)
        server.start()
        try:
            wait_until(partial(has_collected, server, before), "a collection to end")
        finally:
            end()
    assert stored_size(casdav) < SIZE * 1.1
    assert "Traceback" not in server.log
    assert casdav("cat", "v:/file").out_bytes == seeded_bytes(2, SIZE)
    assert casdav("check", "--read-data").code == 0


def test_it_says_for_whom_it_waits(capsys: pytest.CaptureFixture[str]) -> None:
    printer = StagePrinter(Output(), NoProgress())
    printer.waiting([cas.WaitedFor(17), cas.WaitedFor(18, 1_800_000_000 * 10**9, "fam\nily")])
    said = capsys.readouterr().err
    assert "waiting for process 17, process 18, for a write in fam\\nily since 2027-01-1" in said
