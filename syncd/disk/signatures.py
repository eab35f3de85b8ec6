"""What a file looked like from outside when its content was known: its stat signature."""

from __future__ import annotations

from typing import Final, NamedTuple

COARSE_MARGIN_NS: Final = 2_000_000_000
"""Granularity of times that are whole seconds: FAT keeps only even ones."""
FINE_MARGIN_NS: Final = 100_000_000
"""Granularity of all other times, with room: kernels stamp files every 1 to 10 ms."""

_SECOND_NS: Final = 1_000_000_000


class Signature(NamedTuple):
    """What changes when a file does, as far as a disk tells: times are nanoseconds since 1970.

    The device is not in it: a linked folder lies on one, and its number may be another after
    each mount. The inode is 0 where the file system makes up new ones at each mount.
    """

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    def is_same_file(self, other: Signature) -> bool:
        """Whether both are of one inode: the name may be another, and the content too."""
        return self.inode == other.inode

    def holds_same(self, other: Signature) -> bool:
        """Whether both are of one file, not written to in between, though perhaps renamed.

        A rename changes the ctime, so that it is not compared.
        """
        return self[:3] == other[:3]


def is_racy(signature: Signature, read_ns: int) -> bool:
    """Tell whether a change after `read_ns` could leave the signature as it is.

    Args:
        signature: of the file, before and after its reading.
        read_ns: when the reading began, by this machine's clock.

    A file whose times are as young as the reading could be changed once more within the same
    tick of the disk's clock: git's index calls such an entry racy. It is read again.
    """
    return _is_young(signature.mtime_ns, read_ns) or _is_young(signature.ctime_ns, read_ns)


def _is_young(stamp_ns: int, read_ns: int) -> bool:
    # What lies far ahead was set by somebody, or the clock was set back since: whoever writes now
    # leaves another time.
    distance = abs(read_ns - stamp_ns)
    if distance >= COARSE_MARGIN_NS:
        return False
    return distance < FINE_MARGIN_NS or not stamp_ns % _SECOND_NS
