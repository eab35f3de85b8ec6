"""HTML from templates: every value is escaped unless it is HTML already.

The templates are the files of `dav/templates`, with `$name` where a value goes, read once.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Final, NamedTuple

STYLE_SHEET: Final = "/static/casdav.css"
ICON: Final = "/static/casdav.svg"
ASKED_ICON: Final = "/favicon.ico"
"""Where browsers look for the icon of what is no page of ours, a text for instance."""

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
"""The headers of every page: no scripts, no frames, nothing from elsewhere, nothing cached."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


class Response(NamedTuple):
    """A whole answer: status line, headers without Content-Length, body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""


def render(template: str, **values: str) -> Html:
    """Return a template with the values in their places, escaped for text and attributes."""
    escaped = {
        name: value if isinstance(value, Html) else escape(value, quote=True)
        for name, value in values.items()
    }
    return Html(_template(template).substitute(escaped))


def page(title: str, header: Html, body: Html) -> bytes:
    """Return a whole page with the site's frame round it.

    `header` is what stands at the right of the site's name: who is signed in, and the way out.
    """
    whole = render("page.html", title=title, header=header, body=body, style=STYLE_SHEET, icon=ICON)
    return whole.encode("utf-8")


@cache
def _template(name: str) -> Template:
    text = files("dav").joinpath("templates", name).read_text(encoding="utf-8")
    return Template(text.rstrip("\n"))
