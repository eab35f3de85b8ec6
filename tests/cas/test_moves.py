"""Moves: the history tells them, and the differences beside them make the new state of the old."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Never

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cas

NAMES: Final = ("a", "b", "c")
Change = Callable[[cas.Edit], None]
Tree = dict[str, cas.Entry]


@pytest.fixture
def volume(repository: cas.Repository) -> cas.Volume:
    made = repository.create_volume("v")
    with made.edit() as edit:
        for path in ("d/x", "d/y", "d/deep/z", "f", "docs/1", "docs/2"):
            edit.make_directory(path.rpartition("/")[0], parents=True)
            put(made, edit, path, path)
    return made


def put(volume: cas.Volume, edit: cas.Edit, path: str, text: str) -> None:
    upload = volume.upload()
    upload.write(text.encode())
    edit.put(path, upload, mtime_ns=1)


def between(volume: cas.Volume, old: cas.View, new: cas.View) -> list[cas.Difference]:
    return list(cas.diff(old, new, moves=cas.moves_between(old, new, changes=volume.changes)))


Compared = Callable[[Change], dict[str, str]]


@pytest.fixture
def compared(volume: cas.Volume) -> Compared:
    """The differences that an edit makes: by path a sign, or where it came from."""

    def compare(change: Change) -> dict[str, str]:
        with volume.view() as old:
            with volume.edit() as edit:
                change(edit)
            with volume.view() as new:
                return dict(signs(between(volume, old, new)))

    return compare


def signs(differences: list[cas.Difference]) -> Iterator[tuple[str, str]]:
    for path, old, new, source in differences:
        if source is not None:
            yield path, source
        elif old is None or new is None:
            yield path, "+" if old is None else "-"
        elif not new.is_directory:
            yield path, "M"


def test_a_moved_folder_is_one_difference_whatever_is_in_it(compared: Compared) -> None:
    assert compared(lambda edit: edit.move("d", "e")) == {"e": "d"}


def test_what_changed_in_a_moved_folder_is_told_beside_it(
    compared: Compared, volume: cas.Volume
) -> None:
    def change(edit: cas.Edit) -> None:
        edit.move("d", "e")
        put(volume, edit, "e/x", "other")
        put(volume, edit, "e/new", "new")
        edit.remove("e/deep")

    assert compared(change) == {"e": "d", "e/x": "M", "e/new": "+", "d/deep": "-"}


def test_what_left_and_entered_a_moved_folder_is_moved_itself(compared: Compared) -> None:
    def change(edit: cas.Edit) -> None:
        edit.move("d/x", "g")
        edit.move("d", "e")
        edit.move("f", "e/f")
        edit.move("e/deep/z", "e/z")

    assert compared(change) == {"g": "d/x", "e": "d", "e/f": "f", "e/z": "d/deep/z"}


def test_many_hops_are_one_and_back_is_none(compared: Compared) -> None:
    def change(edit: cas.Edit) -> None:
        edit.move("d", "one")
        edit.move("one", "two")
        edit.move("f", "elsewhere")
        edit.move("elsewhere", "f")

    assert compared(change) == {"two": "d"}


def test_into_a_new_folder(compared: Compared) -> None:
    def change(edit: cas.Edit) -> None:
        edit.make_directory("new")
        edit.move("d", "new/d")
        edit.move("f", "new/f")
        edit.move("new", "newer")

    assert compared(change) == {"newer": "+", "newer/d": "d", "newer/f": "f"}


def test_a_folder_set_aside_for_a_new_one_of_its_name(compared: Compared) -> None:
    def change(edit: cas.Edit) -> None:
        edit.move("docs", "docs-old")
        edit.make_directory("docs")

    assert compared(change) == {"docs-old": "docs", "docs": "+"}


def test_folders_that_changed_names(compared: Compared) -> None:
    def change(edit: cas.Edit) -> None:
        edit.move("d", "between")
        edit.move("docs", "d")
        edit.move("between", "docs")

    assert compared(change) == {"d": "docs", "docs": "d"}


def test_what_was_overwritten_by_a_move_is_removed(volume: cas.Volume) -> None:
    with volume.view() as old:
        with volume.edit() as edit:
            edit.move("d/x", "f")
        with volume.view() as new:
            found = between(volume, old, new)
            assert list(signs(found)) == [("f", "d/x"), ("f", "-")]


def test_saving_by_a_temporary_file_is_a_change_of_the_file(
    compared: Compared, volume: cas.Volume
) -> None:
    def change(edit: cas.Edit) -> None:
        put(volume, edit, "f.tmp", "new")
        edit.move("f", "f~")
        edit.move("f.tmp", "f")

    assert compared(change) == {"f": "M", "f~": "+"}


def test_a_copy_of_what_goes_then_is_a_move_by_its_content(
    compared: Compared, volume: cas.Volume
) -> None:
    def change(edit: cas.Edit) -> None:
        edit.copy("d", "e")
        edit.remove("d")
        edit.copy("docs", "docs 2")
        put(volume, edit, "docs 2/1", "not the same")
        edit.remove("docs")

    assert compared(change) == {"e": "d", "docs": "-", "docs 2": "+"}


def test_what_was_removed_and_made_anew_is_not_what_it_was(
    compared: Compared, volume: cas.Volume
) -> None:
    def change(edit: cas.Edit) -> None:
        edit.remove("f")
        put(volume, edit, "f", "another")
        edit.move("f", "g")

    assert compared(change) == {"f": "-", "g": "+"}


def test_moves_across_the_border_of_what_is_compared_are_not_moves(volume: cas.Volume) -> None:
    with volume.view() as old:
        with volume.edit() as edit:
            edit.move("f", "d/f")
            edit.move("d/x", "d/deep/x")
        with volume.view() as new:
            moves = cas.moves_between(old, new, "d", changes=volume.changes)
            found = dict(signs(list(cas.diff(old, new, "d", moves=moves))))
            assert found == {"d/deep/x": "d/x", "d/f": "+"}


def test_by_content_where_no_history_connects(volume: cas.Volume) -> None:
    with volume.view() as old:
        with volume.edit() as edit:
            for name in ("d", "f", "docs"):
                edit.copy(name, f"{name} 2")
                edit.remove(name)
            edit.copy("docs 2", "docs 3")  # which of the two it is nobody knows
        with volume.view() as new:
            moves = cas.moves_between(old, new)
            assert moves == [cas.Move("d", "d 2"), cas.Move("f", "f 2")]
            found = dict(signs(list(cas.diff(old, new, moves=moves))))
            assert found == {"d 2": "d", "f 2": "f", "docs": "-", "docs 2": "+", "docs 3": "+"}


def test_what_was_moved_before_a_rollback_is_where_it_was(volume: cas.Volume) -> None:
    with volume.view() as old:
        with volume.edit() as edit:
            edit.move("d", "e")
            edit.remove("f")
        with volume.edit() as edit:
            edit.replace_root(old.root, epoch=old.epoch, nodes=old.nodes)
            edit.move("docs", "papers")
            put(volume, edit, "papers/3", "new")
        with volume.view() as new:
            assert dict(signs(between(volume, old, new))) == {"papers": "docs", "papers/3": "+"}
            back = dict(signs(between(volume, new, old)))
            assert back == {"docs": "papers", "papers/3": "-"}


def test_where_nothing_went_the_history_is_not_asked(volume: cas.Volume) -> None:
    def refuse(after: int, upto: int) -> Iterator[Never]:
        raise AssertionError(f"asked for the changes from {after} to {upto}")

    with volume.view() as old:
        with volume.edit() as edit:
            put(volume, edit, "new", "new")
            put(volume, edit, "f", "changed")
        with volume.view() as new:
            assert cas.moves_between(old, new, changes=refuse) == []


def test_two_folders_side_by_side(volume: cas.Volume) -> None:
    with volume.edit() as edit:
        edit.copy("d", "e")
        edit.remove("e/deep/z")
        put(volume, edit, "e/x", "other")
    with volume.view() as view:
        found = dict(signs(list(cas.diff(view, view, "e", old_path="d"))))
        assert found == {"d/deep/z": "-", "e/x": "M"}


def test_a_path_as_deep_as_they_go(volume: cas.Volume) -> None:
    deep = "/".join(["n"] * 254)
    with volume.edit() as edit:
        edit.make_directory(deep, parents=True)
    with volume.view() as old:
        with volume.edit() as edit:
            put(volume, edit, f"{deep}/file", "deep")
        with volume.view() as new:
            assert between(volume, old, new)[-1].path == f"{deep}/file"


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
steps = st.one_of(
    st.tuples(st.just("put"), paths, st.sampled_from("123")),
    st.tuples(st.just("make"), paths, st.just("")),
    st.tuples(st.just("remove"), paths, st.just("")),
    st.tuples(st.just("move"), paths, paths),
    st.tuples(st.just("copy"), paths, paths),
)


def carry_out(volume: cas.Volume, step: tuple[str, str, str]) -> None:
    what, path, other = step
    edit = volume.edit()
    match what:
        case "put":
            put(volume, edit, path, other)
        case "make":
            edit.make_directory(path)
        case "remove":
            edit.remove(path)
        case "move":
            edit.move(path, other)
        case _:
            edit.copy(path, other)
    try:
        edit.commit()
    except (cas.ConflictError, cas.NotFoundError, cas.AlreadyExistsError):
        return


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_differences_lead_from_the_old_state_to_the_new_one(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    before = data.draw(st.lists(steps, max_size=12))
    after = data.draw(st.lists(steps, max_size=12))
    with cas.create(tmp_path_factory.mktemp("moves") / "store") as repository:
        volume = repository.create_volume("v")
        for step in before:
            carry_out(volume, step)
        with volume.view() as old:
            for step in after:
                carry_out(volume, step)
            with volume.view() as new:
                history = between(volume, old, new)
                assert shape(applied(old, new, history)) == shape(dict(new.walk()))
                content = list(cas.diff(old, new, moves=cas.moves_between(old, new)))
                assert shape(applied(old, new, content)) == shape(dict(new.walk()))


def applied(old: cas.View, new: cas.View, differences: list[cas.Difference]) -> Tree:
    """Return what the differences make of the old state."""
    was = dict(old.walk())
    moved = {each.source: each.path for each in differences if each.source is not None}
    gone = [each.path for each in differences if not each.source and not is_folder(each.new)]
    tree: Tree = {}
    for path, entry in was.items():
        if any(is_in(path, top) for top in gone):
            continue
        source = max((top for top in moved if is_in(path, top)), key=len, default=None)
        target = path if source is None else moved[source] + path[len(source) :]
        assert target not in tree
        tree[target] = entry
    for each in differences:
        if each.new is not None and each.path:
            tree[each.path] = each.new
            if is_folder(each.new) and not is_folder(each.old):
                tree |= dict(new.walk(each.path))
    return tree


def is_folder(entry: cas.Entry | None) -> bool:
    return entry is not None and entry.is_directory


def is_in(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


def shape(tree: Tree) -> dict[str, cas.Entry | None]:
    """Leave out what folders are: it follows from what is in them."""
    return {path: None if entry.is_directory else entry for path, entry in tree.items()}
