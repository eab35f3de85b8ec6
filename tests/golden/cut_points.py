"""The golden vectors of chunking: which content, cut how, gives which cut points.

A vector's content is `seeded_bytes(seed, length)` with `zeros` zero bytes behind it. Its cut
points are summed up as their number and the BLAKE3 of the offsets, each as 8 bytes little-endian.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from cas.chunking import Chunker, parameters_of_average
from tests.support.corpus import seeded_bytes

CUT_POINTS_FILE = Path(__file__).with_name("cut_points.json")


@dataclass(frozen=True)
class CutPoints:
    """One vector: the input, and what came of it."""

    average: int
    chunk_seed: int
    content_seed: int
    length: int
    zeros: int
    count: int
    offsets_blake3: str


def compute(average: int, chunk_seed: int, content_seed: int, length: int, zeros: int) -> CutPoints:
    """Cut the content and return the vector."""
    content = seeded_bytes(content_seed, length) + bytes(zeros)
    ends = Chunker(parameters_of_average(average, chunk_seed)).cut(content, final=True)
    offsets = b"".join(end.to_bytes(8, "little") for end in ends)
    digest = blake3(offsets).hexdigest()
    return CutPoints(average, chunk_seed, content_seed, length, zeros, len(ends), digest)


def recorded() -> dict[str, list[CutPoints]]:
    """Return the recorded vectors by format version."""
    if not CUT_POINTS_FILE.exists():
        return {}
    versions: dict[str, list[dict[str, int | str]]] = json.loads(CUT_POINTS_FILE.read_text())
    return {
        version: [CutPoints(**vector) for vector in vectors]  # type: ignore[arg-type]
        for version, vectors in versions.items()
    }
