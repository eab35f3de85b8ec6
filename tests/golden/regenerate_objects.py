"""Record the objects of a new format version: python -m tests.golden.regenerate_objects 2.

A version that is recorded is never changed: repositories were written with it.
"""

from __future__ import annotations

import sys

from tests.golden.objects import OBJECTS_FILE, recorded, vectors
from tests.golden.recording import record_version


def main(arguments: list[str]) -> int:
    """Add the version named; refuse where it is there already."""
    return record_version(arguments, "regenerate_objects", OBJECTS_FILE, recorded(), vectors())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
