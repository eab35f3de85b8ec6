"""Steps on the linked folder: what is there afterwards, and what somebody wrote meanwhile."""

from __future__ import annotations

import stat
from functools import partial
from typing import TYPE_CHECKING

import pytest

from syncd.disk.folder import Folder
from syncd.disk.renames import Name, NoRenames, Renames, renames_of_this_system
from syncd.disk.staging import Manner
from syncd.disk.steps import (
    ChangedError,
    Install,
    MakeFolder,
    Move,
    RemoveFile,
    RemoveFolder,
    SetManner,
)
from tests.support.linked import TIME_NS, Linked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["one step", "two steps"])
def either(request: pytest.FixtureRequest, linked: Linked) -> Iterator[Linked]:
    """On a file system that can swap names, and on one that cannot."""
    if request.param == "one step":
        yield linked
        return
    with Folder(linked.root, NoRenames()) as folder:
        yield Linked(folder, linked.database)


def test_a_new_file_has_its_content_time_and_mode(either: Linked) -> None:
    staged = either.stage(b"new", is_executable=True)
    (outcome,) = either.apply(Install("new.sh", staged))
    assert outcome.failure is None
    assert either.tree() == {"new.sh": b"new"}
    status = (either.root / "new.sh").stat()
    assert status.st_mtime_ns == TIME_NS
    assert stat.S_IMODE(status.st_mode) == 0o755
    assert outcome.signature == either.signature("new.sh")
    assert either.hidden() == []


def test_a_file_takes_the_place_of_the_one_that_was_expected(either: Linked) -> None:
    expected = either.write("a.txt", b"old")
    (outcome,) = either.apply(Install("a.txt", either.stage(b"new"), expected))
    assert outcome.failure is None
    assert outcome.signature == either.signature("a.txt")
    assert either.tree() == {"a.txt": b"new"}
    assert len(either.hidden()) == 1
    assert either.trash.sweep(2**62) == []
    assert either.hidden() == []


def test_a_file_that_was_changed_since_is_left_alone(either: Linked) -> None:
    expected = either.write("a.txt", b"old")
    either.write("a.txt", b"edited")
    outcomes = either.apply(
        Install("a.txt", either.stage(b"new"), expected),
        RemoveFile("a.txt", expected),
        Move("a.txt", "b.txt", expected),
        SetManner("a.txt", Manner(TIME_NS, False, 0o644), expected),
    )
    assert all(isinstance(outcome.failure, ChangedError) for outcome in outcomes)
    assert either.tree() == {"a.txt": b"edited"}


def test_a_name_that_was_taken_meanwhile_stays_with_whoever_took_it(either: Linked) -> None:
    either.write("taken.txt", b"mine")
    expected = either.write("other.txt", b"other")
    outcomes = either.apply(
        Install("taken.txt", either.stage(b"new")),
        Move("other.txt", "taken.txt", expected),
        MakeFolder("taken.txt"),
    )
    assert all(isinstance(outcome.failure, ChangedError) for outcome in outcomes)
    assert either.tree() == {"taken.txt": b"mine", "other.txt": b"other"}


def test_a_file_that_went_meanwhile_is_not_made_again(either: Linked) -> None:
    expected = either.write("a.txt", b"old")
    (either.root / "a.txt").unlink()
    (outcome,) = either.apply(Install("a.txt", either.stage(b"new"), expected))
    assert isinstance(outcome.failure, ChangedError)
    assert either.tree() == {}


class Meddling:
    """Renames with somebody who writes in the very moment before one of them."""

    def __init__(self, renames: Renames, meddle: Callable[[], object]) -> None:
        self._renames = renames
        self._meddle = [meddle]

    def _once(self) -> None:
        while self._meddle:
            self._meddle.pop()()

    def no_replace(self, source: Name, target: Name) -> None:
        self._once()
        self._renames.no_replace(source, target)

    def exchange(self, one: Name, other: Name) -> None:
        self._once()
        self._renames.exchange(one, other)


def meddled(
    linked: Linked, meddle: Callable[[], object], renames: Renames | None = None
) -> tuple[Folder, Linked]:
    folder = Folder(linked.root, Meddling(renames or renames_of_this_system(), meddle))
    return folder, Linked(folder, linked.database)


@pytest.mark.parametrize("renames", [renames_of_this_system(), NoRenames()])
def test_what_was_written_in_the_last_moment_becomes_a_copy(
    linked: Linked, renames: Renames
) -> None:
    expected = linked.write("a.txt", b"old")
    folder, racing = meddled(linked, partial(linked.write, "a.txt", b"typed now"), renames)
    with folder:
        (outcome,) = racing.apply(Install("a.txt", racing.stage(b"new"), expected))
    assert outcome.rescued == "a (copy).txt"
    assert linked.tree() == {"a.txt": b"new", "a (copy).txt": b"typed now"}
    assert linked.hidden() == []


def test_a_file_edited_in_the_moment_of_its_removal_is_back(linked: Linked) -> None:
    expected = linked.write("a.txt", b"old")
    folder, racing = meddled(linked, partial(linked.write, "a.txt", b"typed now"))
    with folder:
        (outcome,) = racing.apply(RemoveFile("a.txt", expected))
    assert isinstance(outcome.failure, ChangedError)
    assert linked.tree() == {"a.txt": b"typed now"}
    assert linked.hidden() == []


