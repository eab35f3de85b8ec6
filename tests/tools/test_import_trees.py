"""Folders that a volume lacks go in as a whole, however the import is cut, whoever interferes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas
from tests.tools.trees import describe_tree
from tools import import_batch, importer
from tools.small_files import SMALL_SIZE
from tools.source_tree import look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tools.conftest import Casdav


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    for folder in ("one", "one/within", "two", "two/within"):
        (top / folder).mkdir(parents=True)
        for number in range(6):
            (top / folder / f"file{number}").write_text(f"{folder} {number}")
        (top / folder / "link").symlink_to("file0")
    (top / "two" / "large").write_bytes(b"large" * 100_000)
    return top


def sequence(casdav: Casdav) -> int:
    with cas.open(casdav.store) as repository, repository.volume("v").view() as view:
        return view.sequence


def assert_same(casdav: Casdav, source: Path, out: Path) -> None:
    casdav("export", "v:/x", out)
    assert describe_tree(out) == describe_tree(source)


def at_name(name: str, act: Callable[[], None], patch: pytest.MonkeyPatch) -> None:
    """Act when the import comes to the first file of this name."""
    left = [act]

    def watch(parent: int, found: str) -> os.stat_result:
        if found == name and left:
            left.pop()()
        return look_up(parent, found)

    patch.setattr(importer, "look_up", watch)


def test_a_new_tree_is_one_change(casdav: Casdav, source: Path, tmp_path: Path) -> None:
    before = sequence(casdav)
    casdav("import", source, "v:/x")
    assert sequence(casdav) == before + 1
    assert_same(casdav, source, tmp_path / "out")


def test_new_folders_of_an_existing_one_are_a_change_each(
    casdav: Casdav, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    casdav("import", tmp_path / "empty", "v:/x")
    before = sequence(casdav)
    casdav("import", source, "v:/x")
    assert sequence(casdav) == before + 3  # the top's own time is the third
    assert_same(casdav, source, tmp_path / "out")


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_it_may_take_many_commits(
    casdav: Casdav, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(import_batch, "OPERATIONS_LIMIT", limit)
    casdav("import", source, "v:/x")
    assert sequence(casdav) > 30 // limit
    assert_same(casdav, source, tmp_path / "out")


def test_what_a_cut_import_has_committed_is_not_read_again(
    casdav: Casdav, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_name("large", interrupt, patch)
        casdav("import", source, "v:/x", code=130)
    assert casdav("cat", "v:/x/two/file5").out == "two 5"
    again = casdav("import", "--json", source, "v:/x").lines[-1]
    assert (again["unchanged"], again["problems"]) == (20, 0)
    assert_same(casdav, source, tmp_path / "out")


@pytest.mark.parametrize("path", ["x/own", "x/one/own", "x/two/own", "x/one/file3"])
def test_what_others_put_there_meanwhile_stays_and_nothing_is_missing(
    casdav: Casdav, source: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put() -> None:
        with cas.open(casdav.store) as repository:
            volume = repository.volume("v")
            with volume.edit() as edit:
                edit.make_directory(path.rpartition("/")[0], parents=True)
                edit.put(path, cas.EMPTY_CONTENT, mtime_ns=1)

    monkeypatch.setattr(import_batch, "OPERATIONS_LIMIT", 2)
    with monkeypatch.context() as patch:
        at_name("large", put, patch)
        casdav("import", source, "v:/x")
    listed = {line["path"] for line in casdav("ls", "-R", "--json", "v:/x").lines}
    files = {f"x/{each.relative_to(source)}" for each in source.rglob("*")}
    assert listed == files | {path}
    assert casdav("cat", "v:/x/one/file3").out == "one 3"  # as any import of what has changed


def test_a_folder_that_never_stands_still_is_listed_as_a_problem(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def watch(parent: int, found: str) -> os.stat_result:
        nonlocal count
        if found in {"file0", "file5"}:
            count += 1
            with cas.open(casdav.store) as repository, repository.volume("v").edit() as edit:
                edit.remove("x") if count % 2 else edit.make_directory("x", parents=True)
        return look_up(parent, found)

    casdav("import", source, "v:/x")
    with monkeypatch.context() as patch:
        patch.setattr(importer, "look_up", watch)
        patch.setattr(import_batch, "OPERATIONS_LIMIT", 1)
        ended = casdav("import", source, "v:/x", code=3)
    assert "problems" in ended.err
    casdav("import", source, "v:/x")
    assert casdav("cat", "v:/x/two/within/file5").out == "two/within 5"


def test_a_folder_in_a_locked_one_costs_itself_alone(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_batch, "OPERATIONS_LIMIT", 2)
    casdav("import", source, "v:/x")
    for folder in ("one/new", "two/new"):
        (source / folder).mkdir()
        for name in ("file", "file2", "file3", "file4", "file5"):
            (source / folder / name).write_text("new")
    with cas.open(casdav.store) as repository:
        lock = cas.Lock(
            token="urn:uuid:1",
            volume_id=repository.volume("v").id,
            path="x/one",
            principal="alice",
            expires_ns=cas.SystemClock().now_ns() + 3600 * 10**9,
        )
        repository.locks.acquire(lock)
    ended = casdav("import", source, "v:/x", code=3)
    assert ended.err.count("one/new: ") == 1
    assert "locked by alice" in ended.err
    assert casdav("cat", "v:/x/two/new/file").out == "new"


def test_no_path_becomes_deeper_than_a_path_may_be(casdav: Casdav, source: Path) -> None:
    target = "/".join(["d"] * 253)
    ended = casdav("import", source, f"v:/{target}", code=3)
    assert "255 folders" in ended.err
    with cas.open(casdav.store) as repository, repository.volume("v").view() as view:
        assert max(path.count("/") + 1 for path, _ in view.walk()) == 255


def test_what_has_a_time_that_cannot_be_kept_comes_with_the_nearest(
    casdav: Casdav, source: Path
) -> None:
    far = 14_000_000_000  # the year 2413
    (source / "big").write_bytes(bytes(SMALL_SIZE + 1))
    (source / "link").symlink_to("big")
    odd = ["big", "link", "one/file3", "one", "."]
    for name in odd:
        os.utime(source / name, (far, far), follow_symlinks=False)
    if source.stat().st_mtime != far:
        pytest.skip("this file system cannot keep such a time either")
    for _ in range(2):
        ended = casdav("import", source, "v:/x", code=3)
        assert {line.split(": ")[1] for line in ended.err.splitlines()[:-1]} == set(odd)
        assert ended.err.count("2262") == len(odd)
    assert casdav("cat", "v:/x/one/file2", "v:/x/one/file3").out == "one 2one 3"
    listed = {line["path"]: line for line in casdav("ls", "-R", "--json", "v:/x").lines}
    assert len(listed) == sum(1 for _ in source.rglob("*"))
    assert listed["x/big"]["modified"].startswith("2262-")
