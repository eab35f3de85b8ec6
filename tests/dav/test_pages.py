"""The gate and its pages, over real HTTP: what browsers and WebDAV clients get at the door."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

import cas
from dav import accounts, app_passwords, grants
from dav.auth import Authenticator
from dav.gate import Gate, principal_of
from dav.home import format_size
from dav.identity import Right, Scope
from dav.pages import safe_next
from dav.server import Server, ServerSettings
from dav.throttle import ADDRESS
from tests.support import free_port
from tests.support.clock import FakeClock

PASSWORD = "correct horse battery"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    cookies: list[str]
    text: str


class Browser:
    """A browser without scripts: it keeps cookies and fills in forms."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: str | None = None,
    ) -> Answer:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**({"Cookie": cookie} if cookie else {}), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        cookies = response.headers.get_all("Set-Cookie") or []
        for cookie in cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, cookies, text)

    def get(self, path: str) -> Answer:
        return self.send("GET", path, HTML)

    def post(self, path: str, **fields: str) -> Answer:
        return self.send("POST", path, {**HTML, **FORM}, urlencode(fields))

    def form_token(self, path: str = "/login") -> str:
        found = re.search(r'name="form" value="([^"]*)"', self.get(path).text)
        assert found, "no form"
        return found[1]

    def sign_in(self, user: str, password: str, target: str = "") -> Answer:
        token = self.form_token()
        return self.post("/login", user=user, password=password, form=token, next=target)


