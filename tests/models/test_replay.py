"""A replay makes anew all that the changes of a journal name, whatever one edit has done."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import cas
from tests.models.steps import Step, steps
from tests.models.tree_model import RefusedError, Tree

root_steps: st.SearchStrategy[Step] = st.builds(
    lambda text: (
        lambda _: None,
        lambda edit, _: edit.set_properties("", properties={"{x}y": text}),
    ),
    st.sampled_from(["1", "2"]),
)


@settings(max_examples=40)
@given(edits=st.lists(st.lists(st.one_of(steps, root_steps), max_size=6), max_size=3))
def test_nothing_that_changes_name_is_missing_after_a_crash_that_takes_the_catalog(
    edits: list[list[Step]],
) -> None:
    with tempfile.TemporaryDirectory(prefix="casdav-test-") as directory:
        source, crashed = Path(directory, "store"), Path(directory, "crashed")
        with cas.create(source) as repository:
            volume: cas.Volume = repository.create_volume("v")
            tree: Tree = {}
            for several in edits:
                tree = _apply(volume, tree, several)
            with volume.view() as view:
                root = view.root
            shutil.copytree(source, crashed)
        shutil.rmtree(crashed / "local" / "catalog")
        with cas.open(crashed) as repository:
            with repository.volume("v").view() as view:
                assert view.root == root
            repository.checkpoint()
            assert cas.check_repository(repository).is_sound


def _apply(volume: cas.Volume, tree: Tree, several: list[Step]) -> Tree:
    """Make one edit of the steps that the model allows; return what it makes of the tree."""
    with volume.edit() as edit:
        for foresee, act in several:
            expected = dict(tree)
            try:
                foresee(expected)
            except RefusedError:
                continue
            act(edit, volume)
            tree = expected
    return tree
