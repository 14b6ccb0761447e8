"""Bluesky, signed in: from an app password to a session, and what is told when it is not taken."""

from __future__ import annotations

import json

import pytest
from tests.fakes.bluesky import (
    ME,
    NOW,
)

from plait.connectors import Answer, Session
from plait.connectors.bluesky import Connector
from plait.errors import Rejected

SIGNED = {"accessJwt": "a.eyJleHAiOjE3OTAwMDM2MDB9.c", "refreshJwt": "r1", "did": ME, "handle": "shop.test"}


def sign_in(answers, **credentials: str) -> Session:
    steps = Connector.sign_in(
        {"identifier": "shop.test", "password": "abcd", **credentials}, "https://pds.test", NOW
    )
    asked = next(steps)
    try:
        while True:
            status, body = answers(asked.url.rpartition(".")[2])
            asked = steps.send(Answer(status, {}, json.dumps(body).encode()))
    except StopIteration as end:
        return end.value


def test_signing_in_gives_the_account_its_names_and_a_token_that_ends():
    session = sign_in(lambda _: (200, SIGNED))

    assert (session.account.me, session.account.source) == (f"bluesky:{ME}", "bluesky:shop.test")
    assert session.expires_at == 1_790_003_600_000 - 60_000
    assert session.secrets["refresh"] == "r1"
    assert "r1" not in repr(session)


def test_a_refresh_token_that_is_not_taken_any_more_falls_back_to_the_password():
    session = sign_in(
        lambda method: (400, {"error": "ExpiredToken"}) if method == "refreshSession" else (200, SIGNED),
        refresh="old",
    )

    assert session.secrets["refresh"] == "r1"


def test_requests_go_to_the_account_s_own_server():
    document = {"service": [{"id": "#atproto_pds", "type": "x", "serviceEndpoint": "https://own.test"}]}

    assert sign_in(lambda _: (200, SIGNED | {"didDoc": document})).account.host == "https://own.test"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {"error": "AuthenticationRequired"}), "invalid_credentials"),
        ((401, {"error": "AuthFactorTokenRequired"}), "invalid_credentials"),
        ((200, SIGNED | {"active": False, "status": "takendown"}), "account_inactive"),
        ((200, {"hello": 1}), "invalid_answer"),
        ((404, []), "sign_in_failed"),
    ],
)
def test_credentials_that_are_not_taken_are_refused_with_a_reason(answer, code):
    with pytest.raises(Rejected) as refused:
        sign_in(lambda _: answer)

    assert refused.value.code == code
    assert "abcd" not in str(refused.value)
