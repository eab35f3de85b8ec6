"""`casdav stats`: ratios by volume, growth, and a plot that is an SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

import cas
from tools.plotting import growth_plot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

DAY = 86_400 * 10**9


@pytest.fixture
def filled(casdav: Casdav) -> Casdav:
    with cas.open(casdav.store) as repository:
        other = repository.create_volume("w & <b>")
        for volume in (repository.volume("v"), other):
            upload = volume.upload()
            upload.write(b"compresses " * 5_000)
            with volume.edit() as edit:
                edit.put("file", upload)
                edit.copy("file", "copy")
    return casdav


def test_with_stored_each_volume_has_its_ratios(filled: Casdav) -> None:
    document = filled("stats", "--stored", "--json").document
    assert [volume["size"] for volume in document["by_volume"]] == [110_000, 110_000]
    assert [volume["unique"] for volume in document["by_volume"]] == [55_000, 55_000]
    assert (document["size"], document["unique"]) == (220_000, 55_000)
    assert 0 < document["stored"] < 5_000
    assert document["kept"]["unique"] >= 55_000
    lines = filled("stats", "--stored").out.splitlines()
    row = next(line for line in lines if line.startswith("all together"))
    assert "4.00 x" in row
    assert "DEDUP" not in filled("stats").out


def test_growth_is_listed_and_drawn(filled: Casdav, tmp_path: Path) -> None:
    document = filled("stats", "--growth", "--json").document
    assert document["growth"][-1]["size"] == 110_000
    assert "TIME" in filled("stats", "--growth").out
    filled("stats", "--plot", tmp_path / "growth.svg")
    texts = svg_texts((tmp_path / "growth.svg").read_text())
    assert "w & <b>, 107.4 KiB" in texts


def test_a_plot_in_another_form_is_refused(casdav: Casdav, tmp_path: Path) -> None:
    assert ".svg" in casdav("stats", "--plot", tmp_path / "growth.png", code=2).err
    assert list(tmp_path.glob("*.png")) == []


def test_plots_of_nothing_one_moment_and_many_volumes() -> None:
    assert svg_texts(growth_plot({}))
    assert svg_texts(growth_plot({"v": [], "w": [cas.Growth(DAY, 0, 0)]}))
    many = {f"v{n}\n": [cas.Growth(DAY, n, 1), cas.Growth(9 * DAY, 10**n, 1)] for n in range(9)}
    texts = svg_texts(growth_plot(many))
    assert "Size of the files (and 2 smaller volumes)" in texts
    assert any(text.startswith(r"v8\n") for text in texts)


def svg_texts(document: str) -> list[str]:
    root = ET.fromstring(document)  # noqa: S314 - we have just written it
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
