"""Record the objects of a new format version: python -m tests.golden.regenerate_objects 2.

A version that is recorded is never changed: repositories were written with it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from tests.golden.objects import OBJECTS_FILE, recorded, vectors


def main(arguments: list[str]) -> int:
    """Add the version named; refuse where it is there already."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        print("usage: python -m tests.golden.regenerate_objects VERSION", file=sys.stderr)
        return 2
    version = arguments[0]
    versions = recorded()
    if version in versions:
        print(f"version {version} is recorded and never changes; name a new one", file=sys.stderr)
        return 1
    versions[version] = vectors()
    as_json = {name: [asdict(vector) for vector in each] for name, each in versions.items()}
    OBJECTS_FILE.write_text(json.dumps(as_json, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
