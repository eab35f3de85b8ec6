"""Hints come for whatever happens in the folder, and for what was lost."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncd.disk.inotify import InotifyWatcher
from syncd.disk.observers import ObserverWatcher
from syncd.disk.watching import watch
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncd.disk.watching import Watcher
    from tests.support.linked import Linked

# watchdog 7.1 says so of a new folder that it meets twice, by its event and in its parent.
pytestmark = pytest.mark.filterwarnings("ignore:Callback with id .* already exists:RuntimeWarning")


class Heard:
    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.deep: set[str] = set()
        self.losses: list[str] = []
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def changed(self, path: str, *, deep: bool) -> None:
        with self._lock:
            (self.deep if deep else self.paths).add(path)

    def lost(self, reason: str) -> None:
        self.losses.append(reason)

    def incomplete(self, reason: str) -> None:
        self.failures.append(reason)

    def wait(self, *paths: str) -> None:
        for path in paths:
            wait_until(partial(self._has, path), f"a hint for {path!r}")

    def _has(self, path: str) -> bool:
        return path in self.paths | self.deep


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(params=["inotify", "watchdog"])
def watcher(request: pytest.FixtureRequest, linked: Linked, heard: Heard) -> Iterator[Watcher]:
    linked.write("there/already.txt", b"x")
    if request.param == "inotify":
        watcher = watch(linked.folder, heard)
        assert isinstance(watcher, InotifyWatcher)
    else:
        watcher = ObserverWatcher(linked.folder, heard)
    watcher.start()
    yield watcher
    watcher.stop()


@pytest.mark.usefixtures("watcher")
def test_whatever_happens_is_told(linked: Linked, heard: Heard) -> None:
    root = linked.root
    linked.write("new.txt", b"new")
    (root / "there" / "already.txt").write_bytes(b"edited")
    (root / "link").symlink_to("there")
    (root / os.fsdecode(b"\xff")).write_bytes(b"")
    heard.wait("new.txt", "there/already.txt", "link", "\udcff")
    heard.paths.clear()
    (root / "new.txt").rename(root / "there" / "moved.txt")
    (root / "link").unlink()
    (root / "there" / "already.txt").chmod(0o755)
    heard.wait("new.txt", "there/moved.txt", "link", "there/already.txt")
    linked.apply()
    assert not any(path.startswith(".syncd") for path in heard.paths | heard.deep)


@pytest.mark.usefixtures("watcher")
def test_new_folders_are_watched_and_told_of_with_all_below(linked: Linked, heard: Heard) -> None:
    linked.write("a/b/c/first.txt", b"x")
    heard.wait("a")
    assert "a" in heard.deep

    def is_told() -> bool:
        linked.write("a/b/c/second.txt", b"x")
        return "a/b/c/second.txt" in heard.paths

    wait_until(is_told, "a hint from the inner folder")


def test_a_renamed_folder_is_watched_under_its_new_name(linked: Linked, heard: Heard) -> None:
    linked.write("old/inner/x.txt", b"x")
    outside = linked.root.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    watcher = watch(linked.folder, heard)
    watcher.start()
    (linked.root / "old").rename(linked.root / "new")
    outside.rename(linked.root / "came")
    heard.wait("new", "came")
    assert {"new", "came"} <= heard.deep
    linked.write("new/inner/x.txt", b"y")
    linked.write("came/deep/y.txt", b"y")
    heard.wait("new/inner/x.txt", "came/deep/y.txt")
    (linked.root / "came").rename(outside)
    heard.wait("came")
    heard.paths.clear()
    (outside / "deep" / "z.txt").write_bytes(b"z")
    linked.write("last.txt", b"")
    heard.wait("last.txt")
    assert not any("z.txt" in path for path in heard.paths), "what has left is not watched"
    watcher.stop()


def test_an_overflow_is_noticed_and_what_came_meanwhile_is_watched(linked: Linked) -> None:
    blocked = threading.Event()

    class Slow(Heard):
        def changed(self, path: str, *, deep: bool) -> None:
            super().changed(path, deep=deep)
            blocked.wait(60)

    slow = Slow()
    watcher = watch(linked.folder, slow)
    watcher.start()
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    linked.write("first.txt", b"")
    slow.wait("first.txt")
    source = linked.root / "first.txt"
    for number in range(most + 10):
        os.link(source, linked.root / f"{number}")
        if number % 60_000 == 59_999:
            source = linked.root / f"x{number}"
            source.write_bytes(b"")
    (linked.root / "late").mkdir()
    blocked.set()
    wait_until(lambda: slow.losses, "the overflow")
    linked.write("late/x.txt", b"")
    slow.wait("late/x.txt")
    watcher.stop()
    assert slow.failures == []


def test_where_no_watch_is_to_be_had_it_is_said(
    linked: Linked, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked.write("a/x.txt", b"")
    watcher = InotifyWatcher(linked.folder, heard, bool)
    real = watcher._library.inotify_add_watch  # noqa: SLF001 - the kernel's limit is for all

    def limited(descriptor: int, place: bytes, mask: int) -> int:
        if place.endswith(b"/a"):
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return int(real(descriptor, place, mask))

    class Library:
        inotify_add_watch = staticmethod(limited)
        inotify_rm_watch = watcher._library.inotify_rm_watch  # noqa: SLF001

    monkeypatch.setattr(watcher, "_library", Library)
    watcher.start()
    assert "max_user_watches" in heard.failures[0]
    linked.write("b.txt", b"")
    heard.wait("b.txt")
    watcher.stop()


def test_unwanted_folders_have_no_watch(linked: Linked, heard: Heard) -> None:
    linked.write("skipped/x.txt", b"")
    watcher = watch(linked.folder, heard, lambda path: path != "skipped")
    watcher.start()
    linked.write("skipped/y.txt", b"")
    linked.write("wanted.txt", b"")
    heard.wait("wanted.txt")
    assert not any(path.startswith("skipped/") for path in heard.paths)
    watcher.stop()
