"""The engine: one thread that looks, plans and carries out, and holds nothing that could be lost.

What is to be done always follows from three trees: the base, which is kept; the disk, which is
looked at; the server, which is asked. So a turn may end anywhere, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from typing import Final

from cas import wire
from syncd.agreement import Agreement, carry_out
from syncd.committing import PATHS_AT_ONCE, batches, slices
from syncd.contents import Contents, is_content
from syncd.disk.signatures import Signature
from syncd.following import RemoteTree
from syncd.manner import BLOCKED, Manner
from syncd.numbering import last_node
from syncd.outbox import Outbox, RefusedStepsError
from syncd.pairing import pair
from syncd.plan import Action, Plan, Step
from syncd.ports import (
    Clock,
    Disk,
    Done,
    Observed,
    OutdatedError,
    Report,
    Server,
    State,
    StoppedError,
    Transfers,
)
from syncd.reasons import is_no_room, words
from syncd.reconcile import make_plan
from syncd.remote.errors import ConflictError, NoRoomError
from syncd.setbacks import Setbacks
from syncd.texts import Texts
from syncd.trees import FOLDER, NodeIds, Overlay, below

PATIENCE_S: Final = 1.0
"""How long a turn lasts before news of the server breaks it off: planning has its cost too."""
VANISHED_FILES: Final = 100
"""With more files gone at once than this, and more than half of all, the user is asked."""


class Turn(Enum):
    """How a turn ended."""

    IN_SYNC = "everything is in sync"
    WAITING = "what is left has to wait: problems, or files that are being written"
    MOVING = "large files are on their way, or being read"
    FULL = "there is no room, here or on the server; what needs none goes on"
    AGAIN = "there is more to do at once"


class Engine:
    """Keeps a folder and a place of a server in sync. One thread, that calls `turn`.

    Args:
        place: of the server.
        manner: how.
        state, disk, server, transfers, report, clock: the world.
    """

    def __init__(
        self,
        place: wire.Place,
        manner: Manner,
        state: State,
        disk: Disk,
        server: Server,
        transfers: Transfers,
        report: Report,
        clock: Clock,
        ids: NodeIds | None = None,
    ) -> None:
        self._manner = manner
        self._state = state
        self._disk = disk
        self._server = server
        self._transfers = transfers
        self._report = report
        self._clock = clock
        self._ids = ids or NodeIds(last_node(state.base, state))
        self._remote = RemoteTree(place, state, self._ids, manner.merges)
        self._agreement = Agreement(state.base)
        self._outbox = Outbox(place, manner.device, state, server)
        self._setbacks = Setbacks(clock.monotonic)
        self._texts = Texts(transfers, self._remote)
        self._contents = Contents(transfers, self._remote, self._setbacks, self._texts)
        self._has_news = True
        self._is_new = True
        self._may_delete = False
        self._began_s = 0.0

    @property
    def sequence(self) -> int:
        """The newest state of the server that is known."""
        return self._remote.sequence

    def hint(self, sequence: int) -> None:
        """The server has said that it has a newer state; any thread may call this."""
        if sequence > self._remote.sequence:
            self._has_news = True

    def ask_server(self) -> None:
        """Ask the server for news in the next turn, as after a time without hints."""
        self._has_news = True

    def accept_deletions(self) -> None:
        """The user has said that so many files are gone on purpose."""
        self._may_delete = True

    def next_try_s(self) -> float | None:
        """Return when something that failed is to be tried again, by the monotonic clock."""
        return self._setbacks.next_s()

    def lack_of_room(self) -> str:
        """Return where there is no room, in words; empty where that was no reason to wait."""
        return next(filter(is_no_room, self._setbacks.reasons().values()), "")

    # One turn.

    def turn(self) -> Turn:
        """Look, plan, and do what can be done.

        Raises:
            RemoteError: the server cannot be had now; nothing else is wrong.
            StoppedError: the folder is not as it should be, and nothing may be done to it.
        """
        if self._is_new:
            self._recognise()
            self._is_new = False
        self._resume()
        if self._has_news:
            self._has_news = False
            try:
                self._follow()
            except BaseException:
                self._has_news = True
                raise
        self._contents.begin()
        self._began_s = self._clock.monotonic()
        observed = self._disk.look()
        self._require_sanity(observed)
        try:
            plan = self._plan(observed)
        except OutdatedError:
            self._has_news = True
            return Turn.AGAIN
        if plan.merge.kept and self._part_with(plan.merge.kept):
            return Turn.AGAIN
        self._setbacks.keep({step.path for step in (*plan.local, *plan.remote)})
        self._settle_equal(plan, observed)
        problems = dict(observed.problems)
        is_done = self._carry_out(plan, observed)
        self._save()
        problems.update(self._setbacks.reasons())
        self._report.problems(problems)
        self._has_news = self._has_news or self._contents.is_outdated
        if not is_done or self._has_news:
            return Turn.AGAIN
        if any(map(is_no_room, problems.values())):
            return Turn.FULL
        if self._contents.is_coming or observed.is_reading:
            return Turn.MOVING
        return Turn.WAITING if problems or observed.unread or self._setbacks else Turn.IN_SYNC

    def _recognise(self) -> None:
        """Let the base have what a killed process did here and could not write down any more.

        That is the same as what is known of the server, until there are news of it: what others
        have changed since would look like something that is new here.
        """
        if self._remote.tree:
            observed = self._disk.look()
            pair(self._state.base, observed.tree, self._remote.tree)
            observed.renumber()
            nodes = {*observed.tree.changed(), *self._remote.tree.changed()}
            self._agree(nodes, observed.tree, observed.signatures)
            self._save()

    def _resume(self) -> None:
        """See to it that a commit without an answer is answered before anything is planned."""
        if self._outbox.is_waiting:
            with suppress(ConflictError, RefusedStepsError):
                self._outbox.send_again()
            self._has_news = True

    def _follow(self) -> None:
        mine = self._remote.update(self._server, self._outbox.nodes_of)
        tree = self._remote.tree
        gone = [node for node, _ in mine if tree.get(node) is None]
        with self._state.transaction():
            # What this device has committed was on its disk then, whatever is there by now.
            self._agreement.agree_as(mine, tree)
            for node in gone:
                if self._state.base.get(node) is not None:
                    tree.remove(node)  # Only now there is something that it is gone from.
            for node, _ in mine:
                tree.settle(node)
            self._remote.save()
            self._outbox.forget()

    def _save(self) -> None:
        with self._state.transaction():
            self._remote.save()

    def _require_sanity(self, observed: Observed) -> None:
        if observed.vanished <= VANISHED_FILES or self._may_delete:
            self._may_delete = self._may_delete and observed.vanished > 0
            return
        files, _ = self._state.base.count()
        if observed.vanished * 2 > files:
            raise StoppedError(f"{observed.vanished} of {files} files are gone at once")

    def _plan(self, observed: Observed) -> Plan:
        now_ns = self._clock.now_ns()
        rules = self._manner.rules(now_ns, self._texts.merged)
        trees = self._state.base, observed.tree, self._remote.tree
        plan = make_plan(*trees, rules, self._ids)
        observed.renumber()
        if not plan.merge.texts:
            return plan
        self._texts.merge(plan.merge.texts, observed)
        rules = self._manner.rules(now_ns, self._texts.merged)
        plan = make_plan(*trees, rules, self._ids)
        observed.renumber()
        return plan

    def _part_with(self, kept: list[int]) -> bool:
        with self._state.transaction():
            has_parted = self._agreement.part_with(kept, self._remote.tree)
            self._remote.save()
        return has_parted

    def _settle_equal(self, plan: Plan, observed: Observed) -> None:
        """Let the base have what is the same on both sides already."""
        nodes = {*observed.tree.changed(), *self._remote.tree.changed()}
        with self._state.transaction():
            self._agree(nodes, plan.merge.local, observed.signatures)
            self._remote.save()  # Planning may have given nodes other numbers.

    def _agree(
        self, nodes: Iterable[int], local: Overlay, signatures: dict[int, Signature]
    ) -> None:
        nodes = set(nodes)
        if not nodes:
            return
        with self._state.transaction():
            rest = self._agreement.agree(nodes, local, self._remote.tree, signatures)
            for node in nodes - rest:
                self._remote.tree.settle(node)
        # What is written down of the server says the same over this base, in more words.

    def _carry_out(self, plan: Plan, observed: Observed) -> bool:
        """Do what can be done; return whether nothing but what failed is left."""
        self._tell_what_is_left(plan)
        is_done = True
        if self._manner.takes:
            is_done = self._do_here(plan, observed)
        else:
            self._transfers.fetch_ahead([], ())  # What came when the link took changes goes.
        if self._manner.sends and is_done:
            is_done = self._do_there(plan, observed)
        if plan.merge.notices:
            self._report.notices(plan.merge.notices)
        return is_done

    def _tell_what_is_left(self, plan: Plan) -> None:
        here, there = self._manner.steps(plan)
        upload, download = map(self._contents.bytes_left, (there, here))
        self._report.left(len(here) + len(there), upload, download)

    # The disk.

    def _do_here(self, plan: Plan, observed: Observed) -> bool:
        steps = self._setbacks.possible(plan.local, observed.unread)
        steps = self._setbacks.possible(steps, self._contents.coming(steps, plan))
        for batch in batches(steps):
            safe = [step for step in batch if not self._holds_what_stays(step, plan)]
            is_current = self._do_batch_here(safe, plan, observed)
            is_current = is_current and not self._contents.is_outdated
            if not is_current or len(safe) < len(batch) or self._is_late():
                return False
        return True

    def _is_late(self) -> bool:
        """Whether there is news, and the turn has lasted long enough."""
        return self._has_news and self._clock.monotonic() - self._began_s >= PATIENCE_S

    def _holds_what_stays(self, step: Step, plan: Plan) -> bool:
        """Whether a folder that is to go has something in it that could not be moved out."""
        if step.action is not Action.REMOVE or step.item != FOLDER:
            return False
        inside = below(plan.merge.local, step.node)
        return any(plan.merge.tree.get(node) is not None for node in inside)

    def _do_batch_here(self, batch: list[Step], plan: Plan, observed: Observed) -> bool:
        read = self._contents.reader(batch)
        is_current = True

        def record(done: list[Done]) -> None:
            nonlocal is_current
            for one in done:
                is_current = self._record(one, plan.merge.local, observed) and is_current
            self._report.did(len(done))
            nodes = [one.step.node for one in done]
            self._agree(nodes, plan.merge.local, observed.signatures)

        self._disk.apply(batch, read, record)
        return is_current

    def _record(self, done: Done, local: Overlay, observed: Observed) -> bool:
        step = done.step
        if done.is_outdated or done.failure:
            self._setbacks.add(step.path, done.failure or "it is being changed")
            return not done.is_outdated
        self._setbacks.remove(step.path)
        try:
            carry_out(local, step)
        except (KeyError, ValueError):
            return False  # A step before it was not done: what the disk holds now has to be seen.
        observed.signatures.pop(step.node, None)
        if done.signature is not None:
            observed.signatures[step.node] = done.signature
        return True

    # The server.

    def _do_there(self, plan: Plan, observed: Observed) -> bool:
        unlike = self._manner.waiting(plan)
        if not self._manner.takes:
            self._setbacks.note((step for step in plan.remote if step.node in unlike), BLOCKED)
        steps = self._setbacks.possible(plan.remote, observed.unread | unlike)
        going = self._contents.going(steps, plan, observed)
        steps = self._setbacks.possible(steps, going)
        limit = 1 if self._outbox.is_careful else PATHS_AT_ONCE
        for group in slices(steps, limit):
            ready, bases = self._upload(group, plan, observed)
            if not ready:
                continue
            try:
                is_next = self._outbox.commit(ready, bases, self._remote)
            except ConflictError as error:
                return self._meet_conflict(error, ready)
            except RefusedStepsError as error:
                self._refuse(error, ready)
                return False
            if not is_next:
                self._has_news = True
                return False
            # Also where there is other news: the state after this commit counts as known now.
            self._committed(ready, plan, observed)
            if self._has_news:
                return False
        return True

    def _committed(self, steps: list[Step], plan: Plan, observed: Observed) -> None:
        self._report.did(len(steps))
        with self._state.transaction():
            for step in steps:
                carry_out(self._remote.tree, step)
                self._setbacks.remove(step.path)
            self._agree((step.node for step in steps), plan.merge.local, observed.signatures)
            self._remote.save()
            self._outbox.forget()

    def _meet_conflict(self, error: ConflictError, steps: list[Step]) -> bool:
        """Look again where the server is ahead; otherwise it will not take these steps."""
        self._has_news = True
        head = error.refusal.head
        if head is None or head.sequence <= self._remote.sequence:
            self._refuse(RefusedStepsError(error), steps)
        return False

    def _refuse(self, error: RefusedStepsError, steps: list[Step]) -> None:
        for step, reason in error.blamed(steps):
            self._setbacks.add(step.path, reason)

    def _upload(
        self, group: list[Step], plan: Plan, observed: Observed
    ) -> tuple[list[Step], list[list[bytes]]]:
        """Send what the files of some steps are made of; return those that can be committed."""
        chosen = [step for step in group if is_content(step)]
        files = [self._contents.upload(step, plan, observed) for step in chosen]
        try:
            failed = self._transfers.upload(files) if files else {}
        except NoRoomError as error:
            failed = dict.fromkeys(range(len(files)), words(error))
        for number, reason in failed.items():
            self._setbacks.add(chosen[number].path, reason)
        possible = self._setbacks.possible(group, set())
        return possible, [self._contents.bases(step) for step in possible]
