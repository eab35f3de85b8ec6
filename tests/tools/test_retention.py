"""`casdav volume retention`: rules of one volume, set, shown, and what gc makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.volumes import put

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav

DEFAULT = {"keep_within": "30d", "keep_within_daily": "1y", "keep_log_for": "2y"}


def test_rules_are_set_shown_and_ended(casdav: Casdav, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = casdav("volume", "retention", "v", "--json").document
    assert shown["volume"] == "v"
    assert shown["own"] is False
    assert shown["retention"] == DEFAULT
    assert shown["history_begins"]["sequence"] == 1
    words = ("--keep-within", "90d", "--keep-weekly", "52", "--keep-yearly", "unlimited")
    assert "--keep-within 90d --keep-weekly 52" in casdav("volume", "retention", "v", *words).out
    shown = casdav("volume", "retention", "v", "--json").document
    assert shown["own"]
    assert shown["retention"] == {
        "keep_within": "90d",
        "keep_weekly": 52,
        "keep_yearly": "unlimited",
        "keep_log_for": "2y",
    }
    monkeypatch.setenv("CASDAV__GC__KEEP_WITHIN", "7d")
    assert casdav("volume", "retention", "v", "--json").document == shown, "it is its own"
    assert "as the settings say" in casdav("volume", "retention", "v", "--off").out
    kept = casdav("volume", "retention", "v", "--json").document["retention"]
    assert kept == DEFAULT | {"keep_within": "7d"}
    casdav("volume", "retention", "v", "--off")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--keep-all",), {"keep_within": "unlimited", "keep_log_for": "unlimited"}),
        (("--keep-versions", "3"), {"keep_versions": 3, "keep_log_for": "2y"}),
        (("--keep-log-for", "unlimited"), DEFAULT | {"keep_log_for": "unlimited"}),
        (
            ("--keep-versions", "3", "--keep-daily", "7", "--keep-log-for", "1y"),
            {"keep_versions": 3, "keep_daily": 7, "keep_log_for": "1y"},
        ),
    ],
)
def test_what_is_not_given_is_no_rule_or_as_the_settings_say(
    casdav: Casdav, words: tuple[str, ...], expected: dict[str, object]
) -> None:
    shown = casdav("volume", "retention", "v", *words, "--json").document
    assert (shown["own"], shown["retention"]) == (True, expected)
    again = casdav("volume", "retention", "v").out
    assert " ".join(words) in again, "it is shown as it is typed"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("v", "--off", "--keep-daily", "1"), 2),
        (("v", "--off", "--keep-log-for", "1y"), 2),
        (("v", "--keep-all", "--keep-versions", "1"), 2),
        (("v", "--keep-versions", "1", "--keep-within", "1d"), 2),
        (("v", "--keep-versions", "0"), 2),
        (("v", "--keep-log-for", "long"), 2),
        (("missing", "--keep-daily", "1"), 1),
        (("missing", "--off"), 1),
        (("missing",), 1),
    ],
)
def test_what_is_no_rule_is_refused(casdav: Casdav, words: tuple[str, ...], code: int) -> None:
    casdav("volume", "retention", *words, code=code)
    assert not casdav("volume", "retention", "v", "--json").document["own"]


def test_gc_keeps_by_the_rules_of_each_volume_whatever_it_is_told(casdav: Casdav) -> None:
    casdav("volume", "create", "other")
    with cas.open(casdav.store) as repository:
        for name in ("v", "other"):
            for number in range(3):
                put(repository.volume(name), "file", f"{name} {number}".encode())
    casdav("volume", "retention", "v", "--keep-versions", "2")
    casdav("gc", "--keep-versions", "1", "--grace", "0s")
    kept = [each["old"]["kept"] for each in casdav("log", "v:/file", "--all", "--json").lines[:2]]
    assert kept == [True, False]
    other = casdav("log", "other:/file", "--all", "--json").lines
    assert [each["old"]["kept"] for each in other[:2]] == [False, False]
    assert casdav("check", "--read-data").code == 0
