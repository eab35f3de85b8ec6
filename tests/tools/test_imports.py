from __future__ import annotations

import base64
import errno
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import cas
from tests.support import casdav_command, wait_until
from tests.support.processes import casdav_environment
from tools import importer, stat_cache
from tools.source_tree import look_up, store_file

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav, Ended


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    (top / "folder" / "empty").mkdir(parents=True)
    (top / "a").write_text("a")
    (top / "folder" / "b").write_bytes(b"b" * 200_000)
    (top / "link").symlink_to("a")
    return top


def settle(top: Path) -> None:
    """Wait until no file is so young that the cache must not remember it."""
    newest = max(path.lstat().st_ctime_ns for path in top.rglob("*"))
    wait_until(lambda: time.time_ns() > newest + stat_cache.FINE_MARGIN_NS, "the files to settle")


def summary(ended: Ended) -> dict[str, Any]:
    last = ended.lines[-1]
    assert last["message_type"] == "summary"
    return last


def listed(casdav: Casdav, place: str = "v:/x") -> list[str]:
    return [line["path"] for line in casdav("ls", "-R", "--json", place).lines]


def test_a_second_run_over_unchanged_files_reads_no_content(casdav: Casdav, source: Path) -> None:
    settle(source)
    first = summary(casdav("import", "--json", source, "v:/x"))
    assert (first["added"], first["files_read"], first["bytes_read"]) == (3, 2, 200_001)
    assert first["directories_added"] == 3
    second = summary(casdav("import", "--json", source, "v:/x"))
    assert second["unchanged"] == 3
    assert {second[key] for key in ("added", "replaced", "files_read", "attributes_set")} == {0}


def test_a_second_run_makes_no_commit(casdav: Casdav, source: Path) -> None:
    settle(source)
    casdav("import", source, "v:/x")

    def sequence() -> int:
        with cas.open(casdav.store) as repository, repository.volume("v").view() as view:
            return view.sequence

    before = sequence()
    casdav("import", source, "v:/x")
    assert sequence() == before


def test_only_what_changed_is_read(casdav: Casdav, source: Path) -> None:
    settle(source)
    casdav("import", source, "v:/x")
    (source / "a").write_text("new")
    (source / "c").write_text("c")
    ended = summary(casdav("import", "--json", source, "v:/x"))
    assert (ended["added"], ended["replaced"], ended["files_read"]) == (1, 1, 2)
    assert casdav("cat", "v:/x/a").out == "new"


def test_a_new_time_or_mode_is_taken_over_without_reading(casdav: Casdav, source: Path) -> None:
    casdav("import", source, "v:/x")
    (source / "a").chmod(0o600)
    os.utime(source / "folder" / "b", ns=(5, 5))
    os.utime(source / "folder", ns=(6, 6))
    ended = summary(casdav("import", "--json", source, "v:/x"))
    assert (ended["replaced"], ended["attributes_set"]) == (0, 3)
    assert casdav("stat", "--json", "v:/x/a").document["mode"] == "0600"
    for path, time_ns in [("folder/b", 5), ("folder", 6)]:
        shown = casdav("stat", "--json", f"v:/x/{path}").document["modified"]
        assert shown == f"1970-01-01T00:00:00.00000000{time_ns}Z"


def test_the_cache_is_not_believed_about_another_state(casdav: Casdav, source: Path) -> None:
    settle(source)
    casdav("import", source, "v:/x")
    other = source.parent / "other"
    other.mkdir()
    (other / "a").write_text("z")
    shutil.copystat(source / "a", other / "a")
    casdav("import", other, "v:/x")
    assert casdav("cat", "v:/x/a").out == "z"
    casdav("import", source, "v:/x")
    assert casdav("cat", "v:/x/a").out == "a"