def test_a_name_taken_in_the_moment_of_replacing_in_two_steps(linked: Linked) -> None:
    """Between the steps the name is free: whoever takes it then keeps it."""
    expected = linked.write("a.txt", b"old")

    class TakesTheName(NoRenames):
        def no_replace(self, source: Name, target: Name) -> None:
            if target.name == "a.txt":
                linked.write("a.txt", b"newer")
            super().no_replace(source, target)

    with Folder(linked.root, TakesTheName()) as folder:
        racing = Linked(folder, linked.database)
        (outcome,) = racing.apply(Install("a.txt", racing.stage(b"new"), expected))
    assert isinstance(outcome.failure, ChangedError)
    assert linked.tree() == {"a.txt": b"newer", "a (copy).txt": b"old"}


def test_what_a_program_writes_to_its_open_file_later_becomes_a_copy(linked: Linked) -> None:
    expected = linked.write("log.txt", b"line 1\n")
    with (linked.root / "log.txt").open("ab", buffering=0) as log:
        linked.apply(Install("log.txt", linked.stage(b"theirs"), expected))
        assert linked.trash.sweep(2**62) == []
        assert len(linked.hidden()) == 1, "a file that is open for writing stays"
        log.write(b"line 2\n")
    assert linked.trash.sweep(2**62) == [("log.txt", "log (copy).txt")]
    assert linked.tree() == {"log.txt": b"theirs", "log (copy).txt": b"line 1\nline 2\n"}
    assert linked.hidden() == []


def test_a_removed_file_is_gone_after_a_while(either: Linked) -> None:
    expected = either.write("a.txt", b"old")
    (outcome,) = either.apply(RemoveFile("a.txt", expected))
    assert outcome.failure is None
    assert either.tree() == {}
    either.trash.sweep(0)
    assert len(either.hidden()) == 1
    assert not either.trash.is_empty
    either.trash.sweep(2**62)
    assert either.hidden() == []
    assert either.trash.is_empty


def test_a_folder_moves_with_all_that_is_in_it(either: Linked) -> None:
    either.write("folder/deep/a.txt", b"a")
    expected = either.signature("folder")
    either.write("folder/new since.txt", b"b")
    (outcome,) = either.apply(Move("folder", "renamed", expected))
    assert outcome.signature == either.signature("renamed")
    assert either.tree() == {
        "renamed": None,
        "renamed/deep": None,
        "renamed/deep/a.txt": b"a",
        "renamed/new since.txt": b"b",
    }


def test_a_folder_goes_when_it_is_empty_or_holds_litter_only(either: Linked) -> None:
    either.write("full/mine.txt", b"mine")
    either.write("litter/.DS_Store", b"")
    (either.root / "empty").mkdir()
    full, litter, empty = either.apply(
        RemoveFolder("full"), RemoveFolder("litter"), RemoveFolder("empty")
    )
    assert full.failure is not None
    assert litter.failure is None
    assert empty.failure is None
    assert either.tree() == {"full": None, "full/mine.txt": b"mine"}


def test_time_and_mode_change_without_the_content(either: Linked) -> None:
    expected = either.write("a.sh", b"a")
    (outcome,) = either.apply(SetManner("a.sh", Manner(TIME_NS, True, 0), expected))
    assert outcome.failure is None
    assert outcome.signature is None, "it has to be read again"
    status = (either.root / "a.sh").stat()
    assert (status.st_mtime_ns, bool(status.st_mode & stat.S_IXUSR)) == (TIME_NS, True)


def test_one_bad_step_does_not_stop_the_others(linked: Linked) -> None:
    bad, nul, good = linked.apply(
        Install("no such folder/a.txt", linked.stage(b"a")),
        Install("nul\0.txt", linked.stage(b"b")),
        Install("good.txt", linked.stage(b"c")),
    )
    assert isinstance(bad.failure, FileNotFoundError)
    assert nul.failure is not None
    assert good.failure is None
    assert linked.tree() == {"good.txt": b"c"}


def test_a_link_is_made_and_replaced_and_never_followed(either: Linked) -> None:
    outside = either.root.parent / "outside.txt"
    outside.write_bytes(b"outside")
    either.apply(Install("link", either.stage_link(str(outside))))
    expected = either.signature("link")
    (outcome,) = either.apply(Install("link", either.stage(b"file now"), expected))
    assert outcome.failure is None
    assert either.tree() == {"link": b"file now"}
    assert outside.read_bytes() == b"outside"


def test_the_base_is_written_with_the_end_of_the_intents(linked: Linked) -> None:
    """If what came of a step cannot be recorded, the intent stays for the next start."""
    expected = linked.write("a.txt", b"old")
    step = Install("a.txt", linked.stage(b"new"), expected)

    def fail(_: object) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        linked.applier.apply([step], fail)
    with linked.database.reading() as connection:
        assert connection.execute("SELECT count(*) FROM intents").fetchone() == (1,)
    assert linked.trash.recover() == []
    assert linked.tree() == {"a.txt": b"new"}
    linked.trash.sweep(2**62)
    assert linked.hidden() == []


def test_nothing_new_gets_the_name_of_what_the_user_has_moved_away(linked: Linked) -> None:
    """It was to be moved away for that: where it is now it may be on its own way to this name."""
    expected = linked.write("a.txt", b"mine")
    (linked.root / "a.txt").rename(linked.root / "b.txt")
    moved, put = linked.apply(
        Move("a.txt", "a (copy).txt", expected), Install("a.txt", linked.stage(b"theirs"))
    )
    assert isinstance(moved.failure, OSError)
    assert isinstance(put.failure, ChangedError)
    assert linked.tree() == {"b.txt": b"mine"}
