"""Record the cut points of a new format version: python -m tests.golden.regenerate_cut_points 2.

A version that is recorded is never changed: repositories were written with it.
"""

from __future__ import annotations

import sys

from tests.golden.cut_points import CUT_POINTS_FILE, CutPoints, compute, recorded
from tests.golden.recording import record_version

KIB = 1024


def vectors() -> list[CutPoints]:
    """Return what this version of the program makes of the inputs."""
    inputs = [
        # average, chunk seed, content seed, length, zeros
        (64 * KIB, 0, 1, 0, 0),
        (64 * KIB, 0, 1, 1, 0),
        (64 * KIB, 0, 1, 16 * KIB, 0),
        (64 * KIB, 0, 1, 16 * KIB + 1, 0),
        (64 * KIB, 0, 1, 8_000_003, 0),
        (64 * KIB, 0, 2, 1_000_000, 1_000_000),
        (64 * KIB, 1, 1, 8_000_003, 0),
        (64 * KIB, 2**63 - 1, 1, 8_000_003, 0),
        (16 * KIB, 0, 1, 8_000_003, 0),
        (16 * KIB, 0, 2, 1_000_000, 1_000_000),
        (16 * KIB, 1, 1, 8_000_003, 0),
    ]
    return [compute(*each) for each in inputs]


def main(arguments: list[str]) -> int:
    """Add the version named; refuse where it is there already."""
    return record_version(
        arguments, "regenerate_cut_points", CUT_POINTS_FILE, recorded(), vectors()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
