"""The store of a gateway that keeps its newest data on its own disk, and the bucket behind it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cas.disk import StoreErrors
from cas.errors import StoreError
from cas.stores.base import BlobStore, Token
from cas.stores.names import CONFIG_NAME
from cas.stores.ownership import Writer, claim, gateway_id, write
from cas.stores.staged import StagedStore
from cas.stores.uploading import Uploader, fetch_refs, remember

CLAIMED: Final = "claimed"
"""Is there once this machine has become the one that writes."""


class GatewayStore(StagedStore):
    """A StagedStore of a bucket that this gateway alone writes to, and that it uploads."""

    def __init__(self, remote: BlobStore, root: Path, *limits: int) -> None:
        """As `StagedStore`."""
        super().__init__(remote, root, *limits)
        self._gateway = gateway_id(root)
        self._uploader: Uploader | None = None

    def _settle(self) -> None:
        """Begin with an empty directory of this machine."""
        self.cache.close()
        super().__init__(self.remote, self.root, *self.limits)
        self._gateway = gateway_id(self.root)

    def begin(self) -> None:
        """Become the one who writes to the bucket, and begin to upload what waits.

        Without the bucket a gateway that was the one before goes on, and asks later.

        Raises:
            LockedError: another gateway is.
            StoreError: the bucket cannot be reached, and this gateway never was.
        """
        claimed = self.root / CLAIMED
        if not claimed.exists():
            claim(self.remote, self._gateway, datetime.now(UTC).isoformat(timespec="seconds"))
            remember(self, CONFIG_NAME, self.remote.read(CONFIG_NAME)[0])
            fetch_refs(self)
            with StoreErrors():
                claimed.touch()
        else:
            self._confirm()  # it may have been taken over meanwhile
        self._uploader = Uploader(self, self._gateway)
        self._uploader.start()

    def is_named(self, writer: Writer) -> bool:
        """Whether the bucket's record names this gateway."""
        return writer.id == self._gateway

    def take_over(self, expected: Token | None) -> Path | None:
        """Become the one who writes, in place of the one whose record has this token.

        What this machine has of an earlier time is moved aside, to the directory that is returned.

        Raises:
            ConflictError: another was faster.
        """
        aside = None
        if (self.root / CLAIMED).exists():
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            aside = self.root.with_name(f"{self.root.name}-until-{stamp}")
            with StoreErrors():
                self.root.rename(aside)
            self._settle()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write(self.remote, self._gateway, now, expected)
        return aside

    def close(self) -> None:
        """Upload what waits if the bucket can be reached, then let go of it."""
        if self._uploader is not None:
            self._uploader.stop()
        super().close()

    def _confirm(self) -> None:
        try:
            claim(self.remote, self._gateway, "")
            seen = self.config_seen  # with it the repository was opened
            remember(self, CONFIG_NAME, seen or self.remote.read(CONFIG_NAME)[0])
        except StoreError as error:
            if not error.transient:
                raise
