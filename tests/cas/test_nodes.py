"""Tree nodes: young ones in the nursery, old ones in packs, none lost on the way."""

from __future__ import annotations

import pytest

import cas
from cas.ids import Kind
from cas.objects import encode
from cas.reliance import Reliance

FILES = 300


def put_empty(volume: cas.Volume, *names: str, mtime_ns: int = 1) -> None:
    with volume.edit() as edit:
        for name in names:
            edit.put(name, cas.EMPTY_CONTENT, mtime_ns=mtime_ns, created_ns=1)


def names_in(volume: cas.Volume) -> list[str]:
    with volume.view() as view:
        return [name for name, _ in view.list()]


def test_a_state_that_a_cut_off_checkpoint_wrote_half_is_whole_when_it_comes_back(
    repository: cas.Repository,
) -> None:
    """Its inner node is in a pack then, and its leaf in none."""
    volume = repository.create_volume("v")
    names = [f"{number:03}" for number in range(FILES)]
    put_empty(volume, *names)
    with volume.view() as view:
        first = view.root
        root = view.nodes.load_tree_node(first.content)
    assert root.level > 0
    # What a checkpoint writes first, and a commit meanwhile makes known; then it dies.
    repository._chunks.put_node(Kind.TREE_NODE, encode(root), Reliance())  # noqa: SLF001
    put_empty(volume, names[0], mtime_ns=2)
    repository.checkpoint()
    repository.checkpoint()
    put_empty(volume, names[0], mtime_ns=1)
    with volume.view() as view:
        assert view.root.content == first.content
    repository.checkpoint()
    repository.checkpoint()
    with cas.open(repository.location) as other:  # which has no nodes in memory
        assert names_in(other.volume("v")) == names


def test_a_node_of_an_edit_that_failed_is_stored_by_the_next_that_makes_it(
    repository: cas.Repository,
) -> None:
    volume = repository.create_volume("v")

    for fails in (True, False):
        edit = volume.edit()
        edit.make_directory("folder", mtime_ns=5)
        edit.put("folder/file", cas.EMPTY_CONTENT, mtime_ns=5, created_ns=5)
        edit.copy("folder", "copy")  # writes the folder's nodes
        if fails:
            edit.move("missing", "anywhere")
            with pytest.raises(cas.NotFoundError):
                edit.commit()
        else:
            edit.commit()
    with cas.open(repository.location) as other, other.volume("v").view() as view:
        assert [path for path, _ in view.walk()] == ["copy", "copy/file", "folder", "folder/file"]


def test_a_subtree_of_an_old_view_can_be_attached_after_checkpoints_and_the_view_closed(
    repository: cas.Repository,
) -> None:
    volume = repository.create_volume("v")
    with volume.edit() as edit:
        edit.make_directory("folder")
    put_empty(volume, *(f"folder/{number:03}" for number in range(FILES)))
    old = volume.view()
    with volume.edit() as edit:
        edit.remove("folder/000")
    repository.checkpoint()  # no head and no change names the old folder: it is not written
    with volume.edit() as edit:
        edit.attach("again", old.entry("folder"), epoch=old.epoch, nodes=old.nodes)
    old.close()
    for round_number in range(3):
        put_empty(volume, f"another {round_number}")
        repository.checkpoint()
    with cas.open(repository.location) as other, other.volume("v").view() as view:
        assert sum(1 for _ in view.list("again")) == FILES
