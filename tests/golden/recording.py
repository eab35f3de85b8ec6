"""Adding a format version to a file of golden vectors; those that are recorded never change."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def record_version(
    arguments: list[str],
    module: str,
    path: Path,
    versions: Mapping[str, Sequence[DataclassInstance]],
    vectors: Sequence[DataclassInstance],
) -> int:
    """Add the version named by the arguments; refuse where it is there already."""
    if len(arguments) != 1 or not arguments[0].isdecimal():
        print(f"usage: python -m tests.golden.{module} VERSION", file=sys.stderr)
        return 2
    version = arguments[0]
    if version in versions:
        print(f"version {version} is recorded and never changes; name a new one", file=sys.stderr)
        return 1
    all_versions = {**versions, version: vectors}
    as_json = {name: [asdict(vector) for vector in each] for name, each in all_versions.items()}
    path.write_text(json.dumps(as_json, indent=1) + "\n")
    return 0
