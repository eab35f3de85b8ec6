"""Many threads may decode the first object of a kind at one moment."""

from __future__ import annotations

import subprocess
import sys

from tests.support.processes import CHECKOUT

# Without care 13 of 15 such processes ended with a segmentation fault.
PROGRAM = """
import sys, threading
import msgspec
from cas.structs import decoder_of, make_structs_ready

sys.setswitchinterval(1e-6)
nodes = []
for number in range(60):
    leaf = msgspec.defstruct(f"Leaf{number}", [("a", int), ("b", dict[str, int])], array_like=True)
    fields = [("level", int), ("entries", list[leaf]), ("other", leaf | None)]
    nodes.append(msgspec.defstruct(f"Node{number}", fields, array_like=True))
if "ready" in sys.argv:
    make_structs_ready()
data = msgspec.msgpack.encode([1, [[1, {"a": 1}]], None])
for node in nodes:
    together = threading.Barrier(4)
    def decode():
        together.wait()
        if "ready" in sys.argv:
            msgspec.msgpack.decode(data, type=node)
        else:
            decoder_of(node).decode(data)
    threads = [threading.Thread(target=decode) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_it_ends_no_process() -> None:
    for words in (["one by one"], ["ready"]):
        command = [sys.executable, "-c", PROGRAM, *words]
        for _ in range(3):
            ended = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
            assert ended.returncode == 0, ended.stderr.decode()
