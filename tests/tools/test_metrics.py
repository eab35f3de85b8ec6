"""`casdav serve --metrics`: what Prometheus reads."""

from __future__ import annotations

import http.client
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dav.metrics import Metrics
from dav.server import ServerSettings
from tests.support import free_port, run_casdav
from tests.support.gateways import gateways, put
from tests.support.network import LOOPBACK
from tests.support.server import running_server
from tests.support.valkey import redis_program, running_valkey, valkey_program
from tests.support.waiting import wait_until
from tools.exits import Exit

LOCK_BODY = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
)


def ask(port: int, method: str = "GET", path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def figures(port: int) -> dict[str, float]:
    """Return the values by name and labels, as they are written in a query."""
    status, text = ask(port)
    assert status == 200
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_requests_and_sizes_are_told_and_no_names(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path / "store", "--metrics", str(port)) as server:
        for name in ("secret-name", "other"):
            assert server.request("PUT", name, b"x" * 1000)[0] == 201
        assert server.request("GET", "secret-name")[0] == 200
        assert server.request("GET", "missing")[0] == 404
        assert server.request("BREW", "secret-name")[0] in {405, 501}

        def told() -> dict[str, float]:
            return figures(port)

        wait_until(lambda: told().get("casdav_http_request_seconds_count{method=other}"), "BREW")
        found = told()
        assert found["casdav_http_requests_total{method=PUT,status=201}"] == 2
        assert found["casdav_http_requests_total{method=GET,status=404}"] == 1
        assert found["casdav_http_request_seconds_count{method=PUT}"] == 2
        assert found["casdav_http_received_bytes_total"] == 2000
        assert found["casdav_http_sent_bytes_total"] >= 1000
        assert found["casdav_files"] == 2
        assert found["casdav_file_bytes"] == 2000
        assert found["casdav_volumes"] == 1
        assert found["casdav_disk_free_bytes"] > 0
        assert found["process_resident_memory_bytes"] > 0
        assert any(name.startswith("casdav_job_seconds_count{") for name in found)
        text = ask(port)[1]
        assert "secret-name" not in text
        assert server.user not in text
        assert ask(port, path="/")[0] == 404
        assert ask(port, "POST")[0] == 404
        assert server.request("GET", "/metrics")[0] == 404


def test_refused_sign_ins_and_locks_are_told(tmp_path: Path) -> None:
    port = free_port()
    refused = "casdav_refused_sign_ins_total{reason=wrong credentials,way=password}"
    with running_server(tmp_path / "store", "--metrics", str(port)) as server:
        assert server.request("PUT", "file", b"x")[0] == 201
        found = figures(port)
        assert refused not in found
        assert found["casdav_locks"] == 0
        stranger = replace(server, password="wrong")
        for _ in range(3):
            assert stranger.request("GET", "file")[0] == 401
        assert server.request("LOCK", "file", LOCK_BODY)[0] == 200
        found = figures(port)
        assert found[refused] == 3
        assert found["casdav_locks"] == 1


def test_all_else_is_told_while_the_locks_cannot_be_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = valkey_program() or redis_program()
    if program is None:
        pytest.skip("no Valkey or Redis is installed")
    port = free_port()
    valkey = running_valkey(tmp_path / "valkey", program)
    with valkey as shared, gateways(tmp_path) as fleet:
        gateway = fleet.open("one", locks=shared.url)
        put(gateway, "file", b"x")
        metrics = Metrics(gateway, ServerSettings(LOOPBACK, port, threads=2))
        try:
            assert figures(port)["casdav_locks"] == 0
            shared.end()
            found = figures(port)
        finally:
            metrics.close()
    assert "casdav_locks" not in found
    assert found["casdav_files"] == 1
    assert "without the number of locks" in caplog.text


def test_workers_count_together_whichever_is_asked(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path / "store", "--workers", "2", "--metrics", str(port)) as server:
        for number in range(20):
            assert server.request("PUT", str(number), b"x")[0] == 201
        key = "casdav_http_requests_total{method=PUT,status=201}"
        wait_until(lambda: figures(port).get(key) == 20, "all to be counted")
        assert {figures(port)[key] for _ in range(20)} == {20}
        assert figures(port)["casdav_files"] == 20


def test_what_is_no_address_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_casdav("init", store)
    for wrong in ("localhost", "1.2.3.4:", "70000", "0"):
        refused = run_casdav("--store", store, "serve", "--metrics", wrong, check=False)
        assert refused.returncode == Exit.USAGE
        assert "--metrics" in refused.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_casdav("init", store)
    with socket.create_server((LOOPBACK, 0)) as other:
        taken = str(other.getsockname()[1])
        for workers in ("1", "2"):
            words = ("serve", "--port", "0", "--workers", workers, "--metrics", taken)
            refused = run_casdav("--store", store, *words, check=False)
            assert refused.returncode == Exit.ERROR
            assert taken in refused.stderr
            assert "Traceback" not in refused.stderr
