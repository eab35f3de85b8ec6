"""The steps of the protocol whose states `protocol_states` has, and the search through them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.models.protocol_states import (
    LAST_EPOCH,
    REFS,
    RULES,
    Collector,
    Gateway,
    Pack,
    Ref,
    RefState,
    Rules,
    State,
    Step,
    Writer,
)


def put(values: tuple, index: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:index], value, *values[index + 1 :])


def steps(state: State, rules: Rules) -> Iterator[State]:
    """Yield every state that can follow."""
    for after in _moves(state, rules):
        if after.is_held and not all(c.was_held for c in after.collectors):
            held = tuple(c._replace(was_held=c.step > Step.NONE) for c in after.collectors)
            yield after._replace(collectors=held)
        else:
            yield after


def _moves(state: State, rules: Rules) -> Iterator[State]:
    yield from _removals(state)
    for index in range(len(state.gateways)):
        yield from _learning(state, index)
    for index in range(len(state.writers)):
        yield from _writer(state, index, rules)
    for index in range(len(state.collectors)):
        yield from _collector(state, index, rules)


def _changed(state: State, number: int, ref: Ref, rules: Rules) -> State:
    """A ref moves: whoever had read it is too late."""
    writers = state.writers
    if "a ref moves only from the state that was read" in rules:
        writers = tuple(w._replace(is_current=False) if w.ref == number else w for w in writers)
    return state._replace(refs=put(state.refs, number, ref), writers=writers)


def _removals(state: State) -> Iterator[State]:
    for number in REFS:
        ref = state.refs[number]
        if ref.holds:
            after = _changed(state, number, ref._replace(holds=False), frozenset(RULES))
            yield after._replace(past=True, dropped=False)


def _learning(state: State, index: int) -> Iterator[State]:
    """A gateway lists packs; what it knows to be unfit is no better place than another."""
    gateway = state.gateways[index]
    for slot in range(len(state.packs)):
        if state.packs[slot] is not Pack.THERE or slot == gateway.place:
            continue
        if slot in gateway.unfit and gateway.place >= 0:
            continue
        yield state._replace(gateways=put(state.gateways, index, gateway._replace(place=slot)))


def _adopted(state: State, index: int, rules: Rules) -> State:
    """A gateway learns of the newest epoch."""
    gateway = state.gateways[index]
    gone = frozenset(
        slot
        for slot in range(len(state.packs))
        if state.packs[slot] is Pack.GONE and slot not in state.condemned
    )
    unfit = gateway.unfit | state.condemned
    place = gateway.place
    if "removed packs are forgotten with the epoch" in rules:
        unfit |= gone
        place = -1 if place in gone else place
    knows = gateway.knows_dropped
    if "who knows an epoch knows what retention had dropped before" in rules:
        knows = state.dropped
    after = Gateway(state.number, unfit, place, knows)
    return state._replace(gateways=put(state.gateways, index, after))


def _writer(state: State, index: int, rules: Rules) -> Iterator[State]:
    writer, gateway = state.writers[index], state.gateways[index]
    if writer == Writer():
        yield from _beginning(state, index, rules)
        return
    yield _with(state, index, Writer())  # gives up, or dies
    if writer.ref >= 0:
        yield from _moving(state, index, rules)
        return
    for number in REFS:
        ref = state.refs[number]
        if ref.state is RefState.NONE:
            yield _changed(state, number, Ref(RefState.MADE), rules)
            continue
        after = state
        is_first = ref.state is RefState.MADE
        if (
            is_first and "the first commit to a ref knows the epoch after it was made" in rules
        ) or (ref.min_epoch > gateway.epoch and "whoever moves a ref knows its epoch" in rules):
            after = _adopted(after, index, rules)
        known = after.gateways[index]
        again = "what was found is looked at again in that epoch" in rules
        old = "what an older epoch's view showed is not put" in rules
        if writer.pack in known.unfit and again:
            yield _with(after, index, Writer())
            yield from _rescued(after, index)
        elif writer.seen not in {-1, known.epoch} and old:
            yield _with(after, index, Writer())
        else:
            read = writer._replace(ref=number, epoch=known.epoch, is_current=True)
            yield _with(after, index, read)


def _rescued(state: State, index: int) -> Iterator[State]:
    """What a writer leans on is looked up again: found elsewhere, or copied while it is there."""
    writer, gateway = state.writers[index], state.gateways[index]
    if gateway.place >= 0 and gateway.place not in gateway.unfit:
        yield _with(state, index, Writer(pack=gateway.place))
    elif state.packs[writer.pack] is Pack.THERE and Pack.ABSENT in state.packs:
        slot = state.packs.index(Pack.ABSENT)
        stored = state._replace(
            packs=put(state.packs, slot, Pack.THERE),
            gateways=put(state.gateways, index, gateway._replace(place=slot)),
        )
        yield _with(stored, index, Writer(pack=slot))


def _beginning(state: State, index: int, rules: Rules) -> Iterator[State]:
    gateway = state.gateways[index]
    is_fit = gateway.place not in gateway.unfit
    if gateway.place >= 0 and (is_fit or "a hit in a condemned pack is a miss" not in rules):
        yield _with(state, index, Writer(pack=gateway.place))
    else:
        for slot in range(len(state.packs)):
            if state.packs[slot] is Pack.ABSENT:
                stored = state._replace(
                    packs=put(state.packs, slot, Pack.THERE),
                    gateways=put(state.gateways, index, gateway._replace(place=slot)),
                )
                yield _with(stored, index, Writer(pack=slot))
                break
    if state.is_held or (state.past and not gateway.knows_dropped):
        yield _with(state, index, Writer(seen=gateway.epoch))


def _moving(state: State, index: int, rules: Rules) -> Iterator[State]:
    writer = state.writers[index]
    if not writer.is_current:
        yield _with(state, index, writer._replace(ref=-1, epoch=0))
        return
    ref = state.refs[writer.ref]
    min_epoch = ref.min_epoch
    if "a commit hands its epoch on" in rules:
        min_epoch = max(min_epoch, writer.epoch)
    moved = _changed(state, writer.ref, Ref(RefState.OPEN, True, min_epoch), rules)
    yield _with(moved, index, Writer())
    lost = writer._replace(ref=-1, epoch=0, is_current=False)
    yield _with(moved, index, lost)  # the answer was lost: it is tried again


def _with(state: State, index: int, writer: Writer) -> State:
    return state._replace(writers=put(state.writers, index, writer))


def _collector(state: State, index: int, rules: Rules) -> Iterator[State]:
    """A collection, on the gateway of the same number."""
    own = state.collectors[index]
    if own.step is not Step.NONE:
        yield _collecting(state, index, Collector())  # dies
    yield from _COLLECTING[own.step](state, index, rules)


def _begins_fencing(state: State, index: int, rules: Rules) -> Iterator[State]:
    own = state.collectors[index]
    if "that is done after the fences, not before" not in rules:
        state = _marked_again(state, index, rules)
        own = state.collectors[index]
    listed = tuple(n for n in REFS if state.refs[n].state is not RefState.NONE)
    if "refs are fenced" not in rules:
        listed = ()
    yield _collecting(state, index, own._replace(step=Step.FENCING, listed=listed))


def _fences(state: State, index: int, rules: Rules) -> Iterator[State]:
    own = state.collectors[index]
    if not own.listed:
        yield from _looks_again(state, index, rules)
        return
    number = own.listed[0]
    ref = state.refs[number]
    if ref.min_epoch < own.number:
        state = _changed(state, number, ref._replace(min_epoch=own.number), rules)
    yield _collecting(state, index, own._replace(listed=own.listed[1:]))


def _looks_again(state: State, index: int, rules: Rules) -> Iterator[State]:
    if "that is done after the fences, not before" in rules:
        state = _marked_again(state, index, rules)
    own = state.collectors[index]
    yield _collecting(state, index, own._replace(step=Step.MARKED_AGAIN))


def _marked_again(state: State, index: int, rules: Rules) -> State:
    own = state.collectors[index]
    is_live = own.is_live
    if "what came meanwhile is marked too" in rules:
        counts_all = "all that was named since the first look counts" in rules
        is_live |= own.was_held if counts_all else state.is_held
    after = _collecting(state, index, own._replace(is_live=is_live))
    return _located(after, index) if is_live else after


def _located(state: State, index: int) -> State:
    """What is marked is looked for where no place is known, in packs that are fit rather."""
    gateway = state.gateways[index]
    if gateway.place >= 0:
        return state
    there = [slot for slot in range(len(state.packs)) if state.packs[slot] is Pack.THERE]
    there.sort(key=lambda slot: slot in gateway.unfit)
    place = there[0] if there else -1
    return state._replace(gateways=put(state.gateways, index, gateway._replace(place=place)))


def _checks(state: State, index: int, rules: Rules) -> Iterator[State]:
    own = state.collectors[index]
    checks = "nothing is deleted where another collection has deleted" in rules
    if checks and any(state.packs[slot] is not Pack.THERE for slot in own.chosen):
        yield _collecting(state, index, Collector())
    else:
        yield _collecting(state, index, own._replace(step=Step.DELETING))


def _marked(state: State, index: int, rules: Rules) -> Iterator[State]:
    """Retention may drop the past; what others have removed is forgotten first."""
    if state.number == LAST_EPOCH:
        return
    state = _adopted(state, index, rules)
    gateway = state.gateways[index]
    if gateway.place >= 0 and state.packs[gateway.place] is Pack.GONE:
        gateway = gateway._replace(place=-1)
    state = _located(state._replace(gateways=put(state.gateways, index, gateway)), index)
    for drops in (False, True):
        is_dropped = state.dropped or (drops and state.past and not state.is_held)
        is_live = state.is_held or (state.past and not is_dropped)
        after = state._replace(
            past=state.past and not is_dropped,
            dropped=is_dropped,
        )
        own = Collector(Step.MARKED, is_live, state.is_held, started=state.condemned)
        yield _collecting(after, index, own)


def _condemned(state: State, index: int, rules: Rules) -> Iterator[State]:
    """Condemn what is dead, or all: also what is to be written anew."""
    own, gateway = state.collectors[index], state.gateways[index]
    guards = "nothing is condemned beside what another collection condemned meanwhile" in rules
    if state.number == LAST_EPOCH or (guards and state.condemned != own.started):
        yield _collecting(state, index, Collector())
        return
    there = frozenset(slot for slot in range(len(state.packs)) if state.packs[slot] is Pack.THERE)
    dead = there - {gateway.place} if own.is_live else there
    for some in {dead, there}:
        chosen = (some | own.started) & there
        after = state._replace(number=state.number + 1, condemned=state.condemned | chosen)
        if "a condemned pack stays condemned until it is gone" not in rules:
            after = after._replace(condemned=chosen)
        after = _adopted(after, index, rules)
        number = after.number
        yield _collecting(
            after, index, own._replace(step=Step.CONDEMNED, number=number, chosen=chosen)
        )


def _copied(state: State, index: int, rules: Rules) -> Iterator[State]:
    own, gateway = state.collectors[index], state.gateways[index]
    done = own._replace(step=Step.COPIED)
    copies = "what is live in a condemned pack is copied" in rules
    if not own.is_live or gateway.place not in own.chosen or not copies:
        yield _collecting(state, index, done)
        return
    if state.packs[gateway.place] is not Pack.THERE:
        yield _collecting(state, index, Collector())
        return
    for slot in range(len(state.packs)):
        if state.packs[slot] is Pack.ABSENT:
            after = state._replace(
                packs=put(state.packs, slot, Pack.THERE),
                gateways=put(state.gateways, index, gateway._replace(place=slot)),
            )
            yield _collecting(after, index, done)
            break


def _deleted(state: State, index: int, _: Rules) -> Iterator[State]:
    own = state.collectors[index]
    there = [slot for slot in own.chosen if state.packs[slot] is Pack.THERE]
    if there:
        yield state._replace(packs=put(state.packs, there[0], Pack.GONE))
        return
    after = state._replace(condemned=state.condemned - own.chosen)
    yield _collecting(after, index, Collector())


def _collecting(state: State, index: int, own: Collector) -> State:
    return state._replace(collectors=put(state.collectors, index, own))


_COLLECTING: Final = {
    Step.NONE: _marked,
    Step.MARKED: _condemned,
    Step.CONDEMNED: _begins_fencing,
    Step.FENCING: _fences,
    Step.MARKED_AGAIN: _copied,
    Step.COPIED: _checks,
    Step.DELETING: _deleted,
}


def start(packs: int, gateways: int, writers: int, collectors: int) -> State:
    return State(
        packs=(Pack.ABSENT,) * packs,
        gateways=(Gateway(),) * gateways,
        writers=(Writer(),) * writers,
        collectors=(Collector(),) * collectors,
    )


def lost(first: State, rules: Rules, limit: int = 10_000_000) -> tuple[State | None, int]:
    """Return a state in which the content is lost, if one can be reached, and how many are."""
    seen = {first}
    waiting = [first]
    while waiting and len(seen) < limit:
        following = []
        for state in waiting:
            for after in steps(state, rules):
                if after.is_lost:
                    return after, len(seen)
                if after not in seen:
                    seen.add(after)
                    following.append(after)
        waiting = following
    return None, len(seen)
