"""The cut points of every format version ever recorded are still the same."""

from __future__ import annotations

import pytest

from tests.golden import cut_points, regenerate_cut_points


@pytest.mark.parametrize(
    "expected",
    [vector for vectors in cut_points.recorded().values() for vector in vectors],
    ids=lambda each: f"{each.average}-{each.chunk_seed}-{each.length}+{each.zeros}",
)
def test_cut_points_are_those_on_record(expected: cut_points.CutPoints) -> None:
    found = cut_points.compute(
        expected.average,
        expected.chunk_seed,
        expected.content_seed,
        expected.length,
        expected.zeros,
    )
    assert expected == found


def test_a_recorded_version_is_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = cut_points.CUT_POINTS_FILE.read_bytes()
    assert regenerate_cut_points.main(["1"]) == 1
    assert "never changes" in capsys.readouterr().err
    assert before == cut_points.CUT_POINTS_FILE.read_bytes()
