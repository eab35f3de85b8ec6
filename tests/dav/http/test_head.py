"""The head parser on its own: whatever comes, it is a head without doubt or a refusal."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dav.http.errors import RefusedError
from dav.http.head import Framing, RequestHead, find_head_end, parse_head
from dav.server import Limits

LIMITS = Limits(request_line=200, head=600, fields=10)
LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"PUT /a HTTP/1.0",
        b"Host: a",
        b"host: a:80",
        b"Content-Length: 5",
        b"Content-Length: 05",
        b"content-length : 5",
        b"Content-Length: 5,5",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: , chunked",
        b"Transfer-Encoding: identity",
        b" folded",
        b"Expect: 100-continue",
        b"Connection: close, keep-alive",
        b"X: " + b"y" * 190,
        b"",
    ],
)
ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\r\n", b"\0\r\n"])
HEADS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(
    lambda lines: b"".join(line + end for line, end in lines),
)


def read(data: bytes, steps: list[int]) -> RequestHead | int | None:
    """Read a head that comes in pieces: a head, None if more is needed, or a refusal's status."""
    scanned = 0
    try:
        for stop in [*sorted(step for step in steps if step < len(data)), len(data)]:
            end = find_head_end(data[:stop], scanned, LIMITS)
            if end:
                return parse_head(data[:end], LIMITS)
            scanned = stop
    except RefusedError as refusal:
        return int(refusal.status[:3])
    return None


@given(HEADS | st.binary(max_size=700), st.lists(st.integers(0, 700), max_size=6))
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", [1, 15, 16, 24, 25, 26])
def test_a_head_is_read_the_same_however_it_is_cut_or_refused(
    data: bytes,
    steps: list[int],
) -> None:
    whole = read(data, [])
    pieces = read(data, steps)
    assert pieces == whole or (isinstance(pieces, int) and isinstance(whole, int))
    if isinstance(whole, RequestHead):
        assert whole.version == (1, 0) or "HTTP_HOST" in whole.fields
        assert not ("CONTENT_LENGTH" in whole.fields and "HTTP_TRANSFER_ENCODING" in whole.fields)
        assert (whole.framing is Framing.LENGTH) == (whole.length > 0)
        assert not any(mark in value for value in whole.fields.values() for mark in "\r\n\0")


def test_pieces_of_a_good_head_are_never_refused() -> None:
    data = b"GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    for cut in range(len(data)):
        assert isinstance(read(data, [cut, cut + 1]), RequestHead)
    assert all(read(data[:cut], list(range(cut))) is None for cut in range(len(data)))
