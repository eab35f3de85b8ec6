"""Where a history begins: what was before goes after a span, and every command says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

import cas
from tests.support.clock import FakeClock
from tests.support.volumes import put
from tests.tools.conftest import Casdav

if TYPE_CHECKING:
    from pathlib import Path

DAY: Final = 86_400
BEGINS: Final = (
    r"history begins at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ), with #\d+ \(commit [0-9a-f]{16}\)"
)
GONE: Final = 3
"""Of states 100 days apart, the newest now, those older than the one a year ago."""


@pytest.fixture
def casdav(tmp_path: Path) -> Casdav:
    """`casdav` on a repository with a history of two years, whose volume `v` has one too."""
    clock = FakeClock()
    clock.advance(-800 * DAY)
    with cas.create(tmp_path / "store", clock=clock) as repository:
        volume = repository.create_volume("v")
        for number in range(8):
            clock.advance(100 * DAY)
            put(volume, "file", b"%d" % number)
            put(volume, f"n{number}")
            repository.checkpoint()
    return Casdav(tmp_path / "store")


@pytest.mark.parametrize(
    ("words", "dropped"),
    [((), 0), (("--keep-log-for", "1y"), GONE), (("--keep-log-for", "unlimited"), 0)],
)
def test_gc_drops_what_is_older_than_the_span(
    casdav: Casdav, words: tuple[str, ...], dropped: int
) -> None:
    for more in ("--dry-run", "--grace=0s"):
        assert casdav("gc", *words, more, "--json").document["dropped_commits"] == dropped
    assert ("v@#2:" in casdav("log", "v:/file").out) == (not dropped)
    assert casdav("check", "--read-data").code == 0


def test_the_setting_says_it_too(casdav: Casdav, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASDAV__GC__KEEP_LOG_FOR", "1y")
    assert f"dropped {GONE} commits" in casdav("gc").out
    monkeypatch.setenv("CASDAV__GC__KEEP_LOG_FOR", "ever")
    assert "gc.keep_log_for: 'ever' is not a span" in casdav("gc", code=2).err


def test_the_log_says_where_it_begins(casdav: Casdav) -> None:
    assert "history begins" not in casdav("log", "v:/file").out
    casdav("gc", "--keep-log-for", "1y")
    assert re.search(BEGINS, casdav("log", "v:/file").out)
    assert "history begins" not in casdav("log", "v:/file", "--limit", "2").out
    assert re.search(BEGINS, casdav("log", "v:/file", "--limit", "5").out)
    assert len(casdav("log", "v:/file", "--json").lines) == 5
    casdav("undelete", "v:/n1", code=1)
    assert re.search(
        f"nothing is known of 'v:/never'; .*{BEGINS}", casdav("log", "v:/never", code=1).err
    )


@pytest.mark.parametrize("when", ["600d", "#2", "1999-01-01", "401d"])
@pytest.mark.parametrize(
    "command",
    [
        ("ls", "{}:/"),
        ("cat", "{}:/file"),
        ("du", "{}:/"),
        ("stat", "{}:/file"),
        ("find", "{}:/"),
        ("log", "{}:/file"),
        ("diff", "{}"),
        ("diff", "v", "{}"),
        ("export", "{}:/", "exported"),
        ("restore", "{}:/file", "--yes"),
    ],
)
def test_what_is_older_is_refused_with_where_the_history_begins(
    casdav: Casdav,
    command: tuple[str, ...],
    when: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word.format(f"v@{when}") for word in command]
    casdav("gc", "--keep-log-for", "1y")
    assert re.search(BEGINS, casdav(*words, code=1).err)


def test_a_commit_that_is_gone_and_the_time_that_is_told(casdav: Casdav) -> None:
    oldest = casdav("log", "v:/file", "--json").lines[-1]["commit"]
    casdav("gc", "--keep-log-for", "1y", "--grace", "0s")
    told = re.search(BEGINS, casdav("ls", f"v@{oldest}:/", code=1).err)
    assert told
    # That state was thinned out, and is in the log.
    assert "see the log" in casdav("ls", f"v@{told[1]}:/", code=1).err
    assert casdav("ls", "v@1d:/").code == 0


def test_chains_hold_and_what_was_noted_before_cannot_be_compared(
    casdav: Casdav, tmp_path: Path
) -> None:
    known = tmp_path / "known.json"
    known.write_text(casdav("audit", "verify", "--json").out)
    casdav("gc", "--keep-log-for", "1y", "--grace", "0s")
    chains = {each["name"]: each for each in casdav("audit", "verify", "--json").document["chains"]}
    assert chains["v"]["first"] == chains["v"]["begins"] > 1
    assert "every link holds" in casdav("audit", "verify", "--known", known).out
    old = known.read_text().replace(f'"last": {chains["v"]["last"]}', '"last": 2')
    old = old.replace(chains["v"]["newest"], "ab" * 32)
    known.write_text(old)
    said = casdav("audit", "verify", "--known", known).out
    assert "v: what was there is older than all that is kept" in said
