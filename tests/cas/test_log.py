"""The history of a path: nothing missing, nothing of others, through moves, copies and saves."""

from __future__ import annotations

import pytest

import cas
from cas.errors import MissingObjectError
from cas.ids import Kind
from cas.nodes import NodeStore
from cas.objects import TreeNode
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def volume(repository: cas.Repository, clock: FakeClock) -> cas.Volume:
    made = repository.create_volume("v")
    clock.advance(3600)
    return made


@pytest.fixture(params=["young", "in commits"])
def wait(request: pytest.FixtureRequest, repository: cas.Repository, clock: FakeClock) -> Wait:
    return Wait(repository, clock, makes_commits=request.param == "in commits")


class Wait:
    """Lets an hour go by, with or without a commit."""

    def __init__(
        self, repository: cas.Repository, clock: FakeClock, *, makes_commits: bool
    ) -> None:
        self._repository = repository
        self._clock = clock
        self._makes_commits = makes_commits

    def __call__(self, seconds: float = 3600) -> None:
        self._clock.advance(seconds)
        if self._makes_commits:
            self._repository.checkpoint()


def put(volume: cas.Volume, path: str, data: bytes = b"", author: str = "alice") -> None:
    with volume.edit(author=author) as edit:
        upload = volume.upload()
        upload.write(data)
        edit.put(path, upload)


def move(volume: cas.Volume, source: str, target: str) -> None:
    with volume.edit(author="alice") as edit:
        edit.move(source, target)


def remove(volume: cas.Volume, path: str) -> None:
    with volume.edit(author="alice") as edit:
        edit.remove(path)


def size(entry: cas.Entry | None) -> int | None:
    return None if entry is None else entry.size


Told = tuple[str, int | None, int | None]
"""The path then, and the sizes before and after."""


def told(volume: cas.Volume, path: str, *, recursive: bool = False) -> list[Told]:
    items = volume.log(path, recursive=recursive)
    return [(each.path, size(each.old), size(each.new)) for each in items]


def test_a_file_is_made_changed_and_removed(volume: cas.Volume, wait: Wait) -> None:
    put(volume, "other")
    put(volume, "file", b"1", author="bob")
    wait()
    put(volume, "file", b"22", author="carol")
    remove(volume, "other")
    wait()
    remove(volume, "file")
    assert told(volume, "file") == [("file", 2, None), ("file", 1, 2), ("file", None, 1)]
    items = list(volume.log("file"))
    assert [each.author for each in items] == ["alice", "carol", "bob"]
    assert [each.action.name for each in items] == ["REMOVE", "PUT", "PUT"]
    assert items[1].time_ns - items[2].time_ns == 3600 * 10**9
    for each in items[1:]:
        with volume.at_sequence(each.sequence) as view:
            assert view.entry("file") == each.new
    assert list(volume.log("file", before=items[0].sequence)) == items[1:]
    assert list(volume.log("nothing")) == []
    with pytest.raises(cas.InvalidError):
        volume.log("a/../b")


def test_attributes_are_changes_too_and_other_names_are_not(volume: cas.Volume, wait: Wait) -> None:
    put(volume, "a", b"1")
    with volume.edit() as edit:
        edit.set_properties("a", mode=0o600)
        edit.put("ab", cas.EMPTY_CONTENT)
    wait()
    (item, _) = volume.log("a")
    assert item.action is cas.Action.SET_PROPERTIES
    assert item.new is not None
    assert item.new.mode == 0o600


def test_history_goes_on_under_the_old_path_and_in_the_old_folder(
    volume: cas.Volume, wait: Wait
) -> None:
    with volume.edit() as edit:
        edit.make_directory("a/b", parents=True)
    put(volume, "a/b/x", b"1")
    wait()
    move(volume, "a/b", "c")
    wait()
    put(volume, "c/x", b"22")
    move(volume, "c/x", "y")
    wait()
    assert told(volume, "y") == [
        ("y", None, 2),
        ("c/x", 1, 2),
        ("c/x", None, 1),
        ("a/b/x", None, 1),
    ]
    sources = [each.source for each in volume.log("y")]
    assert sources == ["c/x", None, "a/b/x", None]
    assert told(volume, "c/x") == [("c/x", 2, None), *told(volume, "y")[1:]]
    leaving = next(volume.log("a/b/x"))
    assert (leaving.target, leaving.old and leaving.old.size, leaving.new) == ("c/x", 1, None)


