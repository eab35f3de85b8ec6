"""The steps that edits are made of: what the model expects of each, and how it is done."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

import cas
from tests.models import tree_model as model
from tests.models.tree_model import Path, Tree
from tests.support.corpus import seeded_bytes

names = st.sampled_from(["a", "b", "c", "ä €"])
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
contents = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.builds(seeded_bytes, st.integers(0, 3), st.sampled_from([5_000, 300_000])),
    st.builds(bytes, st.sampled_from([70_000, 900_000])),
)
dead_properties = st.dictionaries(
    st.sampled_from(["{DAV:}x", "{urn:y}z"]), st.sampled_from(["", "<v/>", "long " * 300])
)

Step = tuple[Callable[[Tree], None], Callable[[cas.Edit, cas.Volume], None]]


def _put(path: Path, data: bytes) -> Step:
    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        upload = volume.upload()
        for start in range(0, len(data), 100_000):
            upload.write(data[start : start + 100_000])
        edit.put(model.text(path), upload)

    return lambda tree: model.put(tree, path, data), act


def _make_directory(path: Path, parents: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.make_directory(tree, path, parents=parents),
        lambda edit, _: edit.make_directory(model.text(path), parents=parents),
    )


def _make_symlink(path: Path, target: str) -> Step:
    return (
        lambda tree: model.make_symlink(tree, path, target),
        lambda edit, _: edit.make_symlink(model.text(path), target),
    )


def _remove(path: Path) -> Step:
    return (
        lambda tree: model.remove(tree, path),
        lambda edit, _: edit.remove(model.text(path)),
    )


def _move(source: Path, path: Path, overwrite: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.move(tree, source, path, overwrite=overwrite),
        lambda edit, _: edit.move(model.text(source), model.text(path), overwrite=overwrite),
    )


def _copy(source: Path, path: Path, overwrite: bool, recursive: bool) -> Step:  # noqa: FBT001
    return (
        lambda tree: model.copy(tree, source, path, overwrite=overwrite, recursive=recursive),
        lambda edit, _: edit.copy(
            model.text(source), model.text(path), overwrite=overwrite, recursive=recursive
        ),
    )


def _set_properties(path: Path, properties: dict[str, str]) -> Step:
    return (
        lambda tree: model.set_properties(tree, path, properties),
        lambda edit, _: edit.set_properties(model.text(path), properties=properties),
    )


def _put_many(path: Path, count: int, step: int) -> Step:
    """Make a folder with enough names that its tree splits, and change some of them."""

    def expect(tree: Tree) -> None:
        model.make_directory(tree, path, parents=True)
        for number in range(0, count, step):
            model.put(tree, (*path, f"n{number:03}"), b"%d" % (number + step))

    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        edit.make_directory(model.text(path), parents=True)
        for number in range(0, count, step):
            upload = volume.upload()
            upload.write(b"%d" % (number + step))
            edit.put(f"{model.text(path)}/n{number:03}", upload)

    return expect, act


def _put_folder(path: Path, count: int, data: bytes) -> Step:
    """Make a folder aside, with enough names that its tree splits and folders within it."""
    members: Tree = {("in",): model.FOLDER, ("in", "link"): model.Node("link", b"../a")}
    for number in range(count):
        members[f"n{number:03}",] = members["in", f"n{number:03}"] = model.Node("file", data)

    def act(edit: cas.Edit, volume: cas.Volume) -> None:
        folder = volume.folder()
        within = folder.folder()
        stored = volume.store([data])
        folder.rely_on(stored)
        within.put_symlink("link", "../a", mtime_ns=1)
        for number in range(count):
            for each in (folder, within):
                each.put(f"n{number:03}", stored.contents[0], mtime_ns=1, mode=0o600)
            if number == count // 2:
                folder.put_folder("in", within, mtime_ns=1, mode=0o700)
        folder.put_folder("in", within, mtime_ns=1, mode=0o700)
        edit.put_folder(model.text(path), folder, mtime_ns=1)

    return lambda tree: model.put_folder(tree, path, members), act


steps = st.one_of(
    st.builds(_put, paths, contents),
    st.builds(_put, paths, contents),
    st.builds(_make_directory, paths, st.booleans()),
    st.builds(_make_directory, paths, st.just(value=True)),
    st.builds(_make_symlink, paths, st.sampled_from(["../a", "nowhere"])),
    st.builds(_remove, paths),
    st.builds(_move, paths, paths, st.booleans()),
    st.builds(_copy, paths, paths, st.booleans(), st.booleans()),
    st.builds(_set_properties, paths, dead_properties),
    st.builds(_put_folder, paths, st.sampled_from([0, 3, 150]), contents),
    st.builds(_put_many, paths, st.sampled_from([40, 150]), st.sampled_from([1, 7])),
)