def drive(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Stand where the drive stands, and say who came in."""
    who = principal_of(environ)
    body = f"{environ['casdav.user']} by {who.method} at {environ['PATH_INFO']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[cas.Repository]:
    with cas.create(tmp_path / "store") as made:
        accounts.create_user(made, "alice", password=PASSWORD, quota=5 * 1024**3)
        accounts.create_user(made, "bob", password=PASSWORD)
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def browser(repository: cas.Repository, clock: FakeClock) -> Iterator[Browser]:
    app = Gate(drive, Authenticator(repository, clock))
    with Server(app, ServerSettings(host="127.0.0.1", port=free_port())) as server:
        yield Browser(server.port)


def _break_registry(repository: cas.Repository) -> None:
    """Write a record that this program cannot read, as a newer one might."""
    with repository.registry.edit(author="test") as edit:
        edit.put_record("users/alice", b"\xc1")


def basic(user: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


# --- clients ------------------------------------------------------------------------------------


def test_a_client_with_credentials_passes(browser: Browser) -> None:
    answer = browser.send("GET", "/dav/alice/x", basic("alice", PASSWORD))
    assert answer.text == "alice by password at /dav/alice/x"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PROPFIND", "LOCK"])
def test_a_client_without_credentials_is_challenged(browser: Browser, method: str) -> None:
    answer = browser.send(method, "/dav/", {"Accept": "*/*"})
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="casdav", charset="UTF-8"'
    assert answer.cookies == []


def test_options_are_told_to_anybody_alike(browser: Browser) -> None:
    answers = [browser.send("OPTIONS", path) for path in ("/", "/dav/alice/", "/dav/nowhere/x")]
    for answer in answers:
        assert answer.status == 200
        assert answer.headers["dav"] == "1, 2, 3"
        assert answer.headers["ms-author-via"] == "DAV"
        assert "PROPFIND" in answer.headers["allow"]


def test_options_with_wrong_credentials_are_refused(browser: Browser) -> None:
    assert browser.send("OPTIONS", "/", basic("alice", "wrong")).status == 401


def test_guessing_is_told_to_wait(browser: Browser) -> None:
    answers = [
        browser.send("PROPFIND", "/dav/", basic("alice", f"guess {number}"))
        for number in range(ADDRESS.free + 1)
    ]
    assert [answer.status for answer in answers] == [401] * ADDRESS.free + [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert "www-authenticate" not in answers[-1].headers


@pytest.mark.parametrize("header", ["Basic ", "Basic %", "Basic YQ==", "Bearer x.y.z", "\xff"])
def test_a_malformed_header_is_a_401(browser: Browser, header: str) -> None:
    answer = browser.send("GET", "/dav/", {"Authorization": header, **HTML})
    assert answer.status == 401


def test_a_store_that_fails_is_told_without_a_detail(
    repository: cas.Repository, browser: Browser
) -> None:
    _break_registry(repository)
    for _ in range(2):
        answer = browser.send("GET", "/dav/", basic("alice", PASSWORD))
        assert answer.status == 503
        assert "alice" not in answer.text
        assert "Traceback" not in answer.text


# --- browsers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "login"),
    [
        ("/", "/login"),
        ("/dav/alice/a%20b?x=1", "/login?next=/dav/alice/a%2520b%3Fx%3D1"),
        ("/elsewhere", "/login"),
    ],
)
def test_a_browser_is_sent_to_the_login_page(browser: Browser, path: str, login: str) -> None:
    answer = browser.get(path)
    assert (answer.status, answer.headers["location"]) == (303, login)


def test_the_login_page_is_strict(browser: Browser) -> None:
    answer = browser.get("/login")
    assert answer.status == 200
    assert "<script" not in answer.text
    assert "style=" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/casdav.css", "/static/casdav.svg"])
def test_what_the_pages_refer_to_is_there(browser: Browser, path: str) -> None:
    assert path in browser.get("/login").text
    answer = browser.get(path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(("text/css", "image/svg+xml"))
    assert len(answer.text) > 100


def test_a_browser_that_asks_for_an_icon_by_itself_gets_that_of_the_pages(browser: Browser) -> None:
    answer = browser.get("/favicon.ico")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.text == browser.get("/static/casdav.svg").text


def test_signing_in_opens_a_session_and_goes_where_one_wanted_to(browser: Browser) -> None:
    answer = browser.sign_in("alice", PASSWORD, "/dav/alice/a%20b")
    assert (answer.status, answer.headers["location"]) == (303, "/dav/alice/a%20b")
    session = next(c for c in answer.cookies if c.startswith("casdav-session="))
    assert "; HttpOnly" in session
    assert "; SameSite=Strict" in session
    assert "; Path=/" in session
    assert "Secure" not in session
    assert browser.get("/dav/alice/a%20b").text == "alice by session at /dav/alice/a b"


def test_under_tls_the_cookies_are_for_this_host_and_tls_alone(
    repository: cas.Repository, clock: FakeClock
) -> None:
    app = Gate(drive, Authenticator(repository, clock))
    settings = ServerSettings(port=free_port(), behind_proxy=True)
    with Server(app, settings) as server:
        answer = Browser(server.port).send("GET", "/login", {**HTML, "X-Forwarded-Proto": "https"})
    assert answer.cookies[0].startswith("__Host-casdav-login=")
    assert answer.cookies[0].endswith("; Secure")


def test_wrong_passwords_are_told_and_slowed(browser: Browser) -> None:
    for number in range(ADDRESS.free):
        answer = browser.sign_in("alice", f"guess {number}")
        assert answer.status == 403
        assert "wrong" in answer.text
    answer = browser.sign_in("alice", PASSWORD)
    assert answer.status == 429
    assert answer.headers["retry-after"] == "1"
    assert not any(name.endswith("session") for name in browser.cookies)


def test_the_name_is_kept_in_the_form_and_escaped(browser: Browser) -> None:
    name = '"><script>alert(1)</script>&'
    answer = browser.sign_in(name, "wrong")
    assert "<script" not in answer.text
    found = re.search(r'name="user" value="([^"]*)"', answer.text)
    assert found
    assert unescape(found[1]) == name


def test_an_app_password_signs_in_too(browser: Browser, repository: cas.Repository) -> None:
    token, password = app_passwords.create_app_password(repository, "alice", "first start")
    assert browser.sign_in("alice", password).status == 303
    assert browser.get("/dav/").text == "alice by session at /dav/"
    app_passwords.revoke_app_password(repository, token.id)
    assert browser.get("/dav/").status == 303


def test_a_form_from_elsewhere_is_refused(browser: Browser) -> None:
    token = browser.form_token()
    stranger = Browser(browser.port)
    other_token = stranger.form_token()
    for form in ("", "x", other_token):
        answer = browser.post("/login", user="alice", password=PASSWORD, form=form)
        assert answer.status == 403
    fields = urlencode({"user": "alice", "password": PASSWORD, "form": token})
    cross = {**FORM, "Sec-Fetch-Site": "cross-site"}
    assert browser.send("POST", "/login", cross, fields).status == 403
    browser.cookies.clear()
    assert browser.post("/login", user="alice", password=PASSWORD, form=token).status == 403
    assert not any(name.endswith("session") for name in browser.cookies)


@pytest.mark.parametrize("body", ["", "user", "user=a&user=b", "user=%ff", "user=" + "a" * 9000])
def test_a_malformed_form_is_refused(browser: Browser, body: str) -> None:
    answer = browser.send("POST", "/login", FORM, body)
    assert answer.status in {400, 403}


def test_other_methods_are_told_which_there_are(browser: Browser) -> None:
    answer = browser.send("PUT", "/login", body="x")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert browser.send("GET", "/logout").status == 405


def test_signing_in_anew_ends_the_session_before(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)
    old = Browser(browser.port)
    old.cookies = dict(browser.cookies)
    browser.cookies["casdav-login"] = "x" * 40
    session = browser.cookies.pop("casdav-session")
    token = browser.form_token()
    browser.cookies["casdav-session"] = session
    assert browser.post("/login", user="bob", password=PASSWORD, form=token).status == 303
    assert browser.get("/dav/").text.startswith("bob by session")
    assert old.get("/dav/").status == 303


def test_signing_out_ends_the_session(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)
    stolen = Browser(browser.port)
    stolen.cookies = dict(browser.cookies)
    assert browser.post("/logout", form="guess").headers["location"] == "/"
    assert browser.get("/dav/").status == 200
    answer = browser.post("/logout", form=browser.form_token("/"))
    assert answer.headers["location"] == "/login"
    assert browser.cookies == {}
    assert stolen.get("/dav/").status == 303


def test_a_session_ends_after_two_idle_hours_and_after_a_day(
    browser: Browser, clock: FakeClock
) -> None:
    browser.sign_in("alice", PASSWORD)
    for _ in range(12):
        clock.advance(2 * 3600 - 1)
        assert browser.get("/dav/").status == 200
    clock.advance(12)
    assert browser.get("/dav/").status == 303
    browser.sign_in("alice", PASSWORD)
    clock.advance(2 * 3600)
    assert browser.get("/dav/").status == 303


def test_a_session_ends_with_a_new_password_and_with_disabling(
    browser: Browser, repository: cas.Repository
) -> None:
    browser.sign_in("alice", PASSWORD)
    accounts.set_password(repository, "alice", "a new password")
    assert browser.get("/dav/").status == 303
    browser.sign_in("alice", "a new password")
    accounts.set_disabled(repository, "alice", disabled=True)
    assert browser.get("/dav/").status == 303


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MOVE", "MKCOL", "LOCK", "POST"])
def test_a_session_changes_nothing(browser: Browser, method: str) -> None:
    browser.sign_in("alice", PASSWORD)
    assert browser.send(method, "/dav/alice/x").status == 403


def test_credentials_in_the_request_count_before_the_cookie(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)
    answer = browser.send("PUT", "/dav/bob/x", basic("bob", PASSWORD))
    assert answer.text.startswith("bob by password")
    assert browser.send("GET", "/dav/", basic("bob", "wrong")).status == 401


# --- the home page ------------------------------------------------------------------------------


def test_the_home_page_shows_the_volumes_one_may_see_and_how_to_mount(
    browser: Browser, repository: cas.Repository
) -> None:
    repository.create_volume("Team Docs & <more>")
    repository.create_volume("not-for-alice")
    grants.grant(repository, "Team Docs & <more>", "alice", Right.READ)
    browser.sign_in("alice", PASSWORD)
    text = browser.get("/").text
    assert '<a href="/dav/alice/">alice</a>' in text
    assert '<a href="/dav/Team%20Docs%20%26%20%3Cmore%3E/">Team Docs &amp; &lt;more&gt;</a>' in text
    assert "5.0 GiB" in text
    assert "<td>manage</td>" in text
    assert "<td>read</td>" in text
    assert "not-for-alice" not in text
    assert "/dav/bob/" not in text
    assert f"http://127.0.0.1:{browser.port}/dav/alice/" in text
    for system in ("Windows", "macOS", "Linux", "rclone", "Android"):
        assert system in text


def test_the_mount_address_is_the_one_the_credential_opens(
    browser: Browser, repository: cas.Repository
) -> None:
    scope = Scope(volume="alice", path="photos/my trip")
    _, password = app_passwords.create_app_password(repository, "alice", "x", scope=scope)
    text = browser.send("GET", "/", {**HTML, **basic("alice", password)}).text
    assert f"http://127.0.0.1:{browser.port}/dav/alice/photos/my%20trip/" in text
    assert "no volume that you may open" in text


@pytest.mark.parametrize("host", ["files.example.org", "[2001:db8::1]:8080"])
def test_the_mount_address_has_the_host_that_was_asked_for_and_a_warning(
    browser: Browser, host: str
) -> None:
    text = browser.send("GET", "/", {**HTML, **basic("alice", PASSWORD), "Host": host}).text
    assert f"http://{host}/dav/alice/" in text
    assert "no TLS" in text


def test_head_answers_as_get_does_without_a_body(browser: Browser) -> None:
    for path in ("/login", "/static/casdav.css"):
        head = browser.send("HEAD", path, HTML)
        assert (head.status, head.text) == (200, "")
        assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize("target", ["/dav/", "/dav/a/b%20c?x=y&z", "/dav/~a!$'()*+,;=:@/"])
def test_after_login_one_goes_on_inside_the_drive(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "//evil.example/dav/",
        "https://evil.example/dav/",
        "/dav",
        "/dav\\evil",
        "/dav/\\..\\",
        "/dav/a b",
        "/dav/é",
        "/dav/\r\nSet-Cookie: a=b",
        "/login?next=/dav/",
        "javascript:alert(1)",
        "/dav/" + "a" * 5000,
    ],
)
def test_after_login_one_goes_nowhere_else(target: str) -> None:
    assert safe_next(target) == ""


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**3, "5.0 GiB"),
        (2**43, "8.0 TiB"),
    ],
)
def test_sizes_are_shown_as_people_read_them(size: int, shown: str) -> None:
    assert format_size(size) == shown
