"""Parts that tests share: waiting on conditions, free ports, real servers as processes."""

from tests.support.encrypted import encrypt_if_asked
from tests.support.network import free_port
from tests.support.processes import casdav_command, run_casdav
from tests.support.server import Server, running_server
from tests.support.waiting import wait_until

encrypt_if_asked()

__all__ = [
    "Server",
    "casdav_command",
    "free_port",
    "run_casdav",
    "running_server",
    "wait_until",
]
