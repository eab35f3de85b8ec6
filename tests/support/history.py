"""What must hold of any history: the index has all of it, a path's log says what the states say."""

from __future__ import annotations

from itertools import pairwise, takewhile

import cas
from cas.history import History, touched_paths


def check_index(history: History) -> None:
    """Check that changes are found by number and path as they come one after the other."""
    first, newest = history.kept.first, history.head.sequence
    forward = list(history.forward(1))
    assert [each.sequence for each in forward] == list(range(first, newest + 1))
    assert list(history.backward(newest + 1)) == forward[::-1]
    assert [history.change(number) for number in range(first, newest + 1)] == forward
    assert history.change(first - 1) is None
    expected: dict[bytes, list[int]] = {}
    for each in reversed(forward):
        for path in touched_paths(each.change):
            expected.setdefault(path, []).append(each.sequence)
    found = {path: list(history.numbers_at(path, newest + 1)) for path in expected}
    assert found == expected
    for folder in {path.rpartition(b"/")[0] for path in expected}:
        assert list(history.changes_in(folder)) == [
            each
            for each in reversed(forward)
            if folder in {path.rpartition(b"/")[0] for path in touched_paths(each.change)}
        ]


def check_log(volume: cas.Volume, path: str, which: int) -> None:
    """Check the path's log; `which` chooses the place that is compared with the states there."""
    items = list(volume.log(path))
    with volume.view() as view:
        newest, present = view.sequence, view.get(path)
    if not items:
        assert present is None
        assert entry_at(volume, which % newest + 1, path) is None
        return
    check_chain(path, present, items)
    item = items[which % len(items)]
    assert entry_at(volume, item.sequence, item.path) == item.new
    if item.sequence > 1:
        assert entry_at(volume, item.sequence - 1, item.path) == item.old
    check_moment(volume, path, items, which % newest + 1)


def check_chain(path: str, present: cas.Entry | None, items: list[cas.LogItem]) -> None:
    """Check that each change begins with what the one before it left."""
    assert items[0].path == path
    assert is_same(items[0].new, present)
    assert items[-1].old is None
    for later, earlier in pairwise(items):
        assert later.sequence > earlier.sequence
        if later.path == earlier.path:
            assert is_same(later.old, earlier.new)
        else:
            assert later.source == earlier.path
            assert later.old is None
            assert later.new is not None
            assert earlier.new is not None
            assert later.new.is_directory or later.new.content == earlier.new.content


def check_moment(volume: cas.Volume, path: str, items: list[cas.LogItem], sequence: int) -> None:
    """Check what the log says of a moment at which the history was not yet elsewhere."""
    here = list(takewhile(lambda item: item.path == path, items))
    if len(here) < len(items) and sequence < here[-1].sequence:
        return
    expected = next((item.new for item in here if item.sequence <= sequence), None)
    assert is_same(entry_at(volume, sequence, path), expected)


def entry_at(volume: cas.Volume, sequence: int, path: str) -> cas.Entry | None:
    with volume.at_sequence(sequence) as view:
        return view.get(path)


def is_same(one: cas.Entry | None, other: cas.Entry | None) -> bool:
    """Tell whether two entries are the same; of folders, what is in them may have changed."""
    if one is None or other is None or one.is_directory:
        return (one and one.kind) == (other and other.kind)
    return one == other
