"""`casdav log`: what a person reads of a path's history, and that it can be used."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

import cas
from tools.changes import Version, coalesced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.tools.conftest import Casdav

SECOND = 10**9


class Story:
    """Changes a volume at times of its own choice."""

    def __init__(self, casdav: Casdav) -> None:
        self.now = 1_800_000_000 * SECOND
        self.repository = cas.open(casdav.store, clock=self)
        self.volume = self.repository.volume("v")

    def now_ns(self) -> int:
        return self.now

    def put(self, path: str, data: bytes = b"", author: str = "alice", after: int = 3600) -> None:
        upload = self.volume.upload()
        upload.write(data)
        self.edit(lambda edit: edit.put(path, upload), author, after)

    def edit(
        self, act: Callable[[cas.Edit], object], author: str = "alice", after: int = 3600
    ) -> None:
        self.now += after * SECOND
        with self.volume.edit(author=author) as edit:
            act(edit)


@pytest.fixture
def story(casdav: Casdav) -> Iterator[Story]:
    made = Story(casdav)
    yield made
    made.repository.close()


def lines(casdav: Casdav, *words: str) -> list[list[str]]:
    heading, *rest = casdav("log", *words).out.splitlines()
    assert heading.split() == ["TIME", "WHO", "SIZE", "WHAT", "VERSION"]
    return [line.split() for line in rest]


def test_each_line_says_when_who_how_large_what_and_where(casdav: Casdav, story: Story) -> None:
    story.put("doc", b"one")
    story.put("doc", b"second", author="bob")
    story.edit(lambda edit: edit.move("doc", "old"))
    story.edit(lambda edit: edit.remove("old"))
    found = lines(casdav, "v:/old")
    assert [line[2] for line in found] == ["alice", "alice", "bob", "alice"]
    assert [line[5] for line in found] == ["removed", "moved", "changed", "created"]
    assert [line[3:5] for line in found] == [["6", "B"], ["6", "B"], ["6", "B"], ["3", "B"]]
    places = [line[6] for line in found]
    assert places == ["v@#4:/old", "v@#4:/old", "v@#3:/doc", "v@#2:/doc"]
    assert found[1][7:] == ["from", "/doc"]
    contents = [casdav("cat", shlex.split(place)[0]).out for place in places]
    assert contents == ["second", "second", "second", "one"]
    assert lines(casdav, "v:/doc")[0][5:] == ["moved", "away", "v@#3:/doc", "to", "/old"]


def test_quick_saves_are_one_line_unless_each_is_asked_for(casdav: Casdav, story: Story) -> None:
    story.put("doc", b"1")
    for size in range(2, 5):  # as a word processor does it
        story.put("tmp", b"x" * size, after=3600 if size == 2 else 5)
        story.edit(lambda edit: edit.move("doc", "backup"), after=1)
        story.edit(lambda edit: edit.move("tmp", "doc"), after=1)
        story.edit(lambda edit: edit.remove("backup"), after=1)
    found = lines(casdav, "v:/doc")
    assert [line[5] for line in found] == ["changed", "created"]
    assert found[0][-2:] == ["(6", "changes)"]
    assert len(lines(casdav, "v:/doc", "--all")) == 7
    story.put("doc", b"by bob", author="bob", after=1)
    assert [line[2] for line in lines(casdav, "v:/doc")] == ["bob", "alice", "alice"]


def test_an_upload_under_another_name_is_one_line(casdav: Casdav, story: Story) -> None:
    story.put("doc.partial", b"1")
    story.edit(lambda edit: edit.move("doc.partial", "doc"), after=1)
    (line,) = lines(casdav, "v:/doc")
    assert line[5:] == ["created", "v@#3:/doc", "(2", "changes)"]
    story.edit(lambda edit: edit.move("doc", "far"))
    assert [line[5] for line in lines(casdav, "v:/far")] == ["moved", "created"]


def test_what_is_wanted_can_be_narrowed(casdav: Casdav, story: Story) -> None:
    for number in range(5):
        story.put("doc", b"y" * number)
    assert len(lines(casdav, "v:/doc", "--limit", "2")) == 2
    assert lines(casdav, "v@#3:/doc")[0][6] == "v@#3:/doc"
    assert casdav("log", "v:/doc", "--newer", "2030-01-01").out == ""
    ended = casdav("log", "v:/nothing", code=1)
    assert "nothing is known of 'v:/nothing'" in ended.err
    assert "nothing is known" in casdav("log", "v:/nothing", "--json", code=1).err


def test_everything_below_a_folder(casdav: Casdav, story: Story) -> None:
    story.edit(lambda edit: edit.make_directory("my folder"))
    story.put("my folder/doc")
    story.put("else")
    made, hint = lines(casdav, "v:/my folder")
    assert made[5] == "created"
    assert "--recursive" in hint
    (newest, _) = casdav("log", "v:/my folder", "-R").out.splitlines()[1:]
    assert shlex.split(newest)[-1] == "v@#3:/my folder/doc"
    assert "'v@#3:/my folder/doc'" in newest
    assert len(lines(casdav, "v:/", "-R")) == 4


def test_json_has_all_of_it(casdav: Casdav, story: Story) -> None:
    story.put("doc", b"one")
    story.edit(lambda edit: edit.move("doc", "to"))
    story.repository.checkpoint()
    moved, made = casdav("log", "--json", "v:/to").lines
    assert (moved["what"], moved["action"], moved["source"]) == ("moved", "move", "doc")
    assert (moved["source_volume"], moved["target"], moved["changes"]) == (None, None, 1)
    assert (made["path"], made["when"], made["sequence"]) == ("doc", "#2", 2)
    assert made["old"] is None
    assert {"kind": "file", "size": 3, "kept": True}.items() <= made["new"].items()
    assert len(made["commit"]) == 64
    assert made["time"] == "2027-01-15T09:00:00.000000000Z"


def test_names_that_no_terminal_should_see(casdav: Casdav, story: Story) -> None:
    story.put("a\nb\x1b\udcff")
    (line,) = casdav("log", "v:/", "-R", "--limit", "1").out.splitlines()[1:]
    assert r"a\nb\x1b\xff" in line


def test_the_history_of_a_copy_goes_on_in_the_other_volume(casdav: Casdav, story: Story) -> None:
    story.put("doc", b"one")
    other = story.repository.create_volume("w")
    story.now += 3600 * SECOND
    with story.volume.view() as view, other.edit() as edit:
        entry = view.entry("doc")
        edit.attach(
            "copy",
            entry,
            epoch=view.epoch,
            nodes=view.nodes,
            source="doc",
            source_volume=story.volume.id,
        )
    copied, made = lines(casdav, "w:/copy")
    assert copied[5:] == ["copied", "w@#2:/copy", "from", "v:/doc"]
    assert made[6] == "v@#2:/doc"


def item(seconds: int, **more: object) -> cas.LogItem:
    entry = cas.Entry(cas.EntryKind.EMPTY_FILE, 0, 0, 0o644, b"")
    values: dict[str, object] = {
        "volume_id": b"",
        "sequence": seconds,
        "time_ns": seconds * SECOND,
        "author": "a",
        "device": "",
        "action": cas.Action.PUT,
        "path": "p",
        "old": entry,
        "new": entry,
        "source": None,
        "source_volume": b"",
        "target": None,
        "commit": b"",
        **more,
    }
    return cas.LogItem(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("items", "counts"),
    [
        ([], []),
        ([item(100), item(90), item(41)], [3]),
        ([item(100), item(90), item(40)], [2, 1]),
        ([item(100), item(99, author="b"), item(98)], [1, 1, 1]),
        ([item(100), item(99, device="b")], [1, 1]),
        ([item(100), item(99, path="q")], [1, 1]),
        ([item(100), item(99, volume_id=b"q")], [1, 1]),
        ([item(100, action=cas.Action.COPY), item(99)], [1, 1]),
        ([item(100, new=None), item(99), item(98)], [1, 2]),
        ([item(100, old=None), item(99, new=None), item(98)], [3]),
        ([item(100), item(120)], [2]),  # the clock was set back
    ],
)
def test_what_belongs_together(items: list[cas.LogItem], counts: list[int]) -> None:
    assert [version.changes for version in coalesced(items)] == counts


def test_words() -> None:
    entry = item(1).new
    content = cas.Entry(cas.EntryKind.CHUNK_FILE, 1, 0, 0o644, b"x")

    def word(old: cas.Entry | None, **more: object) -> str:
        return Version(item(1, old=old, **more), old).what

    assert word(None) == "created"
    assert word(content) == "changed"
    assert word(entry) == "attributes"
    assert word(entry, new=None) == "removed"
    assert word(entry, new=None, target="x") == "moved away"
    assert word(None, action=cas.Action.MOVE, source="x") == "moved"
    assert word(content, action=cas.Action.MOVE, source="x") == "changed"
    assert word(None, action=cas.Action.COPY, source="x") == "copied"
    assert word(None, action=cas.Action.COPY, source="p") == "restored"
    assert word(None, action=cas.Action.COPY, source="p", source_volume=b"w") == "copied"
    assert Version(item(1, path=""), entry).what == "created"
