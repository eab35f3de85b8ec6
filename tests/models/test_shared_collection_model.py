"""The protocol of a collection over several gateways, explored whole in small; more in the soak."""

from __future__ import annotations

from typing import Final

import pytest

from tests.models.protocol_states import RULES
from tests.models.protocol_steps import lost, start

SEEN_BY_ONE: Final = (
    "what was found is looked at again in that epoch",
    "what an older epoch's view showed is not put",
    "refs are fenced",
    "a ref moves only from the state that was read",
)
"""Rules that one gateway with one writer and one collection needs, as a short search shows."""


@pytest.mark.parametrize("rule", SEEN_BY_ONE)
def test_each_rule_is_needed(rule: str) -> None:
    state, _ = lost(start(2, 1, 1, 1), frozenset(RULES) - {rule}, 100_000)
    assert state is not None


@pytest.mark.soak
@pytest.mark.parametrize("actors", [(2, 1, 1, 1), (2, 2, 1, 1), (2, 2, 2, 1), (3, 2, 1, 2)])
def test_no_order_of_steps_loses_what_is_named(actors: tuple[int, int, int, int]) -> None:
    state, count = lost(start(*actors), frozenset(RULES))
    assert state is None
    assert count > 1000
