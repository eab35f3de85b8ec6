"""davfs2 mounts the drive as a file system: files are written, renamed, locked, read.

Folders are not listed: on newer kernels davfs2's listing fails with EINVAL, whatever the server.
"""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support import run_casdav, wait_until
from tests.support.programs import as_root, can_be_root, needs, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support import Server

pytestmark = [
    pytest.mark.debian,
    needs("mount.davfs"),
    pytest.mark.skipif(not can_be_root(), reason="only root may mount file systems"),
]

CONTENT = random.Random(10).randbytes(1_500_000)


@contextmanager
def mounted(server: Server, directory: Path) -> Iterator[Path]:
    """Mount the user's home until the end of the block; what was written is uploaded then."""
    folder, configuration, secrets = (directory / name for name in ("mnt", "conf", "secrets"))
    folder.mkdir(exist_ok=True)
    secrets.write_text(f'{server.url} {server.user} "{server.password}"\n')
    secrets.chmod(0o600)
    configuration.write_text(
        f"use_locks 1\nask_auth 0\ndelay_upload 0\nsecrets {secrets}\n",
    )
    run_program(*as_root("chown", "root", secrets, configuration))
    options = f"conf={configuration},uid={os.getuid()},gid={os.getgid()}"
    run_program(*as_root("mount.davfs", "-o", options, server.url, folder))
    try:
        yield folder
    finally:
        run_program(*as_root("umount", folder))
        # The cache on this machine; it would wait for the next mount of the same place.
        place = str(folder).strip("/").replace("/", "-")
        caches = f"rm -rf /var/cache/davfs2/*{place}*"
        run_program(*as_root("sh", "-c", caches))


def stored(server: Server, path: str) -> bytes:
    status, _, body = server.request("GET", path)
    assert status == 200, body
    return body


def test_what_is_written_is_stored_and_what_is_stored_is_read(
    server: Server, tmp_path: Path
) -> None:
    server.request("PUT", "there.bin", CONTENT)
    with mounted(server, tmp_path) as folder:
        assert (folder / "there.bin").read_bytes() == CONTENT
        (folder / "new folder").mkdir()
        (folder / "new folder" / "ünï #1.bin").write_bytes(CONTENT)
        with (folder / "there.bin").open("r+b") as file:
            file.seek(700_000)
            file.write(b"changed")
    assert stored(server, "new%20folder/%C3%BCn%C3%AF%20%231.bin") == CONTENT
    assert stored(server, "there.bin") == CONTENT[:700_000] + b"changed" + CONTENT[700_007:]


def test_renames_and_removals_reach_the_server(server: Server, tmp_path: Path) -> None:
    with mounted(server, tmp_path) as folder:
        (folder / "one").write_text("1")
        (folder / "two").write_text("2")
        (folder / "sub").mkdir()
        (folder / "one").rename(folder / "sub" / "moved")
        (folder / "sub").rename(folder / "other")
        (folder / "two").unlink()
    assert stored(server, "other/moved") == b"1"
    assert [server.request("GET", name)[0] for name in ("one", "two", "sub/moved")] == [404] * 3


def test_an_open_file_is_locked_for_others_until_it_is_stored(
    server: Server, tmp_path: Path
) -> None:
    with mounted(server, tmp_path) as folder:
        with (folder / "file").open("w") as file:
            file.write("mine")
            assert "alice:/file" in run_casdav("lock", "list", store=server.store).stdout
            assert server.request("PUT", "file", b"somebody else's")[0] == 423
        wait_until(lambda: server.request("GET", "file")[2] == b"mine", "the upload")
        wait_until(lambda: server.request("PUT", "file", b"theirs")[0] == 204, "the unlock")


def test_data_of_a_program_survives_a_second_mount(server: Server, tmp_path: Path) -> None:
    with mounted(server, tmp_path) as folder:
        command = f"tar -cf '{folder}/tests.tar' -C '{tmp_path}' conf"
        subprocess.run(["sh", "-c", command], check=True, timeout=60)
    with mounted(server, tmp_path) as folder:
        listed = run_program("tar", "-tf", folder / "tests.tar").stdout
    assert listed == "conf\n"
