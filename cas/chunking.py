"""Content-defined chunking: where a file is cut, and by which parameters.

FastCDC 2020 as pyfastcdc computes it, with its default normalisation (level 1). The parameters,
the table of signatures and the cut points are format: a program that cuts elsewhere still reads
every repository, but finds nothing of what was stored before. `tests/golden` guards them.

An average of 64 KiB is the nominal size: pyfastcdc never looks for a cut in the first `minimum`
bytes of a chunk, so that the mean size on random bytes is about average + minimum (80 KiB).

Only the compiled class is accepted: the pure Python one finds the same cuts, but takes two
hundred times as long.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from cas.errors import InvalidError

if TYPE_CHECKING:
    from pyfastcdc import FastCDC
else:
    with warnings.catch_warnings():
        # Without its compiled part pyfastcdc warns and falls back. Here that is an error instead.
        warnings.simplefilter("ignore")
        try:
            from pyfastcdc.cy import FastCDC
        except ImportError as error:
            raise ImportError(
                "the compiled part of pyfastcdc is missing; install a wheel of it "
                "(pip install --force-reinstall --only-binary=pyfastcdc pyfastcdc), "
                "or a C compiler and build it anew"
            ) from error

KIB: Final = 1024

SIGNATURE_SIZE: Final = 4096
"""Bytes at the start of a file that decide about its parameters."""

_SEED_LIMIT: Final = 1 << 63
_AVERAGES: Final = range(1 * KIB, 4096 * KIB + 1)
_MINIMUMS: Final = range(64, 1024 * KIB + 1)


@dataclass(frozen=True, slots=True)
class ChunkParameters:
    """How content is cut. All sizes are bytes; `minimum <= average <= maximum`.

    `seed` alters the table of the rolling hash, so that the chunk sizes of an encrypted
    repository are not those that the same files have elsewhere. It makes a look-up of known
    files by their chunk sizes harder, not impossible. 0 is the table of the FastCDC paper.

    Raises:
        InvalidError: a size or the seed is outside of what the algorithm takes.
    """

    average: int
    minimum: int
    maximum: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what would not cut, or would cut differently from what is said here."""
        if self.average not in _AVERAGES or self.average & (self.average - 1):
            raise InvalidError(f"average {self.average} is not a power of 2 from 1 KiB to 4 MiB")
        if self.minimum not in _MINIMUMS or self.minimum > self.average:
            raise InvalidError(f"minimum {self.minimum} is not from 64 to 1 MiB and the average")
        if not self.average <= self.maximum <= 4 * self.average:
            raise InvalidError(f"maximum {self.maximum} is not from 1 to 4 times the average")
        if not 0 <= self.seed < _SEED_LIMIT:
            raise InvalidError(f"chunking seed {self.seed} is not within 0 .. 2**63 - 1")


