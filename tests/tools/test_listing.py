"""`ls`, `du`, `find`, `stat`, `cat`: what is in a volume."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cas

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav

ODD = "o\udcffd\n"


@pytest.fixture(autouse=True)
def _filled(casdav: Casdav) -> None:
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        with volume.edit(author="test") as edit:
            edit.make_directory("docs/deep", parents=True)
            for path, content in [("a.txt", b"aaaa"), ("docs/b.TXT", b"bb"), (f"docs/{ODD}", b"")]:
                upload = volume.upload()
                upload.write(content)
                edit.put(path, upload, mtime_ns=10**18, content_type="text/plain")
            edit.make_symlink("docs/link", "../a.txt")
            edit.set_properties("a.txt", properties={"{urn:x}colour": "<c>red</c>"})


def test_ls_without_a_place_lists_the_volumes(casdav: Casdav) -> None:
    assert casdav("ls").out == "v:\n"
    [line] = casdav("ls", "--json").lines
    assert (line["name"], line["size"], line["files"]) == ("v", 14, 4)


def test_ls_escapes_names_unless_asked_for_them_as_they_are(casdav: Casdav) -> None:
    assert casdav("ls", "v:/docs").out == "b.TXT\ndeep/\nlink\no\\xffd\\n\n"
    assert casdav("ls", "-0", "v:/docs").out_bytes == b"b.TXT\0deep\0link\0o\xffd\n\0"
    odd = casdav("ls", "--json", "v:/docs").lines[-1]
    assert base64.b64decode(odd["path_base64"]) == os.fsencode(f"docs/{ODD}")


def test_ls_long_shows_mode_size_time_and_target(casdav: Casdav) -> None:
    lines = casdav("ls", "-l", "v:/docs").out.splitlines()
    assert lines[0].split()[:2] == ["-0644", "2"]
    assert lines[1].startswith("d0755")
    assert lines[2].endswith("link -> ../a.txt")


def test_ls_of_a_file_shows_the_file(casdav: Casdav) -> None:
    assert casdav("ls", "v:/docs/b.TXT").out == "b.TXT\n"


def test_du_shows_the_sums_of_folders(casdav: Casdav) -> None:
    lines = casdav("du", "--json", "--depth", "1", "v:/").lines
    assert [(line["path"], line["size"]) for line in lines] == [("", 14), ("docs", 10)]
    assert casdav("du", "v:/").out.splitlines()[1].split() == ["14", "B", "4", "v:/"]


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (["--name", "*.txt"], ["v:/a.txt"]),
        (["--name", "*.txt", "-i"], ["v:/a.txt", "v:/docs/b.TXT"]),
        (["--kind", "d"], ["v:/", "v:/docs", "v:/docs/deep"]),
        (["--kind", "l"], ["v:/docs/link"]),
        (["--kind", "f", "--larger", "2"], ["v:/a.txt"]),
        (["--kind", "f", "--smaller", "1"], ["v:/docs/o\\xffd\\n"]),
        (["--kind", "f", "--older", "2001-09-10", "--larger", "2"], ["v:/a.txt"]),
        (["--kind", "f", "--newer", "1d"], []),
        (["--name", "o*"], ["v:/docs/o\\xffd\\n"]),
    ],
)
def test_find_finds_what_is_all_that_was_asked(
    casdav: Casdav, criteria: list[str], found: list[str]
) -> None:
    assert casdav("find", "v:/", *criteria).out.splitlines() == found


def test_find_prints_exact_paths_for_xargs(casdav: Casdav) -> None:
    assert casdav("find", "v:/", "--name", "o*", "-0").out_bytes == b"v:/docs/o\xffd\n\0"


def test_stat_tells_all_and_counts_what_webdav_hides(casdav: Casdav) -> None:
    shown = casdav("stat", "--json", "v:/a.txt").document
    assert shown["modified"] == "2001-09-09T01:46:40.000000000Z"
    assert shown["content_type"] == "text/plain"
    assert shown["properties"] == {"{urn:x}colour": "<c>red</c>"}
    assert len(shown["etag"]) == 64
    assert casdav("stat", "--json", "v:/docs").document["hidden"] == 2
    text = casdav("stat", "v:/docs").out
    assert "2 names that WebDAV cannot show" in text
    assert "target:       ../a.txt" in casdav("stat", "v:/docs/link").out


def test_cat_prints_bytes_or_base64_lines(casdav: Casdav) -> None:
    assert casdav("cat", "v:/a.txt", "v:/docs/b.TXT").out_bytes == b"aaaabb"
    lines = casdav("cat", "--json", "v:/a.txt").lines
    assert b"".join(base64.b64decode(line["data_base64"]) for line in lines) == b"aaaa"
    assert "is no file" in casdav("cat", "v:/docs", code=14).err


def test_a_bad_path_is_a_usage_error(casdav: Casdav) -> None:
    assert casdav("ls", "v:/a/../b", code=2).err.count("\n") == 1


def test_stats_shows_what_is_held_and_what_the_disk_gives(casdav: Casdav) -> None:
    shown = casdav("stats", "--json").document
    assert (shown["volumes"], shown["files"], shown["folders"], shown["size"]) == (1, 4, 2, 14)
    disk = shown["disk"]
    assert disk["total"] == sum(size for part, size in disk.items() if part != "total")
    assert disk["packs"] > 0
    assert "VOLUME" in casdav("stats").out


def test_an_error_is_a_json_line_on_stderr_with_json(casdav: Casdav, tmp_path: Path) -> None:
    ended = casdav("--store", tmp_path / "nowhere", "ls", "--json", code=10)
    assert ended.out == ""
    assert '"code": 10' in ended.err
    assert '"kind": "no_repository"' in ended.err
