"""Where the command `casdav` begins: while it is being loaded, Ctrl-C ends it without a word."""

from __future__ import annotations

import gc
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it.

    Python would answer Ctrl-C with the stack of whatever module it is in. Where the signal is
    ignored, as for what runs in the background, it stays so.
    """
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # all that is loaded stays: to look for garbage among it takes a tenth of a second
    from tools import cli  # noqa: PLC0415 - what takes time is to come behind the lines above

    gc.enable()
    if is_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()
