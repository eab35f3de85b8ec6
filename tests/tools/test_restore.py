"""`casdav restore` and `casdav undelete`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import cas
from tools.restoring import Restored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tools.conftest import Casdav

SECOND = 10**9


class Story:
    """Changes a volume, an hour between one change and the next."""

    def __init__(self, casdav: Casdav) -> None:
        self.now = time.time_ns()
        self.repository = cas.open(casdav.store, clock=self)
        self.volume = self.repository.volume("v")

    def now_ns(self) -> int:
        return self.now

    def put(self, path: str, data: bytes = b"", after: int = 3600) -> int:
        upload = self.volume.upload()
        upload.write(data)
        return self.edit(lambda edit: edit.put(path, upload), after)

    def edit(self, act: Callable[[cas.Edit], object], after: int = 3600) -> int:
        self.now += after * SECOND
        with self.volume.edit(author="alice") as edit:
            act(edit)
        return edit.sequence

    def remove(self, path: str, after: int = 3600) -> int:
        return self.edit(lambda edit: edit.remove(path), after)

    def make_folder(self) -> int:
        def act(edit: cas.Edit) -> None:
            edit.make_directory("d/e", parents=True)
            edit.put("d/e/empty", cas.EMPTY_CONTENT)

        self.edit(act)
        return self.put("d/x", b"old")


@pytest.fixture
def story(casdav: Casdav) -> Iterator[Story]:
    made = Story(casdav)
    yield made
    made.repository.close()


def content(casdav: Casdav, place: str) -> str:
    return casdav("cat", place).out


def test_a_file_a_folder_and_the_whole_volume_come_back(casdav: Casdav, story: Story) -> None:
    old = story.make_folder()
    story.put("d/x", b"changed")
    story.remove("d/e")
    new = story.put("more")
    ended = casdav("restore", f"v@#{old}:/d/x", "--yes")
    assert "restored v@#5:/d/x to v:/d/x (3 B); the state before: v@#8:/d/x" in ended.out
    assert content(casdav, "v:/d/x") == "old"
    assert content(casdav, f"v@#{new}:/d/x") == "changed"
    casdav("restore", f"v@#{new}:/d/x", "--yes")
    document = casdav("restore", "--json", f"v@#{old}:/d", "--yes").document
    assert document["restored"] is True
    assert document["before"] == f"#{document['sequence'] - 1}"
    assert casdav("ls", "-R", "v:/").out.split() == ["d/", "d/e/", "d/e/empty", "d/x", "more"]
    casdav("restore", f"v@#{old}:/", "--yes")
    assert casdav("ls", "v:/").out == "d/\n"
    casdav("restore", f"v@#{new}:/", "--yes")
    assert casdav("ls", "-R", "v:/").out.split() == ["d/", "d/x", "more"]
    assert "nothing to do" in casdav("restore", f"v@#{new}:/").out


def test_what_is_replaced_is_asked_for_and_what_is_new_is_not(casdav: Casdav, story: Story) -> None:
    old = story.make_folder()
    story.put("d/x", b"changed")
    ended = casdav("restore", f"v@#{old}:/d/x", code=2)
    assert "Replace v:/d/x (7 B) by v@#5:/d/x (3 B)?" in ended.err
    assert content(casdav, "v:/d/x") == "changed"
    casdav("restore", f"v@#{old}:/d", "--to", "v:/new/folders/d")
    assert content(casdav, "v:/new/folders/d/x") == "old"
    other = story.repository.create_volume("w")
    casdav("restore", f"v@#{old}:/d", "--to", "w:/", "--yes")
    assert content(casdav, "w:/x") == "old"
    assert "copied" in casdav("log", "w:/x").out
    assert other.name == "w"


def test_a_dry_run_counts_what_would_change(casdav: Casdav, story: Story) -> None:
    old = story.make_folder()
    story.put("d/x", b"changed")
    story.put("d/y", b"12345")
    story.remove("d/e/empty")
    found = casdav("restore", f"v@#{old}:/", "--dry-run").out
    assert "would restore v@#5:/ to v:/" in found
    assert "changed:  1" in found
    document = casdav("restore", f"v@#{old}:/", "--dry-run", "--json").document
    assert (document["files_added"], document["files_removed"], document["changed"]) == (1, 1, 1)
    assert document["restored"] is False
    assert content(casdav, "v:/d/x") == "changed"


def test_locks_are_named(casdav: Casdav, story: Story) -> None:
    old = story.make_folder()
    story.put("d/x", b"changed")
    for path, owner in (("d/x", "bob"), ("d", "carol")):
        lock = cas.Lock(
            token=path,
            volume_id=story.volume.id,
            path=path,
            principal=owner,
            infinite=False,
            expires_ns=time.time_ns() + 10**12,
        )
        story.repository.locks.acquire(lock)
    for place in ("d", ""):
        ended = casdav("restore", f"v@#{old}:/{place}", "--yes", code=11)
        assert "carol on v:/d, bob on v:/d/x" in ended.err
    assert content(casdav, "v:/d/x") == "changed"


def test_what_cannot_be_restored_is_said(casdav: Casdav, story: Story) -> None:
    old = story.make_folder()
    assert "VOLUME@WHEN" in casdav("restore", "v:/d", code=2).err
    assert "there is no 'v@#5:/nothing'" in casdav("restore", f"v@#{old}:/nothing", code=1).err
    assert "from #1 to" in casdav("restore", "v@#99:/d", code=1).err
    ended = casdav("restore", f"v@#{old}:/d/x", "--to", "v:/", "--yes", code=14)
    assert "only a folder" in ended.err


def test_a_version_that_retention_keeps_without_its_state(casdav: Casdav, story: Story) -> None:
    for data in (b"first", b"second", b"third"):
        story.put("x", data)
        story.repository.checkpoint()
    story.put("y", b"1")
    story.remove("y")
    story.put("z", b"1")
    story.repository.close()
    casdav("gc", "--keep-versions", "2", "--grace", "0s")
    assert "(content not kept)" in casdav("log", "v:/x").out.splitlines()[-1]
    assert content(casdav, "v@#3:/x") == "second"
    assert "not kept" in casdav("cat", "v@#2:/x", code=1).err
    assert "not kept" in casdav("ls", "v@#3:/", code=1).err
    assert "changed:  1" in casdav("restore", "v@#3:/x", "--dry-run").out
    casdav("restore", "v@#3:/x", "--yes")
    assert content(casdav, "v:/x") == "second"
    casdav("undelete", "v:/y")
    assert content(casdav, "v:/y") == "1"


def test_undelete_brings_back_the_newest_that_was_deleted(casdav: Casdav, story: Story) -> None:
    for data in (b"first", b"second"):
        story.put("x", data)
        story.remove("x")
    assert "restored v@#4:/x to v:/x" in casdav("undelete", "v:/x").out
    assert content(casdav, "v:/x") == "second"
    assert "restored" in casdav("log", "v:/x", "--limit", "1").out
    ended = casdav("undelete", "v:/x", code=14)
    assert "--to" in ended.err
    casdav("undelete", "v:/x", "--to", "v:/y")
    assert content(casdav, "v:/y") == "second"
    assert "exists" in casdav("undelete", "v:/x", "--to", "v:/y", code=14).err


def test_undelete_brings_back_folders_and_what_went_with_them(casdav: Casdav, story: Story) -> None:
    story.make_folder()
    story.repository.checkpoint()
    story.remove("d")
    casdav("undelete", "v:/d/x")
    assert casdav("ls", "-R", "v:/").out.split() == ["d/", "d/x"]
    assert "exists" in casdav("undelete", "v:/d", code=14).err
    casdav("undelete", "v:/d", "--to", "v:/whole")
    assert casdav("ls", "-R", "v:/whole").out.split() == [
        "whole/e/",
        "whole/e/empty",
        "whole/x",
    ]


def test_undelete_says_what_became_of_a_path(casdav: Casdav, story: Story) -> None:
    story.put("x", b"1")
    story.edit(lambda edit: edit.move("x", "y"))
    assert "moved to v:/y" in casdav("undelete", "v:/x", code=1).err
    assert "nothing that is known was deleted" in casdav("undelete", "v:/z", code=1).err
    story.remove("y")
    casdav("undelete", "v:/y", "--newer", "1900-01-01")
    story.remove("y")
    assert "nothing" in casdav("undelete", "v:/y", "--newer", "2999-01-01", code=1).err


def test_what_was_deleted_is_listed(casdav: Casdav, story: Story) -> None:
    story.make_folder()
    story.put("d/gone", b"12")
    story.remove("d/gone")
    story.put("back", b"1")
    story.remove("back")
    story.put("back", b"2")
    story.put("doc", b"1")  # and a save of it, which is nobody's deletion
    story.put("tmp", b"22")
    story.edit(lambda edit: edit.move("doc", "~doc"), after=1)
    story.edit(lambda edit: edit.move("tmp", "doc"), after=1)
    story.remove("~doc", after=1)
    story.remove("d")
    heading, *lines = casdav("undelete", "v:/", "--list").out.splitlines()
    assert heading.split() == ["DELETED", "BY", "SIZE", "FILES", "LAST", "VERSION"]
    places = [line.split()[-1] for line in lines]
    assert [place.partition(":")[2] for place in places] == ["/d", "/d/gone"]
    assert content(casdav, places[1]) == "12"
    assert len(casdav("undelete", "v:/", "--list", "--all", "--json").lines) == 3
    (below,) = casdav("undelete", "v:/d/gone", "--list", "--json").lines
    assert (below["path"], below["size"], below["author"]) == ("d/gone", 2, "alice")
    assert casdav("undelete", "v:/", "--list", "--newer", "2999-01-01").out == (
        "nothing was deleted that is not there again\n"
    )
    assert "1 that were there for less than a minute" in casdav("undelete", "v:/~doc", "--list").out
    assert "--to" in casdav("undelete", "v:/", "--list", "--to", "v:/a", code=2).err


@pytest.mark.parametrize("words", [("restore", "--yes"), ("undelete",)])
def test_it_goes_on_where_a_collection_begins_in_the_midst_of_it(
    casdav: Casdav, story: Story, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    old = story.make_folder()
    story.remove("d/x")
    rest = ["once"]

    def collect_first(plan: Restored, *, overwrite: bool) -> cas.Edit:
        if rest:
            rest.clear()
            story.put("garbage", b"of no use to anybody")
            story.put("garbage", b"")
            story.repository.engine.chunks.open_packs.seal_current()
            policy = cas.VersionPolicy(every=cas.CalendarSpan(hours=2), states=cas.Retention())
            report = cas.collect_garbage(story.repository, policy, grace_seconds=0)
            assert report.condemned_packs
        return commit(plan, overwrite=overwrite)

    commit = Restored.commit
    monkeypatch.setattr(Restored, "commit", collect_first)
    place = f"v@#{old}:/d/x" if words[0] == "restore" else "v:/d/x"
    casdav(words[0], place, *words[1:])
    assert not rest
    assert content(casdav, "v:/d/x") == "old"
