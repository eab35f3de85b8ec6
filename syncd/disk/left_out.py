"""Which paths of a linked folder are not looked at, and which folders are not watched.

What is ignored, or not wanted on this device, is as good as not there, unless it is in the base:
what was synced before it was ignored stays so, and so does what is on the server all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from syncd.disk.linked import Linked
from syncd.disk.walk import Kind, list_folder
from syncd.trees import find


class LeftOut:
    """What is left out of one linked folder. `is_watched` is called by another thread.

    Args:
        linked: the open folder.
        skipped: returns the folders that are not wanted on this device.
        device_rules: patterns of this device alone.
    """

    def __init__(
        self, linked: Linked, skipped: Callable[[], Iterable[str]], device_rules: Iterable[str]
    ) -> None:
        self._linked = linked
        self._skipped = skipped
        self._device_rules = list(device_rules)
        self._leftovers = linked.state.leftovers()
        self._expected: tuple[str, ...] = ()
        self.read_patterns()

    def read_patterns(self) -> bool:
        """Take the patterns that hold now; return whether they are others than before."""
        return self._linked.read_ignored(self._device_rules)

    def has(self, path: str, is_folder: bool) -> bool:  # noqa: FBT001 - as it is called
        """Tell whether a path that is not in the base is ignored, or not wanted here."""
        if path in self._skipped():
            return True
        if self._linked.ignored.matches(path, is_folder=is_folder):
            return True
        if path not in self._leftovers:
            return False
        if is_folder and self._holds_only_ignored(path):
            return True
        self._leftovers.discard(path)
        self._linked.state.set_leftover(path, is_one=False)
        return False

    def is_watched(self, path: str) -> bool:
        """Tell whether hints are wanted of what is in a folder. Thread-safe."""
        if path in self._skipped():
            return False
        if not self._linked.ignored.matches(path, is_folder=True):
            return True
        return self._is_expected(path) or find(self._linked.state.base, path) is not None

    def expect_folder(self, path: str) -> None:
        """A folder is to come from the server: ignored or not, it is watched once it is there.

        The watcher sees it before the base has it.
        """
        is_ignored = self._linked.ignored.matches(path, is_folder=True)
        if is_ignored and not self._is_expected(path):
            self._expected = (*self._expected, path)

    def _is_expected(self, path: str) -> bool:
        return any(path == one or path.startswith(f"{one}/") for one in self._expected)

    def is_leftover(self, path: str) -> bool:
        """Tell whether a folder that was to go stays because of what is ignored in it alone.

        Then it is left out from now on.
        """
        if not self._holds_only_ignored(path):
            return False
        self._leftovers.add(path)
        self._linked.state.set_leftover(path, is_one=True)
        return True

    def _holds_only_ignored(self, path: str) -> bool:
        ignored = self._linked.ignored
        with suppress(OSError):
            return all(
                ignored.matches(f"{path}/{name}", is_folder=seen.kind is Kind.FOLDER)
                for name, seen in list_folder(self._linked.folder, path).items()
            )
        return False
