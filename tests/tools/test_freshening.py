"""`casdav volume freshness`: set, shown, lifted and refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


def test_it_is_set_shown_and_lifted(casdav: Casdav) -> None:
    assert "each asks" in casdav("volume", "freshness", "v").out
    assert "up to 2 s" in casdav("volume", "freshness", "v", "2s").out
    assert casdav("volume", "freshness", "v", "--json").document == {
        "volume": "v",
        "registry": False,
        "freshness_ns": 2 * 10**9,
    }
    assert "each asks" in casdav("volume", "freshness", "--registry").out
    casdav("volume", "freshness", "--registry", "1m")
    document = casdav("volume", "freshness", "--registry", "--json").document
    assert document == {"volume": None, "registry": True, "freshness_ns": 60 * 10**9}
    for _ in range(2):
        assert "each asks" in casdav("volume", "freshness", "v", "0").out


def test_what_is_none_is_refused(casdav: Casdav) -> None:
    casdav("volume", "freshness", code=2)
    casdav("volume", "freshness", "v", "fast", code=2)
    casdav("volume", "freshness", "v", "2s", "3s", code=2)
    casdav("volume", "freshness", "v", "2d", code=2)
    casdav("volume", "freshness", "missing", "2s", code=1)
