"""Signing in with a browser: what is asked of a server, what is believed of what comes back, and how a sign-in is kept."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.scripted import Script, answer

from plait.connectors import Answer, Ask, Fresh
from plait.connectors.bluesky import Connector as Bluesky
from plait.connectors.mastodon import Connector as Mastodon
from plait.dpop import new_key
from plait.errors import PlaitError

NOW = 1_790_000_000_000
HOST = "https://social.example"
BACK = "http://127.0.0.1:4711/"
FRESH = Fresh(state="the-state", verifier="v" * 64, key=new_key())
APP = {"/api/v1/apps": answer({"client_id": "c1", "client_secret": "s1"})}
PKCE = {"/.well-known/oauth-authorization-server": answer({"code_challenge_methods_supported": ["S256"]})}


def began(replies: dict[str, Any], back: str = BACK) -> tuple[dict[str, str], Any]:
    leave = Script(replies).run(Mastodon.begin({}, HOST, back, FRESH))
    return {name: one[0] for name, one in parse_qs(urlsplit(leave.url).query).items()}, leave.kept


# -- Mastodon --------------------------------------------------------------------------------------------------


def test_we_ask_to_read_and_nothing_else():
    asked, _ = began(APP)

    assert asked["scope"] == "read"
    assert asked["state"] == "the-state"


def test_pkce_is_used_where_the_server_has_it():
    assert began(APP | PKCE)[0]["code_challenge_method"] == "S256"
    assert "code_challenge" not in began(APP)[0]


def test_a_code_is_shown_where_no_browser_comes_back():
    assert began(APP, back="")[0]["redirect_uri"] == "urn:ietf:wg:oauth:2.0:oob"


def test_a_code_becomes_an_access_token():
    _, kept = began(APP | PKCE)
    script = Script(
        {
            "/oauth/token": answer(
                {
                    "access_token": "a1",
                    "created_at": 1_790_000_000,
                    "expires_in": 7_200,
                    "refresh_token": "r1",
                }
            )
        }
    )

    told = script.run(Mastodon.finish(kept, {"code": "x", "state": "the-state"}, HOST))

    assert told["access_token"] == "a1"
    assert told["expires_at"] == "1790007200000"
    assert script.asked[0].form["code_verifier"] == FRESH.verifier


@pytest.mark.parametrize("answered", [{}, {"code": ""}, {"code": "x"}, {"code": "x", "state": "another"}])
def test_what_came_back_from_another_sign_in_is_refused(answered):
    _, kept = began(APP)

    with pytest.raises(PlaitError) as told:
        Script({}).run(Mastodon.finish(kept, answered, HOST))

    assert told.value.code == "invalid_state"


HELD = {
    "access_token": "a1",
    "refresh_token": "r1",
    "client_id": "c1",
    "client_secret": "s1",
    "expires_at": str(NOW + 3_600_000),
}
RENEWED = answer(
    {"access_token": "a2", "refresh_token": "r2", "created_at": NOW // 1000, "expires_in": 7_200}
)
SERVER = {
    "/api/v2/instance": answer({"domain": "social.example", "version": "4.4.0"}), "/oauth/token": RENEWED,
}  # fmt: skip


def mine(ask: Ask) -> Answer:
    """Takes the second token alone."""
    good = ask.headers["authorization"] == "Bearer a2"
    return answer({"id": "7", "acct": "shop"}) if good else answer({"error": "The access token expired"}, 401)


def test_a_token_that_is_over_is_renewed_before_it_is_used():
    script = Script(SERVER | {"/api/v1/accounts/verify_credentials": mine})

    session = script.run(Mastodon.sign_in(HELD | {"expires_at": str(NOW)}, HOST, NOW))

    assert script.asked[0].url == "/oauth/token"
    assert [(secrets["refresh_token"], asked) for secrets, asked in script.renewed] == [("r2", 1)]
    assert script.asked[0].once
    assert session.secrets["refresh_token"] == "r2"
    assert session.expires_at == NOW // 1000 * 1000 + 7_200_000


def test_a_token_that_the_server_does_not_take_is_renewed_once():
    script = Script(SERVER | {"/api/v1/accounts/verify_credentials": mine})

    session = script.run(Mastodon.sign_in(HELD, HOST, NOW))

    assert session.headers == {"authorization": "Bearer a2"}
    assert [one.url for one in script.asked].count("/oauth/token") == 1


def test_who_was_signed_out_is_told_what_to_do():
    refused = answer({"error": "invalid_grant"}, 400)
    script = Script({"/api/v1/accounts/verify_credentials": answer({}, 401), "/oauth/token": refused})

    with pytest.raises(PlaitError) as told:
        script.run(Mastodon.sign_in(HELD, HOST, NOW))

    assert told.value.code == "signed_out"
    assert "plait connect mastodon" in told.value.message


def test_what_a_browser_gave_is_revoked_in_the_end_and_what_was_pasted_is_not():
    script = Script({"/oauth/revoke": answer({})})

    script.run(Mastodon.sign_out(HELD, HOST))
    script.run(Mastodon.sign_out({"access_token": "pasted"}, HOST))

    assert [one.form["token"] for one in script.asked] == ["a1"]


# -- Bluesky ---------------------------------------------------------------------------------------------------

DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
PDS = "https://pds.example"
ISSUER = "https://auth.example"
AUTHORITY = {
    "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/authorize", "token_endpoint": f"{ISSUER}/token",
    "pushed_authorization_request_endpoint": f"{ISSUER}/par", "revocation_endpoint": f"{ISSUER}/revoke",
}  # fmt: skip
DOCUMENT = {"id": DID, "service": [{"id": "#atproto_pds", "serviceEndpoint": PDS}]}
TOKENS = {
    "access_token": "at1", "refresh_token": "rt1", "token_type": "DPoP", "sub": DID, "scope": "atproto transition:generic",
    "expires_in": 3_600,
}  # fmt: skip
NETWORK = {
    f"{PDS}/.well-known/oauth-protected-resource": answer({"authorization_servers": [ISSUER]}),
    f"{ISSUER}/.well-known/oauth-authorization-server": answer(AUTHORITY),
    f"{ISSUER}/par": answer({"request_uri": "urn:request:1", "expires_in": 300}, 201), f"{ISSUER}/token": answer(TOKENS), f"https://plc.directory/{DID}": answer(DOCUMENT),
    f"{PDS}/xrpc/com.atproto.server.getSession": answer({"did": DID, "handle": "shop.example", "active": True}),
    f"{ISSUER}/revoke": answer({}),
}  # fmt: skip
ANSWERED = {"code": "x", "state": "the-state", "iss": ISSUER}


def kept_of(**more: Any) -> tuple[Any, Script]:
    script = Script(NETWORK | more)
    return script.run(Bluesky.begin({"identifier": "shop.example"}, PDS, BACK, FRESH)), script


def finished(answered: dict[str, str] = ANSWERED, **more: Any) -> dict[str, str]:
    leave, _ = kept_of()
    return Script(NETWORK | more).run(Bluesky.finish(leave.kept, answered, PDS))


def test_what_we_ask_for_is_pushed_and_bound_to_our_key():
    leave, script = kept_of()
    pushed = script.asked[-1]

    assert leave.url.startswith(f"{ISSUER}/authorize?")
    assert "request_uri=urn" in leave.url
    assert pushed.form["login_hint"] == "shop.example"
    assert pushed.dpop == FRESH.key
    assert pushed.guarded  # the account's host named it, and might name a machine of ours


def test_a_code_becomes_tokens_of_the_account_that_the_server_speaks_for():
    told = finished()

    assert (told["did"], told["pds"], told["access_token"]) == (DID, PDS, "at1")


def test_a_server_that_does_not_speak_for_the_account_proves_nothing():
    elsewhere = {"id": DID, "service": [{"id": "#atproto_pds", "serviceEndpoint": "https://other.example"}]}
    other = {"https://other.example/.well-known/oauth-protected-resource": answer({"authorization_servers": ["https://auth2.example"]}),
             "https://auth2.example/.well-known/oauth-authorization-server": answer(AUTHORITY | {"issuer": "https://auth2.example"})}  # fmt: skip

    with pytest.raises(PlaitError) as told:
        finished(**{f"https://plc.directory/{DID}": answer(elsewhere)}, **other)

    assert told.value.code == "not_proven"


@pytest.mark.parametrize(
    "wrong", [{"iss": "https://evil.example"}, {"iss": ""}, {"state": "another"}, {"code": ""}]
)
def test_what_came_back_from_elsewhere_is_refused(wrong):
    with pytest.raises(PlaitError) as told:
        finished(ANSWERED | wrong)

    assert told.value.code == "invalid_state"


@pytest.mark.parametrize(
    "tokens", [TOKENS | {"token_type": "Bearer"}, {"access_token": "x"}, ["x"], TOKENS | {"scope": "read"}]
)
def test_a_token_that_is_not_what_was_asked_for_is_refused(tokens):
    with pytest.raises(PlaitError):
        finished(**{f"{ISSUER}/token": answer(tokens)})


def test_a_session_is_renewed_when_it_is_over_and_its_refresh_token_is_the_new_one():
    secrets = finished()
    first = Script(NETWORK).run(Bluesky.sign_in({**secrets, "stream": "none"}, PDS, NOW))
    later = Script(
        NETWORK | {f"{ISSUER}/token": answer(TOKENS | {"access_token": "at2", "refresh_token": "rt2"})}
    )

    again = later.run(Bluesky.sign_in({**first.secrets, "stream": "none"}, PDS, first.expires_at))

    # On disk before anything else is asked: what is asked next may fail, and the old one is void.
    assert [(secrets["refresh_token"], asked) for secrets, asked in later.renewed] == [("rt2", 1)]
    assert [one.once for one in later.asked] == [True, False]
    assert first.expires_at == NOW + 3_600_000
    assert (again.headers["authorization"], again.secrets["refresh_token"]) == ("DPoP at2", "rt2")
    assert again.account.me == f"bluesky:{DID}"
    assert again.dpop == FRESH.key
    assert "expires_in" not in again.secrets  # or the next start would take the old token for a new one


def test_who_was_signed_out_of_bluesky_is_told_what_to_do():
    secrets = finished() | {"expires_at": "0", "stream": "none"}
    del secrets["expires_in"]

    with pytest.raises(PlaitError) as told:
        Script(NETWORK | {f"{ISSUER}/token": answer({"error": "invalid_grant"}, 400)}).run(
            Bluesky.sign_in(secrets, PDS, NOW)
        )

    assert told.value.code == "signed_out"
    # What the operator chose is said again, or the account would come back with defaults.
    assert f"plait connect bluesky --sign-in --with host={PDS} --with stream=none" in told.value.message


def test_a_host_that_signs_nobody_in_says_so():
    with pytest.raises(PlaitError) as told:
        Script({}).run(Bluesky.begin({}, PDS, BACK, FRESH))

    assert told.value.code == "no_browser"


def test_no_secret_shows_where_steps_are_printed():
    leave, script = kept_of()
    secrets = finished()

    shown = repr(
        [
            leave,
            FRESH,
            *script.asked,
            Script(NETWORK).run(Bluesky.sign_in({**secrets, "stream": "none"}, PDS, NOW)),
        ]
    )

    assert json.loads(FRESH.key)["d"] not in shown
    assert "at1" not in shown
    assert FRESH.verifier not in shown
