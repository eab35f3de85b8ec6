"""What each operation does, refuses and leaves alone; replaying its changes does the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cas
from cas.journal import JournalRecord
from cas.objects import Entry, EntryKind, decode
from cas.replaying import replay
from cas.trees import TreeShape
from cas.working_tree import WorkingTree
from tests.support.clock import FakeClock
from tests.support.memory_nodes import MemoryTreeNodes

Step = Callable[[cas.Edit], None]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def repository(tmp_path: Path, clock: FakeClock) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store", clock=clock) as made:
        volume = made.create_volume("v")
        with volume.edit() as edit:
            edit.make_directory("folder/inner", parents=True)
            edit.make_directory("empty")
            edit.put("file", content(volume, b"file"), mode=0o640, content_type="text/x")
            edit.put("folder/below", content(volume, b"below"), properties={"{a}b": "c"})
            edit.make_symlink("link", "file")
        clock.advance(10)
        yield made


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    return repository.volume("v")


def content(volume: cas.Volume, data: bytes) -> cas.Content:
    upload = volume.upload()
    upload.write(data)
    return upload.finish()


def commit(volume: cas.Volume, step: Step) -> list[cas.Applied]:
    with volume.edit(author="alice", device="laptop") as edit:
        step(edit)
    return edit.outcome


def entry(volume: cas.Volume, path: str) -> Entry:
    with volume.view() as view:
        return view.entry(path)


EMPTY = cas.EMPTY_CONTENT
REFUSED: list[tuple[str, Step, type[cas.CasError]]] = [
    ("put without a parent", lambda e: e.put("x/y", EMPTY), cas.ConflictError),
    ("put below a file", lambda e: e.put("file/y", EMPTY), cas.ConflictError),
    ("put onto a folder", lambda e: e.put("folder", EMPTY), cas.ConflictError),
    ("put onto a link", lambda e: e.put("link", EMPTY), cas.ConflictError),
    ("put onto the root", lambda e: e.put("", EMPTY), cas.ConflictError),
    ("make what is there", lambda e: e.make_directory("file"), cas.AlreadyExistsError),
    ("make the root", lambda e: e.make_directory(""), cas.AlreadyExistsError),
    ("make without a parent", lambda e: e.make_directory("x/y"), cas.ConflictError),
    (
        "make parents through a file",
        lambda e: e.make_directory("file/x/y", parents=True),
        cas.ConflictError,
    ),
    ("link onto a folder", lambda e: e.make_symlink("folder", "x"), cas.ConflictError),
    ("remove nothing", lambda e: e.remove("x"), cas.NotFoundError),
    ("remove the root", lambda e: e.remove(""), cas.ConflictError),
    ("move nothing", lambda e: e.move("x", "y"), cas.NotFoundError),
    ("move onto itself", lambda e: e.move("file", "file"), cas.ConflictError),
    ("move into itself", lambda e: e.move("folder", "folder/inner/x"), cas.ConflictError),
    ("move onto a parent", lambda e: e.move("folder/inner", "folder"), cas.ConflictError),
    ("move without a parent", lambda e: e.move("file", "x/y"), cas.ConflictError),
    ("move the root", lambda e: e.move("", "x"), cas.ConflictError),
    (
        "move onto what is there",
        lambda e: e.move("file", "empty", overwrite=False),
        cas.PreconditionError,
    ),
    ("copy onto itself", lambda e: e.copy("file", "file"), cas.ConflictError),
    ("copy into itself", lambda e: e.copy("folder", "folder/x"), cas.ConflictError),
    (
        "copy onto what is there",
        lambda e: e.copy("file", "link", overwrite=False),
        cas.PreconditionError,
    ),
    ("copy onto the root", lambda e: e.copy("folder", ""), cas.ConflictError),
    ("set what is not there", lambda e: e.set_properties("x", mode=1), cas.NotFoundError),
    ("absent", lambda e: e.put("file", EMPTY, expect=cas.ABSENT), cas.PreconditionError),
    ("exists", lambda e: e.put("x", EMPTY, expect=cas.EXISTS), cas.PreconditionError),
    (
        "content",
        lambda e: e.remove("file", expect=cas.ContentIs(bytes(32))),
        cas.PreconditionError,
    ),
    ("entry", lambda e: e.remove("file", expect=cas.EntryIs(bytes(32))), cas.PreconditionError),
]


@pytest.mark.parametrize(("_name", "step", "error"), REFUSED, ids=[each[0] for each in REFUSED])
def test_what_cannot_be_done_is_refused_and_nothing_has_changed(
    volume: cas.Volume, _name: str, step: Step, error: type[cas.CasError]
) -> None:
    with volume.view() as view:
        before = [view.root, *view.walk()]
    edit = volume.edit()
    edit.make_directory("first")  # is taken back as well
    step(edit)
    with pytest.raises(error):
        edit.commit()
    with volume.view() as view:
        assert [view.root, *view.walk()] == before


def test_conditions_that_hold_let_the_operation_be(volume: cas.Volume) -> None:
    file = entry(volume, "file")
    commit(volume, lambda e: e.put("new", EMPTY, expect=cas.ABSENT))
    commit(volume, lambda e: e.put("new", EMPTY, expect=cas.EXISTS))
    commit(volume, lambda e: e.put("new", EMPTY, expect=cas.ContentIs(b"")))
    commit(
        volume,
        lambda e: e.set_properties("file", mode=0o600, expect=cas.EntryIs(volume.entry_id(file))),
    )
    commit(volume, lambda e: e.remove("file", expect=cas.ContentIs(file.content)))


def test_a_put_keeps_what_it_does_not_name(volume: cas.Volume, clock: FakeClock) -> None:
    before = entry(volume, "file")
    (applied,) = commit(volume, lambda e: e.put("file", content(volume, b"new")))
    after = entry(volume, "file")
    assert (applied.old, applied.new, applied.created) == (before, after, False)
    assert (after.mode, after.content_type, after.created_ns) == (
        0o640,
        "text/x",
        before.created_ns,
    )
    assert after.mtime_ns == clock.now_ns()
    (applied,) = commit(volume, lambda e: e.put("other", EMPTY, mtime_ns=5, mode=0o7777777))
    assert applied.created
    assert applied.new is not None
    assert (applied.new.mtime_ns, applied.new.mode) == (5, 0o7777)
    assert applied.new.created_ns == clock.now_ns()


def test_a_folders_time_changes_when_names_come_or_go(volume: cas.Volume, clock: FakeClock) -> None:
    before = entry(volume, "folder").mtime_ns
    commit(volume, lambda e: e.put("folder/below", EMPTY))
    assert entry(volume, "folder").mtime_ns == before
    for step in (
        lambda e: e.put("folder/new", EMPTY),
        lambda e: e.remove("folder/new"),
        lambda e: e.move("folder/below", "moved"),
        lambda e: e.copy("moved", "folder/below"),
    ):
        clock.advance(1)
        commit(volume, step)
        assert entry(volume, "folder").mtime_ns == clock.now_ns()


def test_a_move_keeps_everything_and_a_copy_all_but_its_birth(
    volume: cas.Volume, clock: FakeClock
) -> None:
    before = entry(volume, "folder")
    commit(volume, lambda e: e.move("folder", "empty"))
    assert entry(volume, "empty") == before
    commit(volume, lambda e: e.copy("empty", "copy"))
    copied = entry(volume, "copy")
    assert copied.created_ns == clock.now_ns()
    assert (copied.content, copied.mtime_ns) == (before.content, before.mtime_ns)
    commit(volume, lambda e: e.copy("empty", "bare", recursive=False))
    bare = entry(volume, "bare")
    assert (bare.content, bare.size, bare.files, bare.folders) == (b"", 0, 0, 0)


def test_properties_are_replaced_whole(volume: cas.Volume) -> None:
    long = {f"{{urn:x}}{number}": "value" * 50 for number in range(30)}
    for properties in ({"{x}y": "1"}, long, {}):
        commit(volume, lambda e, p=properties: e.set_properties("folder/below", properties=p))  # type: ignore[misc]
        with volume.view() as view:
            assert view.properties(view.entry("folder/below")) == properties
    commit(volume, lambda e: e.set_properties("", properties=long, mode=0o711, mtime_ns=3))
    with volume.view() as view:
        assert view.properties(view.root) == long
        assert (view.root.mode, view.root.mtime_ns) == (0o711, 3)
        assert view.root.files == 3


def test_one_edit_sees_its_own_operations(volume: cas.Volume) -> None:
    def step(edit: cas.Edit) -> None:
        edit.make_directory("a/b/c", parents=True)
        edit.put("a/b/c/file", EMPTY)
        edit.move("a/b", "b")
        edit.copy("b", "a/b")
        edit.remove("b/c/file")
        edit.remove("a/b/c")
        edit.make_directory("a/b", parents=True)

    outcome = commit(volume, step)
    assert [each.path for each in outcome] == ["a/b/c", "a/b/c/file", "b", "a/b", *_removed()]
    with volume.view() as view:
        assert [path for path, _ in view.walk("a")] == ["a/b"]
        assert [path for path, _ in view.walk("b")] == ["b/c"]


def _removed() -> list[str]:
    return ["b/c/file", "a/b/c", "a/b"]


@pytest.mark.plain
def test_changes_say_who_did_what_and_replaying_them_leads_to_the_same_root(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    with volume.view() as view:
        kept, epoch, seen = view.entry("folder"), view.epoch, view.nodes

    def step(edit: cas.Edit) -> None:
        edit.make_directory("a/b", parents=True, mode=0o700)
        edit.put("a/b/file", content(volume, b"1"))
        edit.copy("a", "folder/a")
        edit.move("folder/a/b", "c")
        edit.put("c/file", EMPTY)
        edit.copy("c", "folder/inner", overwrite=True)
        edit.attach(
            "again", kept, epoch=epoch, nodes=seen, source="folder", source_volume=volume.id
        )
        edit.set_properties("c", mtime_ns=4)
        edit.set_properties("", mode=0o711)
        edit.make_symlink("link", "elsewhere")
        edit.remove("empty")
        edit.copy("c", "bare", recursive=False)
        edit.move("bare", "link")

    commit(volume, step)
    with repository._catalog.read() as transaction:  # noqa: SLF001
        records = [decode(encoded, JournalRecord) for encoded in transaction.journal()]
    nodes = MemoryTreeNodes()
    shape = TreeShape(repository.config.tree_seed)
    root = Entry(EntryKind.DIRECTORY, 0, 0, 0o755, b"")
    snapshots = WorkingTree(nodes, shape, root)
    with volume.view() as view:  # what is attached is not made by the replay
        for node_id in _reachable(view, kept.content):
            nodes.save_tree_node(view.nodes.load_tree_node(node_id))
    for record in records:
        for batch in record.batches:
            if batch.volume_id == volume.id:
                tree = WorkingTree(nodes, shape, root)
                for change in batch.changes:
                    replay(tree, snapshots, change)
                root = tree.flush()
                assert root == batch.root
    last = records[-1].batches[0].changes
    assert {(change.author, change.device) for change in last} == {("alice", "laptop")}
    assert entry(volume, "") == root


def _reachable(view: cas.View, node_id: bytes) -> list[bytes]:
    if not node_id:
        return []
    node = view.nodes.load_tree_node(node_id)
    below = [child.id for child in node.children]
    below += [each.content for each in node.entries if each.is_directory]
    return [node_id, *(found for each in below for found in _reachable(view, each))]