def test_what_happens_to_a_folder_happens_to_what_is_in_it(volume: cas.Volume, wait: Wait) -> None:
    with volume.edit() as edit:
        edit.make_directory("d/e", parents=True)
    put(volume, "d/e/x", b"1")
    put(volume, "d/y", b"!")
    wait()
    remove(volume, "d")
    wait()
    with volume.edit() as edit:
        edit.make_directory("d")
    assert told(volume, "d/e/x") == [("d/e/x", 1, None), ("d/e/x", None, 1)]
    folder = told(volume, "d")
    assert [(old is None, new is None) for _, old, new in folder] == [
        (True, False),
        (False, True),
        (True, False),
    ]


def test_a_folder_that_is_put_again_and_again_is_no_change_of_what_stays(
    volume: cas.Volume, wait: Wait
) -> None:
    folder = volume.folder()
    for number in range(3):
        stored = volume.store([b"x" * (number + 1)])
        folder.rely_on(stored)
        folder.put(f"f{number}", stored.contents[0], mtime_ns=1, mode=0o600)
        with volume.edit() as edit:
            edit.put_folder("d", folder, mtime_ns=number)
        wait()
    assert told(volume, "d/f1") == [("d/f1", None, 2)]
    assert len(told(volume, "d")) == 3


def test_a_copy_has_the_history_of_what_it_is_a_copy_of(volume: cas.Volume, wait: Wait) -> None:
    with volume.edit() as edit:
        edit.make_directory("d")
    put(volume, "d/x", b"1")
    wait()
    with volume.edit() as edit:
        edit.copy("d", "e")
    wait()
    put(volume, "d/x", b"22")
    put(volume, "e/x", b"333")
    assert told(volume, "e/x") == [("e/x", 1, 3), ("e/x", None, 1), ("d/x", None, 1)]
    assert told(volume, "d/x") == [("d/x", 1, 2), ("d/x", None, 1)]
    with volume.edit() as edit:
        edit.copy("d/x", "e/x")
    assert told(volume, "e/x")[:2] == [("e/x", 3, 2), ("e/x", 1, 3)]


def save_like_office(volume: cas.Volume, data: bytes) -> None:
    put(volume, "~tmp1", data)
    move(volume, "doc", "~old")
    move(volume, "~tmp1", "doc")
    remove(volume, "~old")


def save_like_finder(volume: cas.Volume, data: bytes) -> None:
    with volume.edit() as edit:
        edit.make_directory("doc.sb-1", parents=True)
    put(volume, "doc.sb-1/doc", data)
    move(volume, "doc", "doc.sb-1/backup")
    move(volume, "doc.sb-1/doc", "doc")
    remove(volume, "doc.sb-1")


def save_by_renaming(volume: cas.Volume, data: bytes) -> None:
    put(volume, ".doc.swp", data)
    move(volume, ".doc.swp", "doc")


def save_by_deleting(volume: cas.Volume, data: bytes) -> None:
    put(volume, "doc.tmp", data)
    remove(volume, "doc")
    move(volume, "doc.tmp", "doc")


def save_beside_a_backup(volume: cas.Volume, data: bytes) -> None:
    move(volume, "doc", "doc~")
    put(volume, "doc", data)


@pytest.mark.parametrize(
    "save",
    [
        save_like_office,
        save_like_finder,
        save_by_renaming,
        save_by_deleting,
        save_beside_a_backup,
    ],
)
def test_however_a_program_saves_the_name_keeps_its_history(
    volume: cas.Volume, wait: Wait, save: object
) -> None:
    assert callable(save)
    put(volume, "doc", b"1")
    wait()
    for number in (2, 3):
        save(volume, b"x" * number)
        wait()
    assert {path for path, _, _ in told(volume, "doc")} == {"doc"}
    versions = [new for _, _, new in told(volume, "doc") if new is not None]
    assert versions == [3, 2, 1]


