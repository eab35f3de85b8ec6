"""Access tokens against the attacks of RFC 8725."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas import InvalidError
from dav.access_tokens import AUDIENCE, TYPE, AccessTokens, TokenRefusedError
from dav.identity import Role, Scope
from dav.records import User
from tests.support.clock import FakeClock

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
ISSUER = "casdav:here"
USER = User("alice", b"i" * 16, b"e" * 16, Role.USER, "", 0)


def tokens(clock: FakeClock, key: bytes = KEY, issuer: str = ISSUER) -> AccessTokens:
    return AccessTokens({"1": key}, "1", issuer, clock)


def claims(clock: FakeClock, **changes: object) -> dict[str, Any]:
    now = clock() // 1_000_000_000
    whole: dict[str, Any] = {
        "sub": "alice",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 900,
        "jti": "j",
        "epoch": USER.epoch.hex(),
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def sign(
    payload: dict[str, Any],
    headers: dict[str, object] | None = None,
    *,
    key: bytes = KEY,
    algorithm: str = "HS256",
) -> str:
    whole: dict[str, object] = {"typ": TYPE, "kid": "1", **(headers or {})}
    kept = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(payload, key, algorithm=algorithm, headers=kept)


def test_an_issued_token_is_valid_and_carries_its_scope() -> None:
    clock = FakeClock()
    scope = Scope(read_only=True, volume="photos", path="2024")
    found = tokens(clock).verify(tokens(clock).issue(USER, scope))
    assert (found.sub, found.epoch, found.scope) == ("alice", USER.epoch.hex(), scope)


def test_two_tokens_differ() -> None:
    issuer = tokens(FakeClock())
    assert issuer.issue(USER) != issuer.issue(USER)


def test_a_token_ends_after_15_minutes_and_the_leeway() -> None:
    clock = FakeClock()
    service = tokens(clock)
    token = service.issue(USER)
    clock.advance(900 + 29)
    service.verify(token)
    clock.advance(1)
    with pytest.raises(TokenRefusedError, match="expired"):
        service.verify(token)


def test_the_hand_made_token_of_these_tests_is_good_before_it_is_spoiled() -> None:
    clock = FakeClock()
    tokens(clock).verify(sign(claims(clock)))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "casdav:share"},
        {"aud": [AUDIENCE, "other"]},
        {"iss": "casdav:elsewhere"},
        {"sub": 7},
        {"sub": None},
        {"exp": None},
        {"iat": None},
        {"jti": None},
        {"aud": None},
        {"iss": None},
        {"epoch": None},
        {"epoch": 3},
        {"exp": "tomorrow"},
        {"exp": 1e300},
        {"read_only": "no"},
    ],
)
def test_a_wrong_or_missing_claim_is_refused(changes: dict[str, object]) -> None:
    clock = FakeClock()
    with pytest.raises(TokenRefusedError):
        tokens(clock).verify(sign(claims(clock, **changes)))


def test_a_token_that_lives_too_long_or_begins_later_is_refused() -> None:
    clock = FakeClock()
    now = clock() // 1_000_000_000
    for changes in ({"exp": now + 901}, {"iat": now + 31, "exp": now + 60}, {"exp": now}):
        with pytest.raises(TokenRefusedError):
            tokens(clock).verify(sign(claims(clock, **changes)))


@pytest.mark.parametrize(
    "headers",
    [
        {"typ": "JWT"},
        {"typ": None},
        {"kid": "2"},
        {"kid": "../../dev/null"},
        {"kid": None},
        {"crit": ["exp"]},
        {"jku": "https://example.org/keys"},
        {"jwk": {"kty": "oct", "k": "a2tra2tr"}},
    ],
)
def test_a_header_that_is_not_ours_is_refused(headers: dict[str, object]) -> None:
    clock = FakeClock()
    with pytest.raises(TokenRefusedError):
        tokens(clock).verify(sign(claims(clock), headers))


def test_another_key_or_algorithm_is_refused() -> None:
    clock = FakeClock()
    service = tokens(clock)
    for token in (
        sign(claims(clock), key=OTHER_KEY),
        sign(claims(clock), key=KEY * 2, algorithm="HS512"),
    ):
        with pytest.raises(TokenRefusedError):
            service.verify(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", "HS256"])
def test_no_token_without_a_signature_is_taken(algorithm: str) -> None:
    clock = FakeClock()

    def encode(part: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")

    header = encode({"alg": algorithm, "typ": TYPE, "kid": "1"})
    with pytest.raises(TokenRefusedError):
        tokens(clock).verify(f"{header}.{encode(claims(clock))}.")


def test_every_changed_character_of_the_payload_is_seen() -> None:
    clock = FakeClock()
    service = tokens(clock)
    header, payload, signature = service.issue(USER).split(".")
    for position in range(0, len(payload), 7):
        other = "A" if payload[position] != "A" else "B"
        forged = payload[:position] + other + payload[position + 1 :]
        with pytest.raises(TokenRefusedError):
            service.verify(f"{header}.{forged}.{signature}")


@given(st.text(max_size=200))
def test_rubbish_is_refused_and_never_raises_anything_else(text: str) -> None:
    with pytest.raises(TokenRefusedError):
        tokens(FakeClock()).verify(text)


def test_a_deeply_nested_or_huge_token_is_refused() -> None:
    service = tokens(FakeClock())
    nested = base64.urlsafe_b64encode(b"[" * 2000).decode().rstrip("=")
    for token in (f"{nested}.e30.x", f"e30.{'e' * 1_000_000}.x"):
        with pytest.raises(TokenRefusedError):
            service.verify(token)


def test_a_short_key_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidError):
        AccessTokens({"1": b"short"}, "1", ISSUER, FakeClock())
