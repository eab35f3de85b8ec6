"""Record the cut points of a new format version: python -m tests.golden.regenerate_cut_points 2.

A version that is recorded is never changed: repositories were written with it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tests.golden.cut_points import CUT_POINTS_FILE, CutPoints, compute, recorded

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
    if len(arguments) != 1 or not arguments[0].isdecimal():
        print("usage: python -m tests.golden.regenerate_cut_points VERSION", file=sys.stderr)
        return 2
    version = arguments[0]
    versions = recorded()
    if version in versions:
        print(f"version {version} is recorded and never changes; name a new one", file=sys.stderr)
        return 1
    versions[version] = vectors()
    as_json = {name: [asdict(vector) for vector in each] for name, each in versions.items()}
    CUT_POINTS_FILE.write_text(json.dumps(as_json, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