def test_a_name_that_was_left_long_ago_brings_no_history_to_what_comes_there(
    volume: cas.Volume, wait: Wait
) -> None:
    put(volume, "name", b"1")
    put(volume, "draft", b"22")
    move(volume, "name", "archive")
    wait(61)
    move(volume, "draft", "name")
    assert told(volume, "name") == [("name", None, 2), ("draft", None, 2)]
    wait()
    assert told(volume, "archive") == [("archive", None, 1), ("name", None, 1)]


def test_history_goes_on_in_another_volume_if_that_may_be_seen(
    repository: cas.Repository, volume: cas.Volume, wait: Wait
) -> None:
    other = repository.create_volume("w")
    put(other, "x", b"1")
    wait()
    with other.view() as view, volume.edit() as edit:
        entry = view.entry("x")
        edit.attach(
            "y", entry, epoch=view.epoch, nodes=view.nodes, source="x", source_volume=other.id
        )
    wait()
    put(other, "x", b"22")
    assert told(volume, "y") == [("y", None, 1)]
    items = list(volume.log("y", may_follow=lambda volume_id: volume_id == other.id))
    assert [(each.volume_id, each.path) for each in items] == [(volume.id, "y"), (other.id, "x")]
    assert items[0].source_volume == other.id


def test_everything_below_a_folder_is_told_in_one_go(volume: cas.Volume, wait: Wait) -> None:
    with volume.edit() as edit:
        edit.make_directory("d/e", parents=True)
    put(volume, "d/e/x", b"1")
    put(volume, "outside", b"22")
    wait()
    move(volume, "outside", "d/in")
    move(volume, "d/e/x", "left")
    volume.create_snapshot("d")  # of that name, and no change of files
    move(volume, "d", "f")
    assert told(volume, "f", recursive=True) == [
        ("f", None, 2),
        ("d/e/x", 1, None),
        ("d/in", None, 2),
        ("d/e/x", None, 1),
        ("d/e", None, 0),
        ("d", None, 0),
    ]
    everything = list(volume.log("", recursive=True))
    assert len(everything) == 7 + 1  # the volume's own making among them


def test_names_of_any_bytes_and_depth(volume: cas.Volume, wait: Wait) -> None:
    odd = "\udcff\n😀"
    deep = "/".join([odd] * 200)
    with volume.edit() as edit:
        edit.make_directory(deep, parents=True)
    put(volume, f"{deep}/x", b"1")
    wait()
    move(volume, odd, "top")
    assert told(volume, f"top/{deep.partition('/')[2]}/x")[-1] == (f"{deep}/x", None, 1)


def test_trees_that_are_not_kept_hide_what_only_they_tell_and_nothing_else(
    repository: cas.Repository, volume: cas.Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    with volume.edit() as edit:
        edit.make_directory("d")
    put(volume, "d/x", b"1")
    with volume.view() as view:
        gone = view.entry("d").content
    move(volume, "d", "e")
    put(volume, "e/x", b"22")
    repository.checkpoint()
    load = NodeStore.tree_node

    def tree_node(self: NodeStore, node_id: bytes, *rest: object, **more: object) -> TreeNode:
        if node_id == gone:
            raise MissingObjectError("collected")
        return load(self, node_id, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(NodeStore, "tree_node", tree_node)
    assert told(volume, "e/x") == [("e/x", 1, 2), ("d/x", None, 1)]
    assert told(volume, "e") == [("e", None, 1), ("d", None, 0)]


@pytest.mark.one_gateway
def test_the_newest_changes_cost_the_same_however_long_the_history(
    repository: cas.Repository, volume: cas.Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(volume, "rare", b"1")
    put(volume, "busy")
    for number in range(50):
        with volume.edit() as edit:
            for each in range(2000):
                edit.set_properties("busy", mtime_ns=number * each)
            if number == 25:
                edit.put("rare", cas.EMPTY_CONTENT)
        repository.checkpoint()
    assert next(volume.log("busy")).sequence > 100_000
    chunks = volume._engine.chunks  # noqa: SLF001 - what is counted are its reads
    read: list[Kind] = []
    get = chunks.get

    def counted(kind: Kind, object_id: bytes) -> bytes:
        read.append(kind)
        return get(kind, object_id)

    monkeypatch.setattr(chunks, "get", counted)
    assert told(volume, "rare") == [("rare", 1, 0), ("rare", None, 1)]
    assert read == [Kind.CHANGE_NODE] * 2
