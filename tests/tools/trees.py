"""Directory trees for import and export: how hypothesis makes them, and what they hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeAlias

from hypothesis import strategies as st

Node: TypeAlias = "tuple[str, object, int, int]"
"""Kind (`file`, `link`, `folder`), what it holds, mode, time in nanoseconds."""

_ODD = [
    "\n",
    " ",
    "\\",
    "*",
    "'",
    '"',
    "\t",
    "\x1b",
    "é",
    "e\u0301",
    "👩‍👩‍👧",
    "-",
    ".",
    "~",
    "a",
    "A",
]

_parts = st.sampled_from([*map(os.fsencode, _ODD), b"\xff", b"\xc3"])
names = st.lists(_parts, min_size=1, max_size=6).map(b"".join).filter(
    lambda name: name not in {b".", b".."}
) | st.sampled_from([b"x" * 255, b"CON", b"a:b", b"..."])
modes = st.sampled_from([0o644, 0o600, 0o755, 0o777, 0o444, 0o400, 0o1644, 0o711])
folder_modes = st.sampled_from([0o755, 0o700, 0o555, 0o1777, 0o2755])
times = st.integers(-(10**18), 4 * 10**18)
contents = st.binary(max_size=300) | st.integers(0, 400_000).map(bytes)

leaves = st.tuples(st.just("file"), contents, modes, times) | st.tuples(
    st.just("link"),
    st.sampled_from([b"a", b"/nowhere", b"../..", b"\xff", b"x" * 1000]),
    st.just(0o777),
    times,
)
trees = st.recursive(
    st.dictionaries(names, leaves, max_size=4),
    lambda below: st.dictionaries(
        names, leaves | st.tuples(st.just("folder"), below, folder_modes, times), max_size=4
    ),
    max_leaves=12,
)


def make_tree(top: Path, tree: dict[bytes, Node]) -> None:
    """Make the tree in a directory that is there."""
    for name, (kind, held, mode, time_ns) in tree.items():
        path = os.path.join(os.fsencode(top), name)  # noqa: PTH118 - bytes
        if kind == "folder":
            assert isinstance(held, dict)
            os.mkdir(path)  # noqa: PTH102 - bytes
            make_tree(Path(os.fsdecode(path)), held)
            os.chmod(path, mode)  # noqa: PTH101
            os.utime(path, ns=(time_ns, time_ns))
        elif kind == "link":
            assert isinstance(held, bytes)
            os.symlink(held, path)  # noqa: PTH211
            os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
        else:
            assert isinstance(held, bytes)
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(held)
            os.utime(path, ns=(time_ns, time_ns))
            os.chmod(path, mode)  # noqa: PTH101


def describe_tree(top: Path) -> dict[bytes, tuple[object, ...]]:
    """Return all that has to survive: by path, type and mode, time, content or target."""
    found: dict[bytes, tuple[object, ...]] = {}
    root = os.fsencode(top)
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files, b""]:
            path = os.path.join(folder, name) if name else folder  # noqa: PTH118
            status = os.lstat(path)
            held: object = None
            if stat.S_ISLNK(status.st_mode):
                held = os.readlink(path)  # noqa: PTH115
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123
                    held = file.read()
            relative = os.path.relpath(path, root)
            found[relative] = (status.st_mode, status.st_mtime_ns, held)
    return found
