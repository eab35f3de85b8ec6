"""Views: one state of a volume, as it was, however the volume changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import cas


@pytest.fixture(params=["disk", "memory"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[cas.Volume]:
    place = "memory:" if request.param == "memory" else tmp_path / "store"
    with cas.create(place) as repository:
        made = repository.create_volume("v")
        with made.edit() as edit:
            edit.make_directory("b/c/d", parents=True)
            edit.make_directory("a")
            edit.put("b/file", cas.EMPTY_CONTENT, properties={"{DAV:}x": "<x/>"})
            edit.put("b/long", cas.EMPTY_CONTENT, properties={"{DAV:}x": "x" * 5000})
            edit.make_symlink("link", "b/file")
        yield made


def test_a_view_is_one_state(volume: cas.Volume) -> None:
    with volume.view() as view:
        before = [view.root, *view.walk()]
        with volume.edit() as edit:
            edit.remove("b")
            edit.make_directory("new")
        assert [view.root, *view.walk()] == before
        with volume.view() as later:
            assert [name for name, _ in later.list()] == ["a", "link", "new"]
            assert later.sequence == view.sequence + 2


def test_listing_is_by_name_and_can_go_on_after_one(volume: cas.Volume) -> None:
    with volume.view() as view:
        assert [name for name, _ in view.list()] == ["a", "b", "link"]
        assert [name for name, _ in view.list("b", after="c")] == ["file", "long"]
        assert [name for name, _ in view.list("b", after="file")] == ["long"]
        assert list(view.list("b", after="zzz")) == []
        assert [name for name, _ in view.list("b", after="")] == ["c", "file", "long"]
        assert [name for name, _ in view.list("b", after="c/d")] == ["file", "long"]
        assert list(view.list("a")) == []


def test_walking_comes_by_a_folder_before_what_is_in_it(volume: cas.Volume) -> None:
    with volume.view() as view:
        assert [path for path, _ in view.walk()] == [
            *("a", "b", "b/c", "b/c/d", "b/file", "b/long", "link")
        ]
        assert [path for path, _ in view.walk("b/c")] == ["b/c/d"]


def test_what_is_not_there_is_told_apart_from_what_is_no_folder(volume: cas.Volume) -> None:
    with volume.view() as view:
        assert view.get("nothing") is None
        assert view.get("b/file/below") is None
        with pytest.raises(cas.NotFoundError):
            view.entry("nothing")
        with pytest.raises(cas.NotFoundError):
            view.list("nothing")
        for path in ("b/file", "link"):
            with pytest.raises(cas.ConflictError):
                view.list(path)
            with pytest.raises(cas.ConflictError):
                list(view.walk(path))
        with pytest.raises(cas.ConflictError):
            view.open("b")
        with pytest.raises(cas.ConflictError):
            view.open("link")
        with pytest.raises(cas.NotFoundError):
            view.open("nothing")


@pytest.mark.parametrize("path", ["a//b", "a/../b", ".", "a\0", "x" * 256, "/".join("d" * 256)])
def test_what_can_be_no_path_is_invalid(volume: cas.Volume, path: str) -> None:
    with volume.view() as view, pytest.raises(cas.InvalidError):
        view.get(path)


def test_properties_long_and_short_are_read_back(volume: cas.Volume) -> None:
    with volume.view() as view:
        assert view.properties(view.entry("b/file")) == {"{DAV:}x": "<x/>"}
        assert view.properties(view.entry("b/long")) == {"{DAV:}x": "x" * 5000}
        assert view.properties(view.root) == {}


def test_every_name_that_a_disk_can_hold_comes_back(volume: cas.Volume) -> None:
    odd = ["\udcff\udc80", "é", "e\u0301", "tab\t", "new\nline", "日本", "x" * 255, "%2e", "\\"]
    with volume.edit() as edit:
        for name in odd:
            edit.make_directory(f"a/{name}")
    with volume.view() as view:
        assert [name for name, _ in view.list("a")] == sorted(odd, key=os.fsencode)


def test_etags_follow_content(volume: cas.Volume) -> None:
    with volume.view() as view:
        empty, folder = view.entry("b/file"), view.entry("b")
    with volume.edit() as edit:
        upload = volume.upload()
        upload.write(b"data")
        edit.put("b/file", upload)
        edit.set_properties("a", mtime_ns=1)
    with volume.view() as view:
        assert len(volume.etag(empty)) == 64
        assert volume.etag(view.entry("b/file")) != volume.etag(empty)
        assert volume.etag(view.entry("b")) != volume.etag(folder)
        assert volume.entry_id(view.entry("a")) != volume.entry_id(folder)


def test_closing_twice_is_closing_once(volume: cas.Volume) -> None:
    view = volume.view()
    view.close()
    view.close()


def test_a_volumes_mark_changes_with_the_volume_and_with_nothing_else(tmp_path: Path) -> None:
    with cas.create(tmp_path / "two") as repository:
        one, other = repository.create_volume("one"), repository.create_volume("other")
        before = one.mark()
        with other.edit() as edit:
            edit.make_directory("elsewhere")
        assert one.mark() == before
        with one.edit() as edit:
            edit.make_directory("here")
        assert one.mark() != before


def test_a_walk_goes_on_behind_any_path_it_yielded(volume: cas.Volume) -> None:
    with volume.edit() as edit:
        for path in ("top/a/b/c", "top/a/b/d", "top/a/e", "top/f", "top/g/h", "top/i", "other/j"):
            edit.make_directory(path.rpartition("/")[0], parents=True)
            edit.put(path, cas.EMPTY_CONTENT)
    with volume.view() as view:
        walked = list(view.walk("top"))
        for index, (path, _) in enumerate(walked):
            assert list(view.walk("top", path)) == walked[index + 1 :]
    with volume.edit() as edit:
        edit.remove("top/a/b")
    with volume.view() as view:
        left = [path for path, _ in view.walk("top", "top/a/b/c")]
        assert left == ["top/a/e", "top/f", "top/g", "top/g/h", "top/i"]
