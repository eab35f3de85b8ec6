"""Which contents the steps of a plan need, as files to send and to fetch; large ones beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import cas
from syncd.committing import file_content
from syncd.following import RemoteTree
from syncd.plan import Action, Plan, Step
from syncd.ports import Ahead, Download, Observed, OutdatedError, Transfers, Upload
from syncd.setbacks import Setbacks
from syncd.texts import Texts
from syncd.trees import FOLDER, path_of


def is_content(step: Step) -> bool:
    """Whether a step puts a file whose content has to be on the other side."""
    return step.action is Action.PUT and step.item.kind is not cas.EntryKind.SYMLINK


class Contents:
    """The contents of one engine's steps.

    Args:
        transfers: move them.
        remote: what the server has.
        setbacks: of what could not be moved.
        texts: merged ones: they come from here.
    """

    def __init__(
        self, transfers: Transfers, remote: RemoteTree, setbacks: Setbacks, texts: Texts
    ) -> None:
        self._transfers = transfers
        self._remote = remote
        self._setbacks = setbacks
        self._texts = texts
        self.is_coming = False
        self.is_outdated = False

    def begin(self) -> None:
        """A turn begins."""
        self.is_coming = self.is_outdated = False

    def download(self, step: Step) -> Download:
        """Return what is to be fetched for a step on the disk."""
        path = os.fsencode(path_of(self._remote.tree, step.node))
        return Download(path, self._remote.sequence, step.item, step.path if step.old else "")

    def reader(self, steps: Sequence[Step]) -> Callable[[Step], Iterator[bytes]]:
        """Return what yields the content of each step that puts a file on the disk.

        It raises OutdatedError where the server has something newer, and `is_outdated` tells of it.
        """
        chosen = [step for step in steps if is_content(step)]
        texts = {step.node: self._texts.take(step.item) for step in chosen}
        coming = {step.node: self.download(step) for step in chosen if texts[step.node] is None}
        self._transfers.prepare(list(coming.values()))

        def read(step: Step) -> Iterator[bytes]:
            text = texts[step.node]
            if text is not None:
                yield text
                return
            try:
                yield from self._transfers.download(coming[step.node])
            except OutdatedError:
                self.is_outdated = True
                raise

        return read

    def upload(self, step: Step, plan: Plan, observed: Observed) -> Upload:
        """Return what is to be sent for a step on the server."""
        path = path_of(plan.merge.local, step.node)
        signature = observed.signatures.get(step.node)
        return Upload(path, step.item, signature, self.bases(step), self._remote.sequence)

    def bases(self, step: Step) -> list[bytes]:
        """Return the paths of files on the server that a step's file was made from."""
        if step.old is None or step.old == FOLDER or not file_content(step.old).id:
            return []
        return [os.fsencode(path_of(self._remote.tree, step.node))]

    def coming(self, steps: Sequence[Step], plan: Plan) -> set[int]:
        """Have the large files of steps on the disk fetched; return the nodes that have to wait."""
        chosen = [step for step in self._large(steps) if not self._texts.has(step.item)]
        kept = {step.item.content for step in plan.local if is_content(step)}
        ahead = self._transfers.fetch_ahead([self.download(step) for step in chosen], kept)
        return self._take(chosen, ahead)

    def going(self, steps: Sequence[Step], plan: Plan, observed: Observed) -> set[int]:
        """Have the large files of steps on the server sent; return the nodes that have to wait."""
        chosen = self._large(steps)
        files = [self.upload(step, plan, observed) for step in chosen]
        return self._take(chosen, self._transfers.send_ahead(files))

    def bytes_left(self, steps: Sequence[Step]) -> int:
        """Return the bytes of files that steps put, but for those that are dealt with already."""
        items = [step.item for step in steps if is_content(step)]
        return sum(max(item.size - self._transfers.done(item), 0) for item in items)

    def _large(self, steps: Sequence[Step]) -> list[Step]:
        return [step for step in steps if is_content(step) and self._transfers.is_large(step.item)]

    def _take(self, steps: list[Step], ahead: Ahead) -> set[int]:
        for index, reason in ahead.failed.items():
            self._setbacks.add(steps[index].path, reason)
        self.is_coming = self.is_coming or bool(ahead.coming)
        self.is_outdated = self.is_outdated or ahead.is_outdated
        return {steps[index].node for index in (*ahead.coming, *ahead.failed)}
