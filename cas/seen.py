"""How far this machine has seen each volume, so that an older state of the store is noticed.

Whoever owns the disk or bucket of an encrypted repository cannot make refs or keys, but can put old
ones back. What was seen is kept in the local part, sealed; without that file nothing is known, and
nothing refused. A repository that is not encrypted protects nothing from its owner, and has none.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from cas.disk import StoreErrors, sync_directory
from cas.errors import CasError, IntegrityError, NotFoundError
from cas.objects import decode
from cas.sealing import Sealing

SEEN_NAME: Final = "seen"
"""The file in the local part."""
_PURPOSE: Final = b"seen"
_logger = logging.getLogger(__name__)


class Seen(msgspec.Struct, array_like=True, frozen=True):
    """The highest sequence number of each volume's refs, by volume id, and of the key ring."""

    sequences: dict[bytes, int] = {}
    generation: int = 0


class SeenStates:
    """What this machine has seen of a repository. Changed by one process at a time."""

    def __init__(self, local: Path, sealing: Sealing | None) -> None:
        self._path = local / SEEN_NAME
        self._sealing = sealing

    def note(self, sequences: Mapping[bytes, int]) -> None:
        """Remember how far volumes are.

        Raises:
            StoreError: the disk failed or is full.
        """
        seen = self._load()
        newer = {v: n for v, n in sequences.items() if n > seen.sequences.get(v, 0)}
        if newer:
            self._save(Seen({**seen.sequences, **newer}, seen.generation))

    def forget(self, volume_ids: Iterable[bytes]) -> None:
        """Forget volumes that are gone for good.

        Raises:
            StoreError: the disk failed or is full.
        """
        seen = self._load()
        gone = seen.sequences.keys() & set(volume_ids)
        if gone:
            left = {v: n for v, n in seen.sequences.items() if v not in gone}
            self._save(Seen(left, seen.generation))

    def accept(self, sequences: Mapping[bytes, int]) -> None:
        """Take these for the newest states, whatever was seen before.

        Raises:
            StoreError: the disk failed or is full.
        """
        self._save(Seen(dict(sequences), self._load().generation))

    def refuse_older(self, sequences: Mapping[bytes, int]) -> None:
        """Raise where a volume is not as far as it was, or is missing.

        Raises:
            IntegrityError: an older state was put back, or something is lost.
        """
        for volume_id, number in self._load().sequences.items():
            found = sequences.get(volume_id, 0)
            if found < number:
                message = (
                    f"the store shows volume {volume_id.hex()} after change {found}, this machine "
                    f"has seen it after {number}: an older state was put back. If you did that, "
                    f"remove {self._path}"
                )
                raise IntegrityError(message)

    def check_keys(self, generation: int | None) -> None:
        """Remember which keys there are, or raise where older ones, or none, were put there.

        `generation` counts the changes of the key ring; None where nothing is encrypted.

        Raises:
            IntegrityError: they are older than those that were seen.
            StoreError: the disk failed or is full.
        """
        if generation is None:
            if self._path.exists():
                message = (
                    "this machine has seen the repository encrypted, and its config says that it "
                    f"is not: it was replaced. If you did that, remove {self._path}"
                )
                raise IntegrityError(message)
            return
        seen = self._load()
        if generation < seen.generation:
            message = (
                "the repository's config is an older one than this machine has seen: keys that "
                f"were removed open it again. If you put it back, remove {self._path}"
            )
            raise IntegrityError(message)
        if generation > seen.generation:
            self._save(Seen(seen.sequences, generation))

    def _load(self) -> Seen:
        if self._sealing is None:
            return Seen()
        try:
            with StoreErrors():
                return decode(self._sealing.open(_PURPOSE, self._path.read_bytes()), Seen)
        except NotFoundError:
            return Seen()
        except CasError:
            _logger.warning("%s is damaged: what was seen before is not known", self._path)
            return Seen()

    def _save(self, seen: Seen) -> None:
        """Replace the file; after a power cut it may be the one before."""
        if self._sealing is None:
            return
        new = self._path.with_name(f"{SEEN_NAME}-{secrets.token_hex(8)}.new")
        with StoreErrors():
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._sealing.seal(_PURPOSE, msgspec.msgpack.encode(seen)))
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
            sync_directory(self._path.parent)
