"""The base as it follows both sides, where what they agree on is not to be had at once."""

from __future__ import annotations

from syncd.agreement import Agreement
from syncd.names import without_parking
from syncd.trees import FOLDER, ROOT, Node, Overlay
from tests.support.drawn_trees import MemoryBase, text

FOLDER_NODE, FILE_NODE = 1, 2


def swapped() -> tuple[MemoryBase, Overlay, Overlay]:
    """Return a base, and both sides with a folder under the name that the base has for a file."""
    base = MemoryBase()
    base.agree(FOLDER_NODE, Node(ROOT, "b", FOLDER))
    base.agree(FILE_NODE, Node(ROOT, "e", text("e")))
    local, remote = Overlay(base), Overlay(base)
    for side, file in ((local, "b"), (remote, "f")):
        side.remove(FILE_NODE)
        side.put(FOLDER_NODE, Node(ROOT, "e", FOLDER))
        side.put(FILE_NODE, Node(ROOT, file, text("e")))
    return base, local, remote


def test_a_file_that_is_known_by_its_place_in_the_base_keeps_it_while_it_is_somewhere() -> None:
    base, local, remote = swapped()
    assert Agreement(base).agree([FOLDER_NODE], local, remote, {}) == {FOLDER_NODE}
    assert base.get(FILE_NODE) == Node(ROOT, "e", text("e"))


def test_what_both_sides_have_no_more_is_in_nobody_s_way() -> None:
    base, local, remote = swapped()
    local.remove(FILE_NODE)
    remote.remove(FILE_NODE)
    assert not Agreement(base).agree([FOLDER_NODE], local, remote, {})
    assert base.get(FOLDER_NODE) == Node(ROOT, "e", FOLDER)
    found = base.get(FILE_NODE)
    assert found is not None
    assert without_parking(found.name) == "e"