def test_without_a_cache_equal_files_are_read_and_left_alone(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    casdav("import", source, "v:/x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(source / "a"))  # A file: nothing can be kept there.
    ended = casdav("import", "--json", "-v", source, "v:/x")
    assert (summary(ended)["unchanged"], summary(ended)["files_read"]) == (3, 2)
    assert "cache of file times was not used" in ended.err


def test_what_cannot_be_stored_is_listed_and_the_rest_goes_on(casdav: Casdav, source: Path) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(source / "folder" / "socket"))
        ended = casdav("import", "--json", source, "v:/x", code=3)
    problems = {line["path"]: line["reason"] for line in ended.lines[:-1]}
    assert set(problems) == {"pipe", "folder/socket"}
    assert "named pipe" in problems["pipe"]
    assert summary(ended)["added"] == 3
    assert "2 problems" in ended.err


def test_an_unreadable_file_is_listed(casdav: Casdav, source: Path) -> None:
    (source / "a").chmod(0)
    code, errors = casdav.without_rights("import", source, "v:/x")
    assert code == 3
    assert "a: Permission denied" in errors


def test_a_problem_with_an_odd_name_is_exact_in_json_and_one_line_of_text(
    casdav: Casdav, source: Path
) -> None:
    name = b"p\xff\n"
    os.mkfifo(os.path.join(os.fsencode(source), name))  # noqa: PTH118 - bytes
    [problem, _] = casdav("import", "--json", source, "v:/x", code=3).lines
    assert problem["path"] == "p\ufffd\n"
    assert base64.b64decode(problem["path_base64"]) == name
    assert r"p\xff\n: it is a named pipe" in casdav("import", source, "v:/x", code=3).err


def test_patterns_leave_out_as_gitignore_does(casdav: Casdav, source: Path) -> None:
    (source / "folder" / "keep.tmp").write_text("")
    (source / "drop.tmp").write_text("")
    patterns = source.parent / "patterns"
    patterns.write_text("# a comment\nempty/\n*.tmp\n!keep.tmp\n")
    casdav("import", "--exclude", "/link", "--exclude-file", patterns, source, "v:/x")
    assert listed(casdav) == ["x/a", "x/folder", "x/folder/b", "x/folder/keep.tmp"]


def test_patterns_take_a_line_break_in_a_name_for_a_character(
    casdav: Casdav, tmp_path: Path
) -> None:
    odd = tmp_path / "odd"
    (odd / "within\n").mkdir(parents=True)
    for name in ("drop", "drop\n", "\n", "line\nbreak", "a\u2028b", "within\n/x.tmp", "within\n/y"):
        (odd / name).touch()
    patterns = tmp_path / "patterns"
    patterns.write_text("drop\nwith*/*.tmp\na\u2028b\n")
    casdav("import", "--exclude-file", patterns, "--exclude", "line\nbreak", odd, "v:/x")
    assert listed(casdav) == ["x/\n", "x/drop\n", "x/within\n", "x/within\n/y"]
    casdav("import", "--exclude", "*", odd, "v:/y")
    assert listed(casdav, "v:/y") == []


def test_a_dry_run_changes_nothing_and_says_what_would(casdav: Casdav, source: Path) -> None:
    ended = casdav("import", "-n", "--json", source, "v:/x")
    actions = {line["path"]: line["action"] for line in ended.lines[:-1]}
    assert actions == dict.fromkeys([".", "a", "folder", "folder/b", "folder/empty", "link"], "add")
    casdav("ls", "v:/x", code=1)


def test_a_target_that_is_or_lies_in_a_file_is_a_conflict(casdav: Casdav, source: Path) -> None:
    casdav("import", source, "v:/x")
    before = listed(casdav)
    for target in ("v:/x/a", "v:/x/a/b", "v:/x/a/b/c"):
        ended = casdav("import", source, target, code=14)
        assert "'x/a' is a file in the volume" in ended.err
    for target in ("v:/x/a/b", "v:/x/a/b/c"):
        casdav("import", source / "a", target, code=14)
    assert listed(casdav) == before


def test_the_repository_does_not_swallow_itself(casdav: Casdav) -> None:
    ended = casdav("import", casdav.store.parent, "v:/x", code=3)
    assert "store: it is the repository itself" in ended.err
    ended = casdav("import", casdav.store, "v:/y", code=2)
    assert "is the repository itself" in ended.err


def test_a_link_swapped_in_for_a_folder_is_not_followed(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder becomes a link after it was looked at and before it is opened."""

    def swap(parent: int, name: str) -> os.stat_result:
        status = look_up(parent, name)
        if name == "folder":
            shutil.rmtree(source / "folder")
            (source / "folder").symlink_to("/etc")
        return status

    monkeypatch.setattr(importer, "look_up", swap)
    ended = casdav("import", source, "v:/x", code=3)
    assert "folder: " in ended.err
    assert listed(casdav) == ["x/a", "x/link"]


def test_a_file_that_changes_while_it_is_read_is_read_again(casdav: Casdav, source: Path) -> None:
    attempts = []

    def read(writer: cas.FileWriter, descriptor: int, expected_size: int) -> int:
        content = os.read(descriptor, expected_size)
        attempts.append(content)
        if len(attempts) <= changes:
            with (source / "a").open("a") as file:
                file.write("+")
        return writer.write(content)

    parent = os.open(source, os.O_RDONLY)
    try:
        with cas.open(casdav.store) as repository:
            changes = 1
            stored = store_file(repository.volume("v"), parent, "a", read)
            assert (attempts, stored.is_settled) == ([b"a", b"a+"], True)
            attempts.clear()
            changes = 9
            stored = store_file(repository.volume("v"), parent, "a", read)
            assert (attempts, stored.is_settled) == ([b"a+", b"a++"], False)
    finally:
        os.close(parent)


def test_files_that_cannot_be_changed_cost_themselves_alone(casdav: Casdav, source: Path) -> None:
    casdav("import", source, "v:/x")
    for name in ("a", "link2", "folder/b"):
        (source / name).write_text("new")
    with cas.open(casdav.store) as repository:
        lock = cas.Lock(
            token="urn:uuid:1",
            volume_id=repository.volume("v").id,
            path="x/a",
            principal="alice",
            infinite=False,
            expires_ns=time.time_ns() + 3600 * 10**9,
        )
        repository.locks.acquire(lock)
    ended = casdav("import", source, "v:/x", code=3)
    assert "a: 'x/a' is locked by alice" in ended.err or "a: x/a is locked by alice" in ended.err
    assert casdav("cat", "v:/x/a").out == "a"
    assert casdav("cat", "v:/x/folder/b", "v:/x/link2").out == "newnew"


def test_a_quota_ends_the_import_with_its_own_code(casdav: Casdav, source: Path) -> None:
    casdav("volume", "quota", "v", "1K")
    assert casdav("import", source, "v:/x", code=15).err.count("\n") == 1


def test_other_file_systems_are_left_out_when_asked(casdav: Casdav, source: Path) -> None:
    (source / "mounted").mkdir()
    # In a mount namespace of its own, which vanishes with the process.
    script = 'mount -t tmpfs none "$1/mounted" && touch "$1/mounted/inside" && shift && exec "$@"'
    unshare = ["unshare", "--mount", "--map-root-user"]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*unshare, "sh", "-c", script, "sh", str(source), "true"],
            check=False,
            capture_output=True,
        ).returncode
    ):
        pytest.skip("this machine does not let us mount")
    command = [*casdav_command(), "import", "-x", str(source), "v:/x"]
    subprocess.run(
        [*unshare, "sh", "-c", script, "sh", str(source), *command],
        env=casdav_environment({"CASDAV_STORE": str(casdav.store)}),
        check=True,
        capture_output=True,
    )
    assert "x/mounted" in listed(casdav)
    assert "x/mounted/inside" not in listed(casdav)


def test_folders_nested_too_deeply_are_listed(casdav: Casdav, source: Path) -> None:
    descriptor = os.open(source, os.O_RDONLY)
    for _ in range(260):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    ended = casdav("import", source, "v:/", code=3)
    assert "255 folders" in ended.err
    assert ended.err.count("\n") == 2
    subprocess.run(["rm", "-rf", str(source / "d")], check=True)


def test_an_interruption_keeps_what_was_read(
    casdav: Casdav, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(parent: int, name: str) -> os.stat_result:
        if name == "link":
            raise KeyboardInterrupt
        return look_up(parent, name)

    with monkeypatch.context() as patch:
        patch.setattr(importer, "look_up", interrupt)
        casdav("import", source, "v:/x", code=130)
    assert listed(casdav) == ["x/a", "x/folder", "x/folder/b", "x/folder/empty"]
    casdav("import", source, "v:/x")
    assert "x/link" in listed(casdav)


def open_for_writing(pipe: Path, reader: subprocess.Popen[str]) -> int | None:
    """Open the pipe once somebody reads from it."""
    assert reader.poll() is None
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def test_ctrl_c_ends_with_130_and_one_line(casdav: Casdav, source: Path) -> None:
    """The import waits at a pipe that it reads patterns from when the signal comes."""
    patterns = source.parent / "patterns"
    os.mkfifo(patterns)
    command = [*casdav_command(), "import", "--exclude-file", str(patterns)]
    process = subprocess.Popen(
        [*command, str(source), "v:/x"],
        env=casdav_environment({"CASDAV_STORE": str(casdav.store)}),
        stderr=subprocess.PIPE,
        text=True,
    )
    descriptor = wait_until(lambda: open_for_writing(patterns, process), "the pipe to be read")
    try:
        process.send_signal(2)
        _, err = process.communicate(timeout=60)
    finally:
        os.close(descriptor)
    assert process.returncode == 130
    assert err.strip() == "casdav: interrupted; what was finished stays, run it again to go on"
