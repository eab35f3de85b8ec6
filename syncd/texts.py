"""Texts that both sides have changed: fetched, merged, and kept until they are on the disk."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import cas
from syncd.disk.items import Item
from syncd.following import RemoteTree
from syncd.merging import TEXT_LIMIT, merge_texts
from syncd.plan import MergeKey, TextMerge
from syncd.ports import Download, Observed, OutdatedError, Transfers, Upload
from syncd.trees import path_of

_KEPT_LIMIT: Final = 64 * TEXT_LIMIT
"""Bytes of merged texts that are kept at a time; what would be more becomes a conflict copy."""


class Texts:
    """The merged texts of one engine.

    Args:
        transfers: fetch, read and identify contents.
        remote: what the server has, and had.

    Attributes:
        merged: what came of which texts, None where they do not go together; for `Rules`.
    """

    def __init__(self, transfers: Transfers, remote: RemoteTree) -> None:
        self._transfers = transfers
        self._remote = remote
        self._contents: dict[bytes, bytes] = {}
        self.merged: dict[MergeKey, Item | None] = {}

    def merge(self, texts: Iterable[TextMerge], observed: Observed) -> None:
        """Merge texts, as far as their contents can be had.

        Raises:
            OutdatedError: the server has something newer than one of them.
            RemoteError: the server cannot be had.
        """
        for text in texts:
            with suppress(OSError):  # It is being changed here: what is planned now fails.
                self._merge(text, observed)

    def has(self, item: Item) -> bool:
        """Whether a content is one that was merged here."""
        return item.content in self._contents

    def take(self, item: Item) -> bytes | None:
        """Return a merged text that is to be on the disk now; None of any other content."""
        content = self._contents.pop(item.content, None)
        if content is not None:  # Where that fails it is merged anew.
            self.merged = {key: made for key, made in self.merged.items() if made != item}
        return content

    def _merge(self, text: TextMerge, observed: Observed) -> None:
        key = MergeKey(text.node, text.local.content, text.remote.content)
        self.merged[key] = None
        contents = self._fetch(text, observed)
        merged = merge_texts(*contents) if contents is not None else None
        if merged is None:
            return
        if sum(map(len, self._contents.values())) + len(merged) > _KEPT_LIMIT:
            return
        item = self._transfers.identify(merged)
        latest_ns = max(text.local.mtime_ns, text.remote.mtime_ns)
        self.merged[key] = dataclasses.replace(item, mtime_ns=latest_ns)
        self._contents[item.content] = merged

    def _fetch(self, text: TextMerge, observed: Observed) -> tuple[bytes, bytes, bytes] | None:
        agreed = self._remote.agreed(text.node)
        items = text.base, text.local, text.remote
        if agreed is None or any(item.size > TEXT_LIMIT for item in items):
            return None
        if any(item.kind is cas.EntryKind.SYMLINK for item in items):
            return None
        try:
            base = self._download(Download(*agreed, text.base, ""))
        except OutdatedError:
            return None  # The server does not keep it any more.
        path = os.fsencode(path_of(self._remote.tree, text.node))
        remote = self._download(Download(path, self._remote.sequence, text.remote, ""))
        signature = observed.signatures.get(text.node)
        file = Upload(path_of(observed.tree, text.node), text.local, signature, [], 0)
        return base, self._transfers.read(file), remote

    def _download(self, file: Download) -> bytes:
        self._transfers.prepare([file])
        return b"".join(self._transfers.download(file))
