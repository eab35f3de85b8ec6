"""Threads of which one runs at a time, in an order that a seed decides."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable


class Baton:
    """Runs actors by turns: each runs until it passes the baton on, or ends.

    The same seed and the same actors give the same run. What an actor raises ends the run.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._waiting: dict[str, threading.Semaphore] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []
        self._over = threading.Event()
        self._here = threading.local()

    def add(self, name: str, actor: Callable[[], None]) -> None:
        """Let an actor take part; to be called before `run`."""
        semaphore = threading.Semaphore(0)
        self._waiting[name] = semaphore

        def body() -> None:
            semaphore.acquire()
            self._here.name = name
            try:
                if not self._errors:
                    actor()
            except BaseException as error:  # noqa: BLE001 - told by `run`
                self._errors.append(error)
            finally:
                del self._waiting[name]
                self._give()

        self._threads.append(threading.Thread(target=body, name=name, daemon=True))

    def run(self) -> None:
        """Return when all actors have ended; raise what one of them raised."""
        for thread in self._threads:
            thread.start()
        self._give()
        self._over.wait()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def pass_on(self) -> None:
        """Let whoever's turn it is run, perhaps this one."""
        name = getattr(self._here, "name", None)
        if name is None:
            return  # not in a run: nobody else is there
        semaphore = self._waiting[name]
        self._give()
        semaphore.acquire()
        if self._errors:
            raise SystemExit("another actor has failed")

    def _give(self) -> None:
        if self._waiting:
            self._waiting[self._chance.choice(sorted(self._waiting))].release()
        else:
            self._over.set()
