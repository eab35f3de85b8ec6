"""An edit with a key is done once, whatever happens to the process or the catalog meanwhile."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import cas

if TYPE_CHECKING:
    from pathlib import Path


def make(volume: cas.Volume, name: str, key: str, author: str = "alice") -> cas.Edit:
    with volume.edit(author=author, key=key) as edit:
        edit.make_directory(name)
    return edit


def test_the_second_edit_of_a_key_does_nothing(volume: cas.Volume) -> None:
    first = make(volume, "a", "key")
    second = make(volume, "b", "key")
    assert (first.was_done, second.was_done) == (False, True)
    assert (second.sequence_before, second.sequence) == (first.sequence_before, first.sequence)
    assert second.outcome == []
    with volume.view() as view:
        assert [path for path, _ in view.walk()] == ["a"]


def test_keys_are_those_of_an_author_and_a_volume(
    repository: cas.Repository, volume: cas.Volume
) -> None:
    make(volume, "a", "key")
    assert not make(volume, "b", "key", author="bob").was_done
    assert not make(repository.create_volume("other"), "a", "key").was_done
    assert not make(volume, "c", "").was_done
    assert not make(volume, "d", "").was_done


def test_an_edit_that_failed_may_be_tried_again(volume: cas.Volume) -> None:
    make(volume, "a", "first")
    with pytest.raises(cas.AlreadyExistsError):
        make(volume, "a", "key")
    assert not make(volume, "b", "key").was_done


def test_the_operation_that_failed_is_told(volume: cas.Volume) -> None:
    edit = volume.edit()
    edit.make_directory("a")
    edit.remove("missing")
    with pytest.raises(cas.NotFoundError):
        edit.commit()
    assert edit.failed == 1


def test_the_changes_carry_the_key(volume: cas.Volume) -> None:
    edit = make(volume, "a", "key")
    assert [change.key for change in volume.changes(edit.sequence_before, edit.sequence)] == ["key"]


def test_keys_are_known_after_a_restart_and_after_the_loss_of_the_catalog(tmp_path: Path) -> None:
    location = tmp_path / "store"
    with cas.create(location) as repository:
        volume = repository.create_volume("v")
        old = make(volume, "old", "old")
        repository.checkpoint()
        young = make(volume, "young", "young")
    with cas.open(location) as repository:
        assert make(repository.volume("v"), "x", "young").was_done
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as repository:
        volume = repository.volume("v")
        make(volume, "more", "more")  # from here on the catalog knows keys again
        for edit, key in ((old, "old"), (young, "young")):
            found = volume.find_edit("alice", key, edit.sequence_before)
            assert found == (edit.sequence_before, edit.sequence)
            assert volume.find_edit("alice", key, edit.sequence) is None
            assert volume.find_edit("bob", key, 0) is None
        assert volume.find_edit("alice", "more", 0) is not None
        assert volume.find_edit("alice", "none", 0) is None
