"""What people see in a browser: signing in, looking around, opening files. In a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.browser import Tab, running_browser
from tests.support.network import LOOPBACK
from tests.support.programs import needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

pytestmark = [pytest.mark.debian, needs("chromium")]

ODD_NAMES = ['<b>bold & "quoted".txt', "100% #1?.txt", "new\u2028line 🐈.txt", "Å \u202egpj.exe"]


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    with running_browser(tmp_path) as opened:
        yield opened


def sign_in(tab: Tab, server: Server, url: str) -> None:
    tab.open(url)
    tab.fill("#user", server.user)
    tab.fill("#password", server.password)
    tab.click("button[type=submit]")


def test_one_signs_in_looks_around_and_signs_out(tab: Tab, server: Server) -> None:
    assert server.request("MKCOL", "folder")[0] == 201
    assert server.request("PUT", "folder/note.txt", b"hello")[0] == 201
    sign_in(tab, server, f"http://{LOOPBACK}:{server.port}/")
    assert tab.texts("h1") == ["Volumes"]
    assert server.user in tab.texts("td a")
    tab.click("td a")
    assert tab.url == server.url
    tab.click("td a[href$='folder/']")
    assert tab.url == f"{server.url}folder/"
    assert tab.texts("td a") == ["..", "note.txt", "download"]
    tab.click("td a[href$='note.txt']")
    assert tab.texts("body") == ["hello"]
    tab.open(f"http://{LOOPBACK}:{server.port}/")
    tab.click("form[action='/logout'] button")
    tab.open(server.url)
    assert "/login" in tab.url
    assert tab.complaints == []


def test_a_wrong_password_is_told_and_the_name_stays(tab: Tab, server: Server) -> None:
    tab.open(server.url)
    tab.fill("#user", server.user)
    tab.fill("#password", "wrong")
    tab.click("button[type=submit]")
    assert tab.texts("[role=alert]") == ["The user name or the password is wrong."]
    assert tab.value("document.querySelector('#user').value") == server.user
    assert tab.value("document.querySelector('#password').value") == ""


def test_pages_have_their_looks_and_break_no_rule_of_their_own(tab: Tab, server: Server) -> None:
    sign_in(tab, server, f"http://{LOOPBACK}:{server.port}/")
    for url in (f"http://{LOOPBACK}:{server.port}/", server.root_url, server.url):
        tab.open(url)
        assert tab.value("document.styleSheets[0].cssRules.length") != 0
        assert tab.value("document.querySelector('.brand img').naturalWidth") != 0
    assert tab.complaints == []


def test_names_are_shown_as_they_are_and_their_links_lead_to_them(tab: Tab, server: Server) -> None:
    for name in ODD_NAMES:
        assert server.request("PUT", quote(name), name.encode())[0] == 201
    sign_in(tab, server, server.url)
    shown = tab.value("Array.from(document.querySelectorAll('td a'), each => each.textContent)")
    assert isinstance(shown, list)
    assert set(ODD_NAMES) <= set(shown)
    links = tab.value("Array.from(document.querySelectorAll('td a'), each => each.href)")
    assert isinstance(links, list)
    for name, link in zip(shown, links, strict=True):
        if name in ODD_NAMES and name.endswith(".txt"):
            tab.open(link)
            assert tab.value("document.body.textContent") == name
            tab.open(server.url)


@pytest.mark.parametrize("name", ["page.html", "image.svg", "page.xhtml", "data.xml", "unknown"])
def test_what_could_act_as_a_page_is_saved_and_not_shown(
    tab: Tab, server: Server, name: str
) -> None:
    page = b"<html xmlns='http://www.w3.org/1999/xhtml'><script>document.title = 1</script></html>"
    assert server.request("PUT", name, page)[0] == 201
    sign_in(tab, server, server.url)
    assert tab.saves(f"{server.url}{name}")
    assert tab.url == server.url


def test_text_is_shown_as_utf_8_and_runs_nothing(tab: Tab, server: Server) -> None:
    text = "<script>document.title = 'ran'</script> naïve 🐈"
    assert server.request("PUT", "a.txt", text.encode())[0] == 201
    sign_in(tab, server, server.url)
    tab.open(f"{server.url}a.txt")
    assert tab.value("document.body.textContent") == text
    assert tab.value("document.title") != "ran"
    assert tab.value("self.origin") == "null"
