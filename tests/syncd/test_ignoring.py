"""What stays out of the sync, by the rules of `.gitignore`."""

from __future__ import annotations

from syncd.disk.ignoring import Ignored, parse_lines


def test_litter_stays_out_and_files_of_people_do_not() -> None:
    ignored = Ignored()
    for path in (".DS_Store", "a/Thumbs.db", "~$letter.docx", "a/.~lock.x.odt#", ".x.txt.swp"):
        assert ignored.matches(path, is_folder=False), path
        assert ignored.may_go(path, is_folder=False), path
    for path in ("notes.part", "a~", ".bashrc", "x.tmp", "#notes#", "desktop.initial"):
        assert not ignored.matches(path, is_folder=False), path
    assert ignored.matches(".Trash-1000", is_folder=True)
    assert not ignored.may_go(".Trash-1000", is_folder=True)


def test_patterns_mean_what_they_mean_in_gitignore() -> None:
    ignored = Ignored(
        parse_lines(b"\xef\xbb\xbf*.o\r\n!keep.o\nbuild/\n/top.txt\n# no\n\n(?d)cache/")
    )
    assert ignored.mistakes == []
    assert ignored.matches("a/x.o", is_folder=False)
    assert not ignored.matches("a/keep.o", is_folder=False)
    assert ignored.matches("a/build", is_folder=True)
    assert not ignored.matches("a/build", is_folder=False)
    assert ignored.matches("build/inner/x", is_folder=False)
    assert ignored.matches("top.txt", is_folder=False)
    assert not ignored.matches("a/top.txt", is_folder=False)
    assert not ignored.may_go("a/x.o", is_folder=False)
    assert ignored.may_go("cache", is_folder=True)


def test_a_built_in_pattern_can_be_taken_back() -> None:
    ignored = Ignored(["!desktop.ini"])
    assert not ignored.matches("desktop.ini", is_folder=False)
    assert not ignored.may_go("desktop.ini", is_folder=False)


def test_names_with_line_breaks_and_foreign_bytes() -> None:
    ignored = Ignored(["*.o"])
    assert ignored.matches("a\nb.o", is_folder=False)
    assert ignored.matches("\udcff.o", is_folder=False)
    assert not ignored.matches("x.o\n", is_folder=False)


def test_a_line_that_is_no_pattern_is_told_and_the_others_hold() -> None:
    ignored = Ignored(["*.o", "!", "*.a"])
    assert [line for line, _ in ignored.mistakes] == ["!"]
    assert ignored.matches("x.a", is_folder=False)
