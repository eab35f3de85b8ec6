"""kill -9 in the middle of a repair: nothing more is lost, and the next one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import cas
from tests.support.checking import assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.damage import chunk_id, damage_object
from tests.support.processes import CHECKOUT, casdav_environment

FILES: Final = {f"{number}": seeded_bytes(number, 20_000) for number in range(4)}
_PROGRAM: Final = """
import os, signal, sys
import cas

def count(event, arguments):
    global left
    if event in {"os.link", "os.remove", "os.rename", "os.truncate"}:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

with cas.open(sys.argv[1]) as repository:
    left = int(sys.argv[2])
    sys.addaudithook(count)
    cas.repair_repository(repository)
    left = 1_000_000
"""


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


@pytest.mark.parametrize("step", range(10))
def test_killed_at_each_of_its_steps_on_the_disk(tmp_path: Path, step: int) -> None:
    location = tmp_path / "store"
    with cas.create(location) as repository:
        volume = repository.create_volume("v")
        for path, data in FILES.items():
            put(volume, path, data)
    pack = damage_object(location, chunk_id(location, FILES["2"]))
    next(location.glob("refs/*")).unlink()
    command = [sys.executable, "-c", _PROGRAM, str(location), str(step)]
    ended = subprocess.run(command, cwd=CHECKOUT, env=casdav_environment(), check=False)
    assert ended.returncode in {0, -signal.SIGKILL}
    with cas.open(location) as repository:
        volume = repository.volume("v")
        cas.repair_repository(repository)
        told = check(repository, cas.Share())
        assert told.kinds == ["missing"], told.messages
        assert told.paths == {"v:/2"}
        with volume.view() as view:
            for path, data in FILES.items():
                if path != "2":
                    assert view.open(path).read() == data
        put(volume, "again", FILES["2"])
        assert_sound(repository)
    assert not pack.exists()
    assert (location / "quarantine" / pack.name).exists()
    cas.rebuild_index(location)
    with cas.open(location) as repository:
        assert_sound(repository)
