"""Deterministic content for tests, so that a golden vector is a seed and a length, not a file.

The bytes of (seed, length) are the first `length` bytes of the BLAKE3 extended output (XOF) of
the UTF-8 bytes of "casdav corpus " followed by the seed in decimal. Any language with BLAKE3
makes the same.
"""

from __future__ import annotations

from blake3 import blake3


def seeded_bytes(seed: int, length: int) -> bytes:
    """Return `length` bytes that look random and are the same for the same seed everywhere."""
    return blake3(f"casdav corpus {seed}".encode()).digest(length=length)
