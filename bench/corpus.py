"""Seeded corpora: the same seed and size make the same bytes on every machine.

Text compresses about as source code does, to a third or a quarter at zstd level 1: lines come
again near by, as they do in programs. No two chunks of it are equal, so that nothing is
deduplicated by chance.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from blake3 import blake3

from bench.scale import KIB, MIB

_BLOCK: Final = 1 * MIB
_TEXT_BLOCK: Final = 64 * KIB
_WORDS: Final = 6_000
_LINES: Final = 40_000
_LINE: Final = 36
"""Bytes of a line, roughly."""
_FILES_PER_FOLDER: Final = 12
_TIME_NS: Final = 1_700_000_000_000_000_000
_SUFFIXES: Final = (".py", ".c", ".h", ".md", ".json", ".txt", ".rs", "")


@dataclass(frozen=True)
class Tree:
    """A directory tree on the disk and what is in it. Sizes are bytes."""

    top: Path
    files: int
    size: int


def incompressible(seed: int, size: int) -> Iterator[bytes]:
    """Yield `size` bytes that look random, in blocks of 1 MiB."""
    hasher = blake3(f"casdav bench {seed}".encode())
    for start in range(0, size, _BLOCK):
        yield hasher.digest(length=min(_BLOCK, size - start), seek=start)


def text(seed: int, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of text that compresses as source code does, in blocks of 64 KiB."""
    chance = random.Random(seed)
    for start in range(0, size, _TEXT_BLOCK):
        yield _text(chance, min(_TEXT_BLOCK, size - start))


def write_stream(path: Path, blocks: Iterator[bytes]) -> Path:
    """Write the blocks to a file."""
    with path.open("wb") as file:
        file.writelines(blocks)
    return path


def write_source_tree(top: Path, size: int, seed: int = 1) -> Tree:
    """Write a tree like that of a large program: many small text files, some large ones.

    Sizes are log-normal with a median of 4 KiB and a mean of 15 KiB, twelve files a folder.
    """
    chance = random.Random(seed)
    count = written = 0
    while written < size:
        length = int(min(chance.lognormvariate(8.3, 1.6), 2 * MIB))
        folder = _folder(top, count)
        name = f"{_word(chance)}_{count}{chance.choice(_SUFFIXES)}"
        content = _text(chance, length)
        _write(folder / name, content, count)
        count += 1
        written += len(content)
    return Tree(top, count, written)


def write_mixed_tree(top: Path, size: int, seed: int = 2) -> Tree:
    """Write half source code, half media: incompressible files of 100 KiB to 8 MiB."""
    source = write_source_tree(top / "source", size // 2, seed)
    media = write_media(top / "media", size // 2, seed)
    return Tree(top, source.files + media.files, source.size + media.size)


def write_media(top: Path, size: int, seed: int = 2) -> Tree:
    """Write incompressible files of 100 KiB to 8 MiB."""
    chance = random.Random(seed)
    count = written = 0
    while written < size:
        length = int(min(max(chance.lognormvariate(13.8, 1.0), 100 * KIB), 8 * MIB))
        folder = _folder(top, count)
        content = b"".join(incompressible(seed + count, length))
        _write(folder / f"{_word(chance)}_{count}.jpg", content, count)
        count += 1
        written += length
    return Tree(top, count, written)


def write_small_files(top: Path, count: int, seed: int = 3) -> Tree:
    """Write one folder of small text files, up to 200 bytes each."""
    chance = random.Random(seed)
    top.mkdir(parents=True)
    size = 0
    for index in range(count):
        content = f"{index} {chance.random()}".encode() * chance.randint(1, 8)
        _write(top / f"{_word(chance)} {index:06d}.txt", content, index)
        size += len(content)
    return Tree(top, count, size)


def write_equal_files(top: Path, count: int, size: int, seed: int = 4) -> Tree:
    """Write `count` incompressible files of `size` bytes, a hundred in each folder."""
    content = b"".join(incompressible(seed, count * size))
    for index in range(count):
        folder = top / f"folder {index // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"file {index}", content[index * size : (index + 1) * size], index)
    return Tree(top, count, len(content))


def _folder(top: Path, count: int) -> Path:
    """Return the folder for a file, three levels of it made by the file's number."""
    number = count // _FILES_PER_FOLDER
    folder = top / f"part{number % 7}" / f"package{number % 61}" / f"module{number}"
    if count % _FILES_PER_FOLDER == 0:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(path: Path, content: bytes, index: int) -> None:
    path.write_bytes(content)
    moment = _TIME_NS + index * 1_000_000_007
    os.utime(path, ns=(moment, moment))


def _text(chance: random.Random, size: int) -> bytes:
    """Return a text of which every line comes three times on average."""
    count = size // _LINE + 1
    lines = chance.choices(_pool(), k=count // 3 + 1)
    written = b"".join(chance.choices(lines, k=count))
    while len(written) < size:
        written += b"".join(chance.choices(lines, k=count))
    return written[:size]


def _word(chance: random.Random) -> str:
    return "".join(chance.choices("etaoinshrdlucmfwypvbgkjqxz", range(52, 0, -2), k=5))


@cache
def _pool() -> list[bytes]:
    """Return lines of words, the frequent ones far more frequent, as in programs."""
    chance = random.Random(0)
    words = [_word(chance) + _word(chance)[: chance.randint(0, 4)] for _ in range(_WORDS)]
    weights = [1 / (rank + 3) for rank in range(_WORDS)]
    marks = (" ", " ", " = ", "(", ")", ", ", ".", ": ", "_", "[0]", " + ")
    lines = []
    for _ in range(_LINES):
        chosen = chance.choices(words, weights, k=chance.randint(1, 9))
        line = "".join(word + chance.choice(marks) for word in chosen)
        lines.append(f"{'    ' * chance.randint(0, 4)}{line}\n".encode())
    return lines
