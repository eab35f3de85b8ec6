"""Chunking: the same stream is cut in the same places, however it arrives."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfastcdc import FastCDC

from cas import chunking
from cas.chunking import ORDINARY, PAGED, Chunker, ChunkParameters, choose_parameters
from cas.errors import InvalidError
from tests.support.corpus import seeded_bytes

SMALL = chunking.parameters_of_average(1024)
"""So small that a few hundred kilobytes hold chunks of every sort."""

contents = st.builds(
    # A run of equal bytes has no border and makes chunks of the greatest size.
    lambda seed, head, run, tail: (
        seeded_bytes(seed, head) + bytes(run) + seeded_bytes(seed + 1, tail)
    ),
    seed=st.integers(0, 1000),
    head=st.integers(0, 20_000),
    run=st.integers(0, 20_000),
    tail=st.integers(0, 20_000),
)


def cut_in_slices(chunker: Chunker, content: bytes, slice_sizes: list[int]) -> list[int]:
    """Cut content that arrives in slices of these sizes, over and over, as a writer would."""
    ends: list[int] = []
    tail = b""
    position = 0  # in the stream, of the tail's first byte
    arrived = 0
    sizes = itertools.cycle(slice_sizes)
    while True:
        piece = content[arrived : arrived + next(sizes)]
        arrived += len(piece)
        buffer = tail + piece
        final = arrived == len(content)
        found = chunker.cut(memoryview(buffer), final=final)
        ends.extend(position + end for end in found)
        if final:
            return ends
        used = found[-1] if found else 0
        tail = buffer[used:]
        position += used


def reference_cuts(parameters: ChunkParameters, content: bytes) -> list[int]:
    """Return what pyfastcdc says of the whole content at once."""
    algorithm = FastCDC(
        parameters.average,
        min_size=parameters.minimum,
        max_size=parameters.maximum,
        seed=parameters.seed,
    )
    return [chunk.offset + chunk.length for chunk in algorithm.cut_buf(content)]


@given(content=contents, slice_sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=5))
@settings(deadline=None)
def test_any_slicing_gives_the_cuts_of_the_whole(content: bytes, slice_sizes: list[int]) -> None:
    chunker = Chunker(SMALL)
    assert reference_cuts(SMALL, content) == cut_in_slices(chunker, content, slice_sizes)


@given(
    content=contents,
    limits=st.tuples(st.integers(64, 1024), st.integers(1024, 4096)),
    seed=st.integers(0, 2**63 - 1),
)
@settings(deadline=None)
def test_odd_limits_and_seeds_are_no_exception(
    content: bytes, limits: tuple[int, int], seed: int
) -> None:
    parameters = ChunkParameters(1024, *limits, seed=seed)
    found = cut_in_slices(Chunker(parameters), content, [997])
    assert reference_cuts(parameters, content) == found


@pytest.mark.parametrize("parameters", [ORDINARY, PAGED])
def test_large_buffers_are_cut_like_the_whole(parameters: ChunkParameters) -> None:
    content = seeded_bytes(7, 5_000_000) + bytes(1_000_000)
    found = cut_in_slices(Chunker(parameters), content, [1_500_000])
    assert reference_cuts(parameters, content) == found


@given(content=contents)
@settings(deadline=None)
def test_chunks_keep_their_limits_and_cover_everything(content: bytes) -> None:
    ends = Chunker(SMALL).cut(content, final=True)
    lengths = [end - start for start, end in itertools.pairwise([0, *ends])]
    assert sum(lengths) == len(content)
    assert all(SMALL.minimum <= length <= SMALL.maximum for length in lengths[:-1])
    assert all(0 < length <= SMALL.maximum for length in lengths[-1:])


def test_an_edit_moves_only_the_cuts_around_it() -> None:
    content = seeded_bytes(1, 4_000_000)
    edited = content[:2_000_000] + b"inserted" + content[2_000_000:]
    chunker = Chunker(ORDINARY)
    before = chunker.cut(content, final=True)
    after = chunker.cut(edited, final=True)
    assert {end for end in before if end < 2_000_000} <= set(after)
    assert {end + len(b"inserted") for end in before if end > 2_500_000} <= set(after)


def test_an_uncertain_end_is_kept_back_until_the_stream_ends() -> None:
    chunker = Chunker(SMALL)
    assert chunker.cut(bytes(SMALL.maximum - 1), final=False) == []
    assert chunker.cut(bytes(SMALL.maximum - 1), final=True) == [SMALL.maximum - 1]
    assert chunker.cut(bytes(SMALL.maximum), final=False) == [SMALL.maximum]


def test_an_empty_stream_has_no_chunks() -> None:
    chunker = Chunker(ORDINARY)
    assert chunker.cut(memoryview(b""), final=True) == []
    assert chunker.cut(memoryview(b""), final=False) == []


@pytest.mark.parametrize("parameters", [ORDINARY, PAGED])
def test_what_is_too_short_to_be_cut_is_what_the_algorithm_would_not_cut(
    parameters: ChunkParameters,
) -> None:
    for size in range(parameters.minimum - 40, parameters.minimum + 40):
        content = seeded_bytes(size, size)
        assert Chunker(parameters).cut(content, final=True) == reference_cuts(parameters, content)


def test_the_buffer_can_be_reused_after_cutting() -> None:
    buffer = bytearray(seeded_bytes(3, 1_000_000))
    Chunker(ORDINARY).cut(buffer, final=True)
    buffer.clear()  # BufferError while somebody still refers to it


def test_one_chunker_serves_several_threads() -> None:
    chunker = Chunker(PAGED)
    streams = [seeded_bytes(seed, 2_000_000) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda content: chunker.cut(content, final=True), streams))
    assert [reference_cuts(PAGED, content) for content in streams] == found


def test_the_seed_moves_the_cuts() -> None:
    content = seeded_bytes(5, 2_000_000)
    seeded = chunking.parameters_of_average(ORDINARY.average, seed=12345)
    assert Chunker(seeded).cut(content, final=True) != Chunker(ORDINARY).cut(content, final=True)


@pytest.mark.parametrize("signature", chunking.PAGED_FORMATS, ids=lambda s: s.format)
def test_each_paged_format_is_recognised_by_its_first_bytes(signature: chunking.Signature) -> None:
    head = bytes(signature.offset) + signature.magic
    assert choose_parameters(head) == PAGED
    assert choose_parameters(memoryview(head + bytes(10_000))) == PAGED
    assert choose_parameters(head[:-1]) == ORDINARY
    assert choose_parameters(b"\0" + head) == ORDINARY


@given(st.binary(max_size=chunking.SIGNATURE_SIZE), st.binary())
def test_only_the_first_bytes_decide(head: bytes, rest: bytes) -> None:
    head = head.ljust(chunking.SIGNATURE_SIZE, b"\0")
    assert choose_parameters(head) == choose_parameters(head + rest)


def test_all_signatures_lie_within_the_bytes_that_decide() -> None:
    ends = [each.offset + len(each.magic) for each in chunking.PAGED_FORMATS]
    assert max(ends) <= chunking.SIGNATURE_SIZE


def test_the_choice_carries_the_seed_of_the_repository() -> None:
    assert choose_parameters(b"text", seed=9) == ChunkParameters(65536, 16384, 262144, 9)
    assert choose_parameters(b"QFI\xfb", seed=9) == ChunkParameters(16384, 4096, 65536, 9)


@pytest.mark.parametrize(
    "parameters",
    [
        (1000, 250, 4000, 0),
        (512, 128, 2048, 0),
        (1 << 23, 1 << 20, 1 << 24, 0),
        (1024, 63, 4096, 0),
        (1024, 1025, 4096, 0),
        (1 << 22, (1 << 20) + 1, 1 << 24, 0),
        (1024, 256, 1023, 0),
        (1024, 256, 4097, 0),
        (1024, 256, 4096, -1),
        (1024, 256, 4096, 1 << 63),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(parameters: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidError):
        ChunkParameters(*parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        (1024, 64, 1024, 0),
        (1024, 1024, 1024, 0),
        (1 << 22, 1 << 20, 1 << 24, (1 << 63) - 1),
    ],
)
def test_the_outermost_parameters_cut(parameters: tuple[int, int, int, int]) -> None:
    chosen = ChunkParameters(*parameters)
    content = seeded_bytes(2, 100_001)
    assert Chunker(chosen).cut(content, final=True) == reference_cuts(chosen, content)


@pytest.mark.plain
def test_without_the_compiled_class_the_import_fails_and_says_what_to_install() -> None:
    program = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("pyfastcdc.cy"):
            raise ImportError(name)

sys.meta_path.insert(0, Missing())
import cas.chunking
"""
    outcome = subprocess.run(
        [sys.executable, "-W", "always", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 1
    assert "pip install" in outcome.stderr.splitlines()[-1]
    assert "Warning" not in outcome.stderr
