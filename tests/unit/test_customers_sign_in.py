"""A customer signs in with their network: what is asked, what is believed of what comes back, and what is kept of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from tests.scripted import Script, answer

from plait.connectors import Answer, Ask, Fresh, Visit
from plait.connectors.bluesky import Connector as Bluesky
from plait.connectors.mastodon import Connector as Mastodon
from plait.dpop import new_key
from plait.errors import PlaitError, Rejected
from plait.fetch import Fetched, Fetcher
from plait.http.signin import LASTS, MOST_EACH, SignIns

NOW = 1_790_000_000_000
FRESH = Fresh(state="the-state", verifier="v" * 64, key=new_key())
DID, OTHER = "did:plc:" + "a" * 24, "did:plc:" + "b" * 24
PDS, ISSUER, DIRECTORY = "https://pds.example", "https://auth.example", "https://plc.directory"
CLIENT, CALLBACK = (
    "https://plait.shop.example/v1/proofs/client.json",
    "https://plait.shop.example/v1/proofs/callback",
)
VISIT = Visit(handle="@Ann.Example", client=CLIENT, back=CALLBACK)

# In the vendor's own shapes: an identity's document, a server of accounts, an authorization server, its tokens.
AUTHORITY = {
    "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/oauth/authorize", "token_endpoint": f"{ISSUER}/oauth/token",
    "pushed_authorization_request_endpoint": f"{ISSUER}/oauth/par", "revocation_endpoint": f"{ISSUER}/oauth/revoke",
    "scopes_supported": ["atproto"], "require_pushed_authorization_requests": True,
    "authorization_response_iss_parameter_supported": True, "client_id_metadata_document_supported": True,
}  # fmt: skip
TOKENS = {
    "access_token": "an-access-token", "token_type": "DPoP", "expires_in": 3_600, "scope": "atproto", "sub": DID,
    "refresh_token": "a-refresh-token",
}  # fmt: skip


def document(did: str = DID, home: str = PDS, handle: str = "ann.example") -> Answer:
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": home}
    return answer({"id": did, "alsoKnownAs": [f"at://{handle}"], "service": [service]})


def server(issuer: str, **more: Any) -> dict[str, Any]:
    return {f"{issuer}/.well-known/oauth-authorization-server": answer(AUTHORITY | {"issuer": issuer} | more)}


NETWORK: dict[str, Any] = {
    "https://ann.example/.well-known/atproto-did": answer(DID.encode()),
    f"{DIRECTORY}/{DID}": document(),
    f"{PDS}/.well-known/oauth-protected-resource": answer({"resource": PDS, "authorization_servers": [ISSUER]}),
    **server(ISSUER),
    f"{ISSUER}/oauth/par": answer({"request_uri": "urn:ietf:params:oauth:request_uri:req-1", "expires_in": 299}, 201),
    f"{ISSUER}/oauth/token": answer(TOKENS),
    f"{ISSUER}/oauth/revoke": answer({}),
}  # fmt: skip
ANSWERED = {"code": "cod-1", "state": "the-state", "iss": ISSUER}


def asks(visit: Visit = VISIT, **more: Any) -> tuple[Any, Script]:
    script = Script(NETWORK | more)
    return script.run(Bluesky.ask_who(visit, FRESH)), script


def comes_back(
    answered: Mapping[str, str] = ANSWERED, visit: Visit = VISIT, **more: Any
) -> tuple[str, Script]:
    leave, _ = asks(visit)
    script = Script(NETWORK | more)
    try:
        return script.run(Bluesky.who(leave.kept, answered)), script
    except Rejected as error:
        return error.code, script


def given_back(script: Script) -> list[str]:
    return [one.form["token"] for one in script.asked if one.url.endswith("/revoke") and one.form]


# -- what is asked ---------------------------------------------------------------------------------------------


def test_nothing_is_asked_for_but_who_they_are():
    leave, script = asks()
    pushed = script.asked[-1].form or {}

    assert urlsplit(leave.url)._replace(query="").geturl() == f"{ISSUER}/oauth/authorize"
    assert (pushed["scope"], pushed["client_id"], pushed["redirect_uri"]) == ("atproto", CLIENT, CALLBACK)
    assert (pushed["login_hint"], pushed["code_challenge_method"]) == ("ann.example", "S256")
    assert script.asked[-1].dpop == FRESH.key


def test_who_names_no_handle_and_no_server_goes_to_the_networks_own():
    entry = "https://bsky.social"
    there = server(entry) | {f"{ISSUER}/oauth/par": NETWORK[f"{ISSUER}/oauth/par"]}

    _, script = asks(Visit(client=CLIENT, back=CALLBACK), **there)

    assert script.asked[0].url == f"{entry}/.well-known/oauth-protected-resource"
    assert "login_hint" not in (script.asked[-1].form or {})


@pytest.mark.parametrize(
    "back", ["http://127.0.0.1:4711/v1/proofs/callback", "http://[::1]:4711/v1/proofs/callback"]
)
def test_on_this_machine_we_are_the_loopback_client(back):
    _, script = asks(Visit(handle="ann.example", back=back))
    client = urlsplit((script.asked[-1].form or {})["client_id"])

    # Servers leave the port out of account, and want no other host and no path before the question mark.
    assert (client.scheme, client.netloc, client.path) == ("http", "localhost", "")
    assert parse_qs(client.query) == {"redirect_uri": [back.replace(":4711", "")], "scope": ["atproto"]}


def test_without_a_public_address_the_operator_is_told_what_to_set():
    with pytest.raises(Rejected) as told:
        asks(Visit(handle="ann.example", back=CALLBACK))

    assert (told.value.code, told.value.field) == ("no_public_url", "callback")
    assert "public_url" in told.value.message


@pytest.mark.parametrize(
    "handle", ["", "@", "ann", "ann..example", "ann example.com", "a/b.example", "ann.example:8080", "ann.example@evil.example",
               "127.0.0.1", "did:plc:short", "did:plc:../../x", "did:web:evil.example/x", "did:web:localhost%3A1", "did:key:zQ3"],
)  # fmt: skip
def test_what_is_no_handle_is_asked_about_nowhere(handle):
    script = Script(NETWORK)

    with pytest.raises(Rejected) as told:
        script.run(Bluesky.ask_who(Visit(handle=handle or " ", client=CLIENT, back=CALLBACK), FRESH))

    assert (told.value.code, told.value.field) == ("invalid_handle", "handle")
    assert script.asked == []


def test_a_handle_whose_host_may_not_be_asked_is_looked_up_with_the_network():
    steps = Bluesky.ask_who(VISIT, FRESH)
    asked = [next(steps)]
    asked.append(steps.throw(Rejected("ann.example leads to a private address", code="private_address")))

    assert [one.url.partition("?")[0] for one in asked] == [
        "https://ann.example/.well-known/atproto-did",
        "https://public.api.bsky.app/xrpc/com.atproto.identity.resolveHandle",
    ]
    steps.close()


@pytest.mark.parametrize(
    "told",
    [
        {"https://ann.example/.well-known/atproto-did": answer(b"<html>"), f"{DIRECTORY}/{DID}": document()},
        {f"{DIRECTORY}/{DID}": document(handle="somebody.else")},
        {f"{DIRECTORY}/{DID}": answer({"id": DID, "alsoKnownAs": "at://ann.example"})},
    ],
)
def test_a_handle_counts_if_its_account_calls_itself_so(told):
    with pytest.raises(Rejected) as error:
        asks(**told)

    assert error.value.code == "unknown_handle"


@pytest.mark.parametrize(
    "wrong", ["javascript:alert(1)//", "http://auth.example/authorize", "data:text/html,x", "https://ann@auth.example/", "//x", ""]
)  # fmt: skip
def test_a_browser_is_sent_to_https_alone(wrong):
    with pytest.raises(Rejected) as told:
        asks(**server(ISSUER, authorization_endpoint=wrong))

    assert told.value.code == "no_browser"


def test_no_step_of_who_speaks_for_whom_follows_a_redirect():
    _, begun = asks()
    _, ended = comes_back()

    looked = [one for script in (begun, ended) for one in script.asked if one.method == "GET"]
    assert len(looked) > 5
    assert not any(one.redirects for one in looked)


# -- what is believed ------------------------------------------------------------------------------------------


def test_the_account_of_the_token_is_theirs_and_the_token_is_given_back():
    account, script = comes_back()

    assert account == f"bluesky:{DID}"
    assert given_back(script) == ["an-access-token"]
    assert (script.asked[0].form or {})["code_verifier"] == FRESH.verifier


@pytest.mark.parametrize(
    "wrong", [{"iss": "https://evil.example"}, {"iss": ""}, {"iss": f"{ISSUER}/"}, {"state": "another"}]
)
def test_what_comes_back_from_another_server_or_sign_in_gets_no_code_of_ours(wrong):
    """A mix-up: the code of one server must not be taken to another one."""
    code, script = comes_back(ANSWERED | wrong)

    assert code == "invalid_state"
    assert script.asked == []


def test_an_answer_without_its_server_is_refused():
    assert comes_back({"code": "cod-1", "state": "the-state"})[0] == "invalid_state"


def test_who_signs_in_with_another_account_than_they_named_is_told_so():
    token = answer(TOKENS | {"sub": OTHER})

    code, script = comes_back(**{f"{ISSUER}/oauth/token": token, f"{DIRECTORY}/{OTHER}": document(OTHER)})

    assert code == "other_account"
    assert given_back(script) == ["an-access-token"]


ANY = Visit(host="https://auth.example", client=CLIENT, back=CALLBACK)  # any account of that server


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({f"{DIRECTORY}/{DID}": document(home="https://elsewhere.example"), **server("https://elsewhere.example")},
                     id="it lives with another server"),
        pytest.param({f"{DIRECTORY}/{DID}": document(OTHER)}, id="the document is another's"),
        pytest.param({f"{DIRECTORY}/{DID}": answer({}, 404)}, id="it has no document"),
        pytest.param({f"{DIRECTORY}/{DID}": answer({"id": DID, "service": []})}, id="it lives nowhere"),
        pytest.param({f"{DIRECTORY}/{DID}": document(home="http://pds.example")}, id="it lives behind http"),
        pytest.param({f"{DIRECTORY}/{DID}": document(home="https://pds.example/a/b?c=")}, id="it lives behind a path"),
        *(pytest.param({f"{ISSUER}/oauth/token": answer(TOKENS | {"sub": sub})}, id=f"it is {sub}")
          for sub in ("did:web:10.0.0.1", "did:web:a.example/../b", "did:web:x@evil.example", "did:plc:../x", "ann", "")),
    ],
)  # fmt: skip
def test_a_server_speaks_for_nobody_who_does_not_say_so_himself(wrong):
    code, script = comes_back(visit=ANY, **wrong)

    assert code == "not_proven"
    assert given_back(script) == ["an-access-token"]


RESOURCE = f"{PDS}/.well-known/oauth-protected-resource"
AUTH = f"{ISSUER}/.well-known/oauth-authorization-server"


@pytest.mark.parametrize(
    "wrong",
    [
        *({f"{DIRECTORY}/{DID}": answer({"id": DID, "alsoKnownAs": ["at://ann.example"], "service": one})}
          for one in (5, "x", {"a": 1}, [1], [[]], [{"id": "#atproto_pds", "serviceEndpoint": "https://[x"}],
                      [{"id": "#atproto_pds", "serviceEndpoint": {"uri": PDS}}], [{"id": "#atproto_pds", "serviceEndpoint": "https://a:99999"}])),
        *({RESOURCE: answer({"authorization_servers": [one]})}
          for one in ("http://[", "evil.example", ".evil.example", "javascript:x", "https://a@b.example", "https://a.example?x=", "", "//x")),
        *({AUTH: one} for one in (answer(5), answer([]), answer(b"\xff\xfe"), answer({"issuer": ISSUER}), answer(b"[" * 100_000))),
        *({f"{DIRECTORY}/{DID}": one} for one in (answer([]), answer(b"<html>"), answer({"id": 5}), answer({}, 500))),
        *({f"{ISSUER}/oauth/par": one} for one in (answer([], 201), answer({"request_uri": 5}, 201), answer(b"x", 201), answer({}, 302))),
    ],
)  # fmt: skip
def test_nonsense_of_others_is_refused_and_no_mistake_of_ours(wrong):
    with pytest.raises(PlaitError) as told:
        asks(**wrong)

    assert told.value.code in (
        "no_browser",
        "not_proven",
        "sign_in_failed",
        "invalid_answer",
        "unknown_handle",
    )


@pytest.mark.parametrize(
    "token",
    [
        5,
        [],
        "x",
        {"sub": DID},
        TOKENS | {"sub": 5},
        TOKENS | {"token_type": "Bearer"},
        TOKENS | {"scope": None},
    ],
)
def test_a_token_that_is_none_proves_nothing(token):
    leave, _ = asks()

    with pytest.raises(PlaitError) as told:
        Script(NETWORK | {f"{ISSUER}/oauth/token": answer(token)}).run(Bluesky.who(leave.kept, ANSWERED))

    assert told.value.code == "invalid_answer"


def test_an_identity_that_is_none_is_looked_up_nowhere():
    _, script = comes_back(
        visit=ANY, **{f"{ISSUER}/oauth/token": answer(TOKENS | {"sub": "did:web:10.0.0.1"})}
    )

    assert {urlsplit(one.url).hostname for one in script.asked} == {"auth.example"}


@pytest.mark.parametrize(
    "token",
    [answer({"error": "invalid_grant"}, 400), answer(TOKENS | {"scope": "transition:email"})],
)
def test_a_code_that_is_not_taken_proves_nothing(token):
    assert comes_back(**{f"{ISSUER}/oauth/token": token})[0] == "sign_in_failed"


# -- what is kept ----------------------------------------------------------------------------------------------


class Asked:
    """Answers in place of the outside world; what was asked is in ``sent``."""

    def __init__(self, replies: Mapping[str, Answer | Callable[[Mapping[str, str]], Answer]]) -> None:
        self.replies, self.sent = replies, list[tuple[str, dict[str, str], dict[str, str]]]()

    async def fetch(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] = {}, body: bytes = b"", redirects: bool = True
    ) -> Fetched:  # fmt: skip
        assert method in ("GET", "POST")
        self.sent.append((url, dict(headers), dict(parse_qsl(body.decode()))))
        found = self.replies.get(url.partition("?")[0], Answer(404, {}, b"{}"))
        told = found if isinstance(found, Answer) else found(headers)
        return Fetched(told.status, dict(told.headers), told.body, url)


def sign_ins(**more: Any) -> tuple[SignIns, Asked]:
    world = Asked(NETWORK | more)
    return SignIns(world), world  # type: ignore[arg-type]


def begun(signing: SignIns, world: Asked, who: str = "user:ann", now: int = NOW) -> str:
    asyncio.run(signing.begin(who, "bluesky", VISIT, "https://shop.example/account?tab=2", now))
    return next(form["state"] for url, _, form in reversed(world.sent) if url.endswith("/par"))


def returns(signing: SignIns, state: str, now: int = NOW, **answered: str) -> dict[str, str]:
    back = asyncio.run(
        signing.come_back({"state": state, **(answered or {"code": "cod-1", "iss": ISSUER})}, now)
    )
    told = dict(parse_qsl(urlsplit(back).query))
    assert back.startswith("https://shop.example/account?tab=2&")
    assert told.pop("tab") == "2"
    return told


def test_a_proof_is_good_for_whom_it_was_begun_and_works_once():
    signing, world = sign_ins()
    proof = returns(signing, begun(signing, world))["proof"]

    with pytest.raises(Rejected) as other:
        signing.proven(proof, "user:eve", NOW)
    account = signing.proven(proof, "user:ann", NOW)
    signing.spend(proof)
    with pytest.raises(Rejected) as again:
        signing.proven(proof, "user:ann", NOW)

    assert (account, other.value.code, again.value.code) == (f"bluesky:{DID}", "not_proven", "invalid_state")


def refused(signing: SignIns, state: str, now: int = NOW) -> str:
    with pytest.raises(Rejected) as told:
        returns(signing, state, now)
    return told.value.code


def test_a_state_works_once_whatever_came_of_it():
    signing, world = sign_ins()
    for answered in (
        {"code": "cod-1", "iss": ISSUER},
        {"error": "access_denied"},
        {"code": "x", "iss": "https://evil.example"},
    ):
        state = begun(signing, world)
        returns(signing, state, **answered)

        assert refused(signing, state) == "invalid_state"


def test_a_state_that_is_too_old_or_made_up_leads_nowhere():
    signing, world = sign_ins()
    state = begun(signing, world)

    assert refused(signing, "made-up") == "invalid_state"
    assert refused(signing, "") == "invalid_state"
    assert refused(signing, state, NOW + LASTS + 1) == "invalid_state"


def test_a_proof_that_is_too_old_is_refused():
    signing, world = sign_ins()
    proof = returns(signing, begun(signing, world))["proof"]

    with pytest.raises(Rejected) as told:
        signing.proven(proof, "user:ann", NOW + LASTS + 1)

    assert told.value.code == "invalid_state"


def test_who_says_no_comes_back_with_that_word():
    signing, world = sign_ins()

    assert returns(signing, begun(signing, world), error="access_denied", iss=ISSUER) == {"error": "denied"}
    assert returns(signing, begun(signing, world), error="server_error") == {"error": "sign_in_failed"}


def test_what_went_wrong_is_told_to_the_shop_by_its_word_alone():
    signing, world = sign_ins(**{f"{ISSUER}/oauth/token": answer({"error": "invalid_grant"}, 400)})

    assert returns(signing, begun(signing, world)) == {"error": "sign_in_failed"}


def test_the_sign_ins_of_who_is_erased_are_gone():
    signing, world = sign_ins()
    state, proof = begun(signing, world), returns(signing, begun(signing, world))["proof"]

    signing.forget({"user:ann"})

    assert refused(signing, state) == "invalid_state"
    with pytest.raises(Rejected):
        signing.proven(proof, "user:ann", NOW)


def test_of_one_customer_the_newest_sign_ins_count():
    signing, world = sign_ins()
    states = [begun(signing, world) for _ in range(MOST_EACH + 1)]

    assert refused(signing, states[0]) == "invalid_state"
    assert "proof" in returns(signing, states[1])


def test_no_secret_of_a_sign_in_goes_through_the_browser():
    signing, world = sign_ins()
    url = asyncio.run(signing.begin("user:ann", "bluesky", VISIT, "https://shop.example/", NOW))
    state = next(form["state"] for where, _, form in world.sent if where.endswith("/par"))
    back = asyncio.run(signing.come_back({"state": state, "code": "cod-1", "iss": ISSUER}, NOW))

    token = next(form for where, _, form in world.sent if where.endswith("/token"))
    for secret in (token["code_verifier"], "an-access-token", "a-refresh-token", '"d"'):
        assert secret not in url + back + repr(signing.__dict__)


def test_a_server_that_wants_its_nonce_is_asked_again_with_it():
    def wants(headers: Mapping[str, str]) -> Answer:
        seen.append(headers["dpop"])
        if len(seen) == 1:
            return Answer(400, {"dpop-nonce": "n1"}, json.dumps({"error": "use_dpop_nonce"}).encode())
        return NETWORK[f"{ISSUER}/oauth/par"]

    seen: list[str] = []
    signing, world = sign_ins(**{f"{ISSUER}/oauth/par": wants})

    begun(signing, world)

    assert len(set(seen)) == 2


def test_a_network_without_such_a_sign_in_says_so():
    signing, _ = sign_ins()

    with pytest.raises(PlaitError) as told:
        asyncio.run(signing.begin("user:ann", "activitypub", VISIT, "https://shop.example/", NOW))

    assert (told.value.code, told.value.field) == ("invalid_proof", "network")


# -- Mastodon's kin --------------------------------------------------------------------------------------------


def test_on_the_fediverse_the_customer_names_a_server():
    for visit, field in (
        (Visit(back=CALLBACK), "host"),
        (Visit(host=PDS, handle="@a@b", back=CALLBACK), "handle"),
    ):
        with pytest.raises(Rejected) as told:
            Script({}).run(Mastodon.ask_who(visit, FRESH))
        assert told.value.field == field


def test_every_question_about_a_customer_names_its_own_host_or_the_one_that_was_named():
    """So that none goes to a host of ours by a slip."""
    host = "https://social.example"
    script = Script({f"{host}/api/v1/apps": answer({"client_id": "c", "client_secret": "s"})})

    leave = script.run(Mastodon.ask_who(Visit(host=host, back=CALLBACK, name="shop.example"), FRESH))

    assert isinstance(script.asked[0], Ask)
    assert leave.url.startswith(f"{host}/oauth/authorize?")
    assert parse_qs(urlsplit(leave.url).query)["scope"] == ["read:accounts"]


def test_a_handle_that_leads_to_a_machine_of_ours_is_followed_nowhere():
    looked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        looked.append(host)
        return ["10.0.0.7"]

    with pytest.raises(Rejected) as told:
        asyncio.run(
            SignIns(Fetcher(resolve=resolve)).begin(
                "user:ann", "bluesky", VISIT, "https://shop.example/", NOW
            )
        )

    assert told.value.code == "private_address"
    assert looked == ["ann.example", "public.api.bsky.app"]


SOCIAL = "https://social.example"
KIN: dict[str, Any] = {
    f"{SOCIAL}/oauth/token": answer({"access_token": "t0ken"}), f"{SOCIAL}/oauth/revoke": answer({}),
    "/api/v1/accounts/verify_credentials": answer({"id": "7", "acct": "Ann", "uri": f"{SOCIAL}/users/ann"}),
    "/api/v2/instance": answer({"domain": "example.org", "version": "4.5.0"}),
}  # fmt: skip
FINGER = "https://example.org/.well-known/webfinger"


def vouched(*links: Any) -> tuple[str, Script]:
    kept = {
        "host": SOCIAL,
        "client_id": "c",
        "client_secret": "s",
        "redirect_uri": CALLBACK,
        "state": "the-state",
        "code_verifier": "v",
    }
    script = Script(KIN | {FINGER: answer({"links": [*links]})})
    try:
        return script.run(Mastodon.who(kept, {"code": "x", "state": "the-state"})), script
    except Rejected as error:
        return error.code, script


def test_a_domain_elsewhere_has_to_say_that_its_accounts_are_at_this_server():
    assert vouched({"rel": "self", "href": f"{SOCIAL}/users/ann"})[0] == "mastodon:ann@example.org"
    for href in (
        "https://other.example/users/ann",
        "https://social.example.evil.example/",
        "http://[",
        5,
        None,
    ):
        code, script = vouched({"rel": "self", "href": href}, "x", 5)
        assert code == "not_proven"
        assert given_back(script) == ["t0ken"]
