"""`casdav check`: what it prints, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.corpus import seeded_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

DATA = seeded_bytes(1, 30_000)


@pytest.fixture(autouse=True)
def _files(casdav: Casdav) -> None:
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        upload = volume.upload()
        upload.write(DATA)
        with volume.edit() as edit:
            edit.put("a\nb", upload)
            edit.make_directory("x")
            edit.copy("a\nb", "x/y")
        volume.create_snapshot("before")
        with volume.edit() as edit:
            edit.remove("x")


def pack_with(store: Path, data: bytes) -> Path:
    (found,) = (pack for pack in store.glob("packs/*/*") if data in pack.read_bytes())
    return found


def damage(casdav: Casdav) -> None:
    pack = pack_with(casdav.store, DATA)
    content = bytearray(pack.read_bytes())
    content[content.find(DATA) + 1000] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)


@pytest.mark.parametrize("words", [(), ("--read-data",), ("--read-data=50%",), ("--budget=1h",)])
def test_a_sound_repository_is_said_to_be_so(casdav: Casdav, words: tuple[str, ...]) -> None:
    ended = casdav("check", *words)
    assert ended.out.endswith("all is well\n")
    assert ended.err == ""
    (summary,) = casdav("check", "--json", *words).lines
    assert summary["message_type"] == "summary"
    assert (summary["sound"], summary["damaged"], summary["kinds"]) == (True, 0, [])
    assert (summary["packs_read"] > 0) == bool(words)
    assert (summary["scrub_rounds"] is not None) == ("--budget=1h" in words)


@pytest.mark.plain
def test_damage_is_named_with_paths_and_snapshots_and_the_code_is_13(casdav: Casdav) -> None:
    damage(casdav)
    assert casdav("check").out.endswith("all is well\n")  # the data were not read
    ended = casdav("check", "--read-data", code=13)
    assert r"v:/a\nb  (now, @before)" in ended.out
    assert "v:/x/y  (@before)" in ended.out
    assert "damaged: chunk" in ended.out
    assert "all is well" not in ended.out
    assert "wrong" in ended.err


@pytest.mark.plain
def test_damage_in_json(casdav: Casdav) -> None:
    damage(casdav)
    lines = casdav("check", "--read-data", "--json", code=13).lines
    (found,) = (line for line in lines if line["message_type"] == "damage")
    assert (found["kind"], found["object_kind"]) == ("damaged", "chunk")
    assert pack_with(casdav.store, DATA[2000:]).name == found["pack"]
    affected = [line for line in lines if line["message_type"] == "affected"]
    assert [(line["volume"], line["path"], line["states"]) for line in affected] == [
        ("v", "a\nb", ["", "before"]),
        ("v", "x/y", ["before"]),
    ]
    assert lines[-1]["message_type"] == "summary"
    assert (lines[-1]["sound"], lines[-1]["affected"], lines[-1]["unnamed"]) == (False, 2, 0)


@pytest.mark.parametrize("words", [("--read-data=0%",), ("--read-data=x",), ("--budget=ten",)])
def test_a_share_or_span_that_is_none_is_refused(casdav: Casdav, words: tuple[str, ...]) -> None:
    assert words[0].partition("=")[2] in casdav("check", *words, code=2).err


def test_a_share_and_a_budget_do_not_go_together(casdav: Casdav) -> None:
    casdav("check", "--read-data", "--budget", "1h", code=2)