def parameters_of_average(average: int, seed: int = 0) -> ChunkParameters:
    """Return the parameters of an average in bytes: minimum a quarter, maximum four times it.

    Raises:
        InvalidError: the average is not a power of 2 from 1 KiB to 4 MiB, or the seed is too big.
    """
    return ChunkParameters(average, average // 4, 4 * average, seed)


ORDINARY: Final = parameters_of_average(64 * KIB)
"""For all content but that of `PAGED_FORMATS`."""

PAGED: Final = parameters_of_average(16 * KIB)
"""For databases and disk images, where an edit changes a page here and a page there."""


class Signature(NamedTuple):
    """Bytes at an offset that tell a format."""

    format: str
    offset: int
    magic: bytes


PAGED_FORMATS: Final = (
    # databases
    Signature("SQLite", 0, b"SQLite format 3\0"),
    Signature("LMDB, 64 bit", 16, b"\xde\xc0\xef\xbe"),
    Signature("Berkeley DB b-tree, little-endian", 12, b"\x62\x31\x05\x00"),
    Signature("Berkeley DB b-tree, big-endian", 12, b"\x00\x05\x31\x62"),
    Signature("Berkeley DB hash, little-endian", 12, b"\x61\x15\x06\x00"),
    Signature("Berkeley DB hash, big-endian", 12, b"\x00\x06\x15\x61"),
    Signature("GDBM, 32 bit offsets", 0, b"\xcd\x9a\x57\x13"),
    Signature("GDBM, 64 bit offsets", 0, b"\xcf\x9a\x57\x13"),
    Signature("Samba TDB", 0, b"TDB file\n"),
    Signature("Microsoft Access, Jet", 4, b"Standard Jet DB\0"),
    Signature("Microsoft Access, ACE", 4, b"Standard ACE DB\0"),
    Signature("Microsoft Extensible Storage Engine", 4, b"\xef\xcd\xab\x89"),
    Signature("Microsoft SQL Server", 0, b"\x01\x0f\x00\x00"),
    Signature("Outlook mailbox", 0, b"!BDN"),
    Signature("FileMaker", 14, b"\xc0HBAM7"),
    Signature("DuckDB", 8, b"DUCK"),
    # disk images of virtual machines
    Signature("QEMU qcow, qcow2", 0, b"QFI\xfb"),
    Signature("QEMU QED", 0, b"QED\0"),
    Signature("VMware VMDK, sparse", 0, b"KDMV"),
    Signature("VMware VMDK, copy-on-write", 0, b"COWD"),
    Signature("VirtualBox VDI", 64, b"\x7f\x10\xda\xbe"),
    Signature("Microsoft VHD, dynamic", 0, b"conectix"),
    Signature("Microsoft VHDX", 0, b"vhdxfile"),
    Signature("Parallels", 0, b"WithoutFreeSpace"),
    Signature("Parallels, extended", 0, b"WithouFreSpacExt"),
    Signature("Apple sparse image", 0, b"sprs"),
    # raw disks, partitions and volumes
    Signature("MBR, GPT, FAT, NTFS boot sector", 510, b"\x55\xaa"),
    Signature("LVM physical volume", 512, b"LABELONE"),
    Signature("LUKS", 0, b"LUKS\xba\xbe"),
    Signature("XFS", 0, b"XFSB"),
    Signature("ext2, ext3, ext4", 1080, b"\x53\xef"),
    Signature("HFS+", 1024, b"H+\x00\x04"),
    Signature("HFSX", 1024, b"HX\x00\x05"),
    Signature("APFS", 32, b"NXSB"),
)
"""What is cut by `PAGED`. A wrong guess is harmless: it costs a larger index, nothing else."""

_MAGICS_BY_OFFSET: Final = {
    offset: tuple(signature.magic for signature in PAGED_FORMATS if signature.offset == offset)
    for offset in sorted({signature.offset for signature in PAGED_FORMATS})
}


def choose_parameters(first_bytes: bytes | memoryview, seed: int = 0) -> ChunkParameters:
    """Return the parameters for a file that begins with these bytes.

    Pass the first 4096 bytes (`SIGNATURE_SIZE`), or all where the file is shorter: what comes
    later is not looked at, nor is the file's name, so that equal content is always cut equally.
    """
    head = bytes(first_bytes[:SIGNATURE_SIZE])
    paged = any(map(head.startswith, _MAGICS_BY_OFFSET.values(), _MAGICS_BY_OFFSET))
    chosen = PAGED if paged else ORDINARY
    return parameters_of_average(chosen.average, seed) if seed else chosen


class Chunker:
    """Cuts a stream of bytes that arrives in pieces of any size.

    Give `cut` a buffer that begins where the last chunk ended; keep what it left over, add more
    bytes behind it, and call again. It keeps nothing between calls, so that it may be shared
    between streams and threads; the GIL is released while it searches.
    """

    def __init__(self, parameters: ChunkParameters) -> None:
        self.parameters = parameters
        self._algorithm = FastCDC(
            parameters.average,
            min_size=parameters.minimum,
            max_size=parameters.maximum,
            seed=parameters.seed,
        )

    def cut(self, buffer: bytes | bytearray | memoryview, *, final: bool) -> list[int]:
        """Return the end offsets, rising, of the chunks in the buffer.

        Unless `final`, only those chunks are returned whose ends no later byte can move, and
        nothing is looked for before the buffer holds `maximum` bytes (then there is at least
        one chunk): so a stream in small pieces is not searched over and over. With `final` the
        last offset is the buffer's length; an empty buffer has no chunks. The offsets do not
        depend on how the stream was sliced. The buffer is not referred to afterwards.
        """
        size = len(buffer)
        if not final and size < self.parameters.maximum:
            return []
        if final and 0 < size < self.parameters.minimum:
            return [size]  # too short to be cut
        lengths = list(map(_length_of, self._algorithm.cut_buf(buffer)))
        ends = list(accumulate(lengths))
        if not final and lengths[-1] < self.parameters.maximum:
            # A chunk that ends before the buffer does ends at a border that was found. The last
            # one ends where the bytes did, unless it has the greatest size.
            ends.pop()
        return ends


_length_of = attrgetter("length")
