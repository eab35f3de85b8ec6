from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from dav.server import Server, ServerSettings, Timeouts

Serve = Callable[..., Server]
QUICK = Timeouts(shutdown=5)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server for an application, with settings by keyword; all are stopped at the end."""
    with ExitStack() as servers:

        def start(app: Any, access_log: Any = None, **settings: Any) -> Server:  # noqa: ANN401
            made = replace(ServerSettings(port=0, timeouts=QUICK), **settings)
            return servers.enter_context(Server(app, made, access_log=access_log))

        yield start
