"""An inbox of ActivityPub: who is believed, what it tells, and what it does with what is meant to do harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.scripted import Script, answer, remembered

from plait.connectors import Account, Received
from plait.connectors._inbox import Inbox, Known
from plait.connectors._signatures import SKEW, Place, claim_of, is_signed_by, signed
from plait.connectors.activitypub import Connector
from plait.errors import Rejected, Unavailable

NOW = 1_790_000_000_000
OURS = "https://shop.example/users/shop"
POST = f"{OURS}/statuses/100"
INBOX = f"{OURS}/inbox"
ME = "mastodon:shop@shop.example"
ANN = "https://far.example/users/ann"
PUBLIC = "https://www.w3.org/ns/activitystreams#Public"


def new_key() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PRIVATE, PEM = new_key()
OTHERS_PRIVATE, OTHERS_PEM = new_key()


def actor(uri: str = ANN, pem: str = PEM, **more: Any) -> dict[str, Any]:
    return {
        "id": uri, "type": "Person", "preferredUsername": uri.rpartition("/")[2], "inbox": f"{uri}/inbox",
        "followers": f"{uri}/followers", "publicKey": {"id": f"{uri}#main-key", "owner": uri, "publicKeyPem": pem},
    } | more  # fmt: skip


class Sender:
    """A server that delivers to our inbox, and answers when it is asked who signed."""

    def __init__(self, **replies: Any) -> None:
        self.replies: dict[str, Any] = {f"{ANN}#main-key": answer(actor())} | replies
        self.now = NOW
        self.inbox = Inbox(
            Account(source=ME, host="https://shop.example", me=ME, settings={"actor": OURS, "inbox": INBOX}),
            lambda: self.now, known=Known(),
        )  # fmt: skip
        self.asked: list[str] = []

    def headers(
        self,
        body: bytes,
        *,
        at: int = NOW,
        key_id: str = f"{ANN}#main-key",
        private: str = PRIVATE,
        to: str = INBOX,
    ) -> dict[str, str]:
        return signed("POST", to, body, key_id=key_id, private_pem=private, now=at)

    def send(self, activity: Any, headers: Mapping[str, str] | None = None, **how: Any) -> Received:
        body = activity if isinstance(activity, bytes) else json.dumps(activity).encode()
        script = Script(self.replies)
        found: Received = script.run(self.inbox.receive(headers or self.headers(body, **how), body))
        self.asked += [one.url for one in script.asked]
        assert all(one.guarded for one in script.asked)
        return found

    def told(self, activity: Any, **how: Any) -> list[tuple[str, str, str, str]]:
        return [
            (one.signal.value, one.op, one.actor, one.about.post or one.about.account or "")
            for one in self.send(activity, **how).page.facts
        ]


def act(kind: str, thing: Any = POST, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{ANN}#{kind}/1", "actor": ANN, "object": thing} | more


def note(**more: Any) -> dict[str, Any]:
    return {
        "type": "Note", "id": "https://far.example/n/1", "attributedTo": ANN, "content": "<p>how heavy?</p>",
        "published": "2026-09-01T10:00:00Z", "to": [PUBLIC], "cc": [OURS], "inReplyTo": POST,
        "tag": [{"type": "Mention", "href": OURS, "name": "@shop@shop.example"}],
    } | more  # fmt: skip


# -- what it tells ---------------------------------------------------------------------------------------------

LIKED = ("like", "assert", "mastodon:ann@far.example", POST)


def test_a_like_and_its_undo_are_told():
    sender = Sender()

    assert sender.told(act("Like")) == [LIKED]
    assert sender.told(act("Undo", act("Like"))) == [("like", "retract", "mastodon:ann@far.example", POST)]


@pytest.mark.parametrize(
    ("activity", "told"),
    [
        (act("Announce"), ("share", "assert", POST)),
        (act("EmojiReact", content="🏕"), ("react", "assert", POST)),
        (act("Like", content="🏕"), ("react", "assert", POST)),
        (act("Follow", OURS), ("follow", "assert", ME)),
        (act("Undo", act("Follow", OURS)), ("follow", "retract", ME)),
        (act("Undo", act("Announce", {"id": POST, "type": "Note"})), ("share", "retract", POST)),
        (act("Create", note()), ("reply", "assert", POST)),
        (act("Create", note(inReplyTo=None)), ("mention", "assert", ME)),
        (act("Create", note(inReplyTo=None, quoteUrl=POST)), ("quote", "assert", POST)),
        (act("Create", note(inReplyTo=None, to=[OURS], cc=[])), ("message", "assert", ME)),
        (act("Create", note(inReplyTo=None, to=[f"{ANN}/followers"], cc=[OURS])), ("mention", "assert", ME)),
    ],
)  # fmt: skip
def test_each_activity_is_told_as_what_it_is(activity: dict[str, Any], told: tuple[str, str, str]):
    assert Sender().told(activity) == [(told[0], told[1], "mastodon:ann@far.example", told[2])]


def test_a_deletion_takes_back_the_note_by_its_record():
    (fact,) = Sender().send(act("Delete", {"type": "Tombstone", "id": "https://far.example/n/1"})).page.facts

    assert (fact.op, fact.record) == ("retract", "https://far.example/n/1")


def test_who_deletes_the_account_is_gone():
    assert Sender().send(act("Delete", ANN)).page.gone == ["mastodon:ann@far.example"]


def test_who_was_deleted_with_the_key_is_gone_when_the_server_says_so():
    sender = Sender(**{f"{ANN}#main-key": answer({}, 410), ANN: answer({}, 410)})

    assert sender.send(act("Delete", ANN)).page.gone == ["mastodon:ann@far.example"]


def test_nobody_is_gone_because_something_else_on_their_server_is():
    sender = Sender(**{"https://far.example/n/gone": answer({}, 410), ANN: answer(actor())})

    refused(
        sender,
        act("Delete", ANN),
        "cannot be had",
        key_id="https://far.example/n/gone",
        private=OTHERS_PRIVATE,
    )


def test_who_blocks_us_follows_us_no_longer():
    assert Sender().told(act("Block", OURS))[0] == ("follow", "retract", "mastodon:ann@far.example", ME)


@pytest.mark.parametrize(
    "activity",
    [
        act("Like", "https://other.example/n/9"), act("Follow", "https://shop.example/users/boss"),
        act("Undo", "https://far.example/likes/1"), act("Undo", act("Like") | {"actor": "https://far.example/users/bob"}),
        act("Create", note(attributedTo="https://far.example/users/bob")), act("Create", note(id="https://other.example/n/1")),
        act("Create", note(inReplyTo=None, cc=[], tag=[])), act("Delete", "https://other.example/n/1"), act("Move", ANN),
        act("Update", note()), act("Flag"), act("Create", 7), act("Create", None), act("Like", None), act("Like", {"id": 7}),
        act("Undo", {"type": ["Undo"]}), act("Invented"), act("Create", note(type="Tombstone")),
    ],
)  # fmt: skip
def test_what_is_not_about_us_or_makes_no_sense_is_thanked_for_and_tells_nothing(activity: dict[str, Any]):
    sender = Sender()

    received = sender.send(activity)

    assert (received.status, list(received.page.facts), list(received.page.gone)) == (202, [], [])
    assert sum(sender.inbox.ignored.values()) == 1


def test_a_post_whose_address_does_not_tell_its_author_is_asked_for():
    post = "https://shop.example/objects/abc"
    sender = Sender(**{post: answer({"id": post, "type": "Note", "attributedTo": OURS})})

    assert sender.told(act("Like", post)) == [("like", "assert", "mastodon:ann@far.example", post)]


# -- who is believed -------------------------------------------------------------------------------------------


def refused(
    sender: Sender, activity: Any, match: str, headers: Mapping[str, str] | None = None, **how: Any
) -> None:
    with pytest.raises(Rejected, match=match) as found:
        sender.send(activity, headers, **how)
    assert found.value.status == 401


def test_what_is_not_signed_is_refused():
    refused(Sender(), act("Like"), "there is none", {"date": "now"})


def test_what_another_key_signed_is_refused():
    refused(Sender(), act("Like"), "did not make it", private=OTHERS_PRIVATE)


def test_what_somebody_signed_in_another_name_is_refused():
    bob = "https://far.example/users/bob"
    sender = Sender(**{f"{bob}#main-key": answer(actor(bob, OTHERS_PEM))})

    refused(sender, act("Like"), "not its actor's", key_id=f"{bob}#main-key", private=OTHERS_PRIVATE)


def test_a_key_on_another_server_speaks_for_nobody():
    evil = "https://evil.example/key"
    document = {"id": evil, "owner": ANN, "publicKeyPem": OTHERS_PEM}

    refused(
        Sender(**{evil: answer(document)}), act("Like"), "another server", key_id=evil, private=OTHERS_PRIVATE
    )


def test_a_key_that_its_owner_does_not_know_is_refused():
    forged = "https://far.example/uploads/key.json"
    sender = Sender(**{
        forged: answer({"id": forged, "owner": ANN, "publicKeyPem": OTHERS_PEM}), ANN: answer(actor()),
    })  # fmt: skip

    refused(sender, act("Like"), "no key", key_id=forged, private=OTHERS_PRIVATE)


def test_a_key_with_a_document_of_its_own_is_believed_when_its_owner_names_it():
    key = f"{ANN}/main-key"
    pair = {"id": key, "owner": ANN, "publicKeyPem": PEM}
    sender = Sender(**{key: answer(pair), ANN: answer(actor(publicKey=pair))})

    assert sender.told(act("Like"), key_id=key) == [LIKED]


@pytest.mark.parametrize("off", [-SKEW - 2_000, SKEW + 2_000])
def test_what_was_signed_long_ago_or_in_the_future_is_refused(off: int):
    refused(Sender(), act("Like"), "too long ago", at=NOW + off)


def test_a_body_that_was_changed_is_refused():
    sender = Sender()
    headers = sender.headers(json.dumps(act("Like")).encode())

    refused(sender, act("Announce"), "digest", headers)


def test_what_was_signed_for_another_inbox_is_refused():
    refused(Sender(), act("Like"), "did not make it", to="https://other.example/inbox")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("(request-target) host", "host", "where"), (" host", "", "where"), (" digest", "", "body"), (" date", "", "time"),
        ('headers="', 'headers="x-missing ', "x-missing"), ('signature="', 'signature="!', "base64"),
        ('keyId="', 'keyId="https://other.example/k",keyId="', "twice"),
    ],
)  # fmt: skip
def test_a_signature_that_covers_too_little_is_refused(old: str, new: str, match: str):
    sender = Sender()
    headers = sender.headers(json.dumps(act("Like")).encode())

    refused(sender, act("Like"), match, headers | {"signature": headers["signature"].replace(old, new)})


def test_an_old_like_that_is_delivered_again_does_not_undo_its_undo():
    sender = Sender()
    like = json.dumps(act("Like")).encode()
    headers = sender.headers(like)
    first = sender.send(like, headers)
    sender.now += 60_000
    undo = sender.send(act("Undo", act("Like")), at=sender.now)
    sender.now += 60_000

    again = sender.send(like, headers)

    assert again.page.facts[0].at < undo.page.facts[0].at
    assert again.page.facts == first.page.facts


def test_what_was_signed_in_one_second_happened_in_the_order_in_which_it_came():
    sender = Sender()
    acts = [act("Like"), act("Undo", act("Like")), act("Like", content="🏕"), act("Announce")]

    times = [sender.send(one).page.facts[0].at for one in acts]

    assert times == [NOW, NOW + 1, NOW + 2, NOW + 3]


def test_a_delivery_that_waited_is_read_as_of_when_it_came():
    sender = Sender()
    body = json.dumps(act("Like")).encode()
    headers = sender.headers(body)
    sender.now += 20 * 3_600_000

    received = sender.send(body, headers | {":received-at": str(NOW)})

    assert received.page.facts[0].at == NOW


def test_a_new_key_is_fetched_when_the_old_one_does_not_fit_but_not_for_each_delivery():
    sender = Sender()
    sender.send(act("Like"))
    sender.replies[f"{ANN}#main-key"] = answer(actor(pem=OTHERS_PEM))

    refused(sender, act("Like"), "did not make it", private=OTHERS_PRIVATE)  # asked a moment ago
    sender.now += 120_000
    assert sender.told(act("Like"), private=OTHERS_PRIVATE, at=sender.now) == [LIKED]


def test_who_is_erased_is_in_the_mind_of_no_inbox_any_more():
    elsewhere = "https://far.example/@ann/7"
    sender = Sender(**{elsewhere: answer(note(id=elsewhere, attributedTo=ANN))})
    sender.send(act("Like", elsewhere))
    sender.send(act("Like"))
    assert "far.example" in remembered(sender.inbox)

    sender.inbox.forget("mastodon:ann@far.example".__eq__)

    assert "far.example" not in remembered(sender.inbox)


def test_who_stays_is_remembered_when_somebody_else_is_erased():
    sender = Sender()
    sender.send(act("Like"))

    sender.inbox.forget("mastodon:bob@far.example".__eq__)
    sender.send(act("Like"))

    assert sender.asked.count(f"{ANN}#main-key") == 1


def test_a_key_is_remembered():
    sender = Sender()
    for _ in range(5):
        sender.send(act("Like"))

    assert sender.asked.count(f"{ANN}#main-key") == 1


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, {"publicKey": 7}, {"publicKey": {"id": f"{ANN}#main-key", "publicKeyPem": "x"}},
     actor(pem="-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"), actor(preferredUsername="a b"),
     actor(uri="https://far.example/users/bob"), actor(preferredUsername=None)],
)  # fmt: skip
def test_a_document_that_is_no_actor_is_no_reason_to_believe(document: Any):
    with pytest.raises(Rejected):
        Sender(**{f"{ANN}#main-key": answer(document)}).send(act("Like"))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"{}", b"\xff\xfe", b"[" * 200_000, b'{"type": 7}', b" " * 1_100_000]
)
def test_a_body_that_is_no_activity_is_refused(body: bytes):
    with pytest.raises(Rejected) as found:
        Sender().send(body)
    assert found.value.status in (400, 413)


# -- names -----------------------------------------------------------------------------------------------------


def finger(subject: str, href: str = ANN) -> Any:
    return answer(
        {"subject": subject, "links": [{"rel": "self", "type": "application/activity+json", "href": href}]}
    )


def test_a_name_on_another_domain_is_taken_when_that_domain_agrees():
    sender = Sender(**{
        "https://far.example/.well-known/webfinger": finger("acct:ann@example.org"),
        "https://example.org/.well-known/webfinger": finger("acct:ann@example.org"),
    })  # fmt: skip

    assert sender.told(act("Like"))[0][2] == "mastodon:ann@example.org"


@pytest.mark.parametrize("href", ["https://example.org/users/ann", ""])
def test_nobody_takes_a_name_on_a_domain_that_does_not_know_them(href: str):
    sender = Sender(**{
        "https://far.example/.well-known/webfinger": finger("acct:ceo@example.org"),
        "https://example.org/.well-known/webfinger": finger("acct:ceo@example.org", href),
    })  # fmt: skip

    assert sender.told(act("Like"))[0][2] == "mastodon:ann@far.example"


# -- signatures ------------------------------------------------------------------------------------------------


def test_the_example_of_rfc_9421_is_believed():
    pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n"
    headers = {  # appendix B.2.6
        "date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json", "content-length": "18",
        "signature-input": 'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
        "signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    }  # fmt: skip
    place = Place("https", "example.com", "/foo?param=Value&Pet=dog")

    claim = claim_of(headers, b"", [place], now=1_618_884_473_000)

    assert is_signed_by(claim, pem)
    assert not is_signed_by(claim_of(headers | {"content-length": "19"}, b"", [place], now=claim.at), pem)


@pytest.mark.parametrize(
    ("covered", "match"),
    [('"@method" "content-digest"', "where"), ('"@method" "@target-uri"', "body"), ('"@target-uri" "content-digest"', "where"),
     ('"@method" "@target-uri" "content-digest";sf', "not known"), ('"@method" "@path" "content-digest"', "where")],
)  # fmt: skip
def test_a_signature_of_rfc_9421_has_to_cover_as_much(covered: str, match: str):
    headers = {
        "signature-input": f'sig1=({covered});created={NOW // 1000};keyid="k"', "signature": "sig1=:AAAA:",
        "content-digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    }  # fmt: skip

    with pytest.raises(Rejected, match=match):
        claim_of(headers, b"x", [Place("https", "shop.example", "/inbox")], now=NOW)


@pytest.mark.parametrize("name", ["signature", "signature-input"])
@pytest.mark.parametrize(
    "value", ["", "x", '"' * 4_000, "(" * 4_000, ",=" * 2_000, 'a="b' * 1_000, "sig1=" + "x" * 9_000, "é"]
)
def test_a_header_that_means_harm_is_refused(name: str, value: str):
    headers = {
        "signature-input": 'sig1=("@method" "@target-uri");created=1;keyid="k"',
        "signature": "sig1=:AAAA:",
    }

    with pytest.raises(Rejected):
        claim_of(headers | {name: value}, b"", [Place("https", "shop.example", "/inbox")], now=1_000)


# -- an actor of our own ---------------------------------------------------------------------------------------


def own(now: int = NOW) -> Connector:
    session = Script({}).run(Connector.sign_in({"name": "shop"}, "https://social.shop.example", now))
    return Connector(session.account, watched=lambda _: False, now=lambda: now, secrets=session.secrets)


OWN = own()
BASE = "https://social.shop.example/webhooks/activitypub/activitypub:shop@social.shop.example"


def served(path: str) -> Any:
    found = Script({}).run(OWN.serve(path, {}))
    return None if found is None else json.loads(found.body)


def test_our_actor_is_found_by_its_name():
    found = served("/.well-known/webfinger?resource=acct:shop@social.shop.example")

    assert found["links"][0]["href"] == f"{BASE}/actor"
    assert served("/.well-known/webfinger?resource=acct:other@social.shop.example") is None


def test_our_actor_shows_its_inbox_and_its_key_and_nobody_who_follows():
    path = BASE.removeprefix("https://social.shop.example")

    document = served(f"{path}/actor")

    assert (document["inbox"], document["publicKey"]["owner"]) == (BASE, f"{BASE}/actor")
    assert "PRIVATE" not in json.dumps(document)
    assert served(f"{path}/actor/followers")["orderedItems"] == []
    assert served(f"{path}/actor/secrets") is None


def test_who_follows_our_actor_is_accepted_with_a_signature_of_ours():
    body = json.dumps(act("Follow", f"{BASE}/actor", id="https://far.example/f/1")).encode()
    script = Script({f"{ANN}#main-key": answer(actor()), f"{ANN}/inbox": answer({}, 202)})
    headers = signed("POST", BASE, body, key_id=f"{ANN}#main-key", private_pem=PRIVATE, now=NOW)

    received = script.run(OWN.receive(headers, body))

    assert [one.signal for one in received.page.facts] == ["follow"]
    accept = script.asked[-1]
    assert (accept.method, accept.url, accept.guarded) == ("POST", f"{ANN}/inbox", True)
    assert json.loads(bytes(accept.body))["object"]["id"] == "https://far.example/f/1"
    claim = claim_of(
        accept.headers, bytes(accept.body), [Place("https", "far.example", "/users/ann/inbox")], now=NOW
    )
    assert is_signed_by(
        claim,
        served(f"{BASE.removeprefix('https://social.shop.example')}/actor")["publicKey"]["publicKeyPem"],
    )


def test_a_follow_whose_answer_cannot_be_delivered_is_to_be_read_again():
    body = json.dumps(act("Follow", f"{BASE}/actor")).encode()
    headers = signed("POST", BASE, body, key_id=f"{ANN}#main-key", private_pem=PRIVATE, now=NOW)

    with pytest.raises(Unavailable):
        Script({f"{ANN}#main-key": answer(actor())}).run(own().receive(headers, body))


def test_signing_in_again_keeps_the_key():
    first = Script({}).run(Connector.sign_in({}, "https://social.shop.example", NOW))

    again = Script({}).run(Connector.sign_in(first.secrets, "https://social.shop.example", NOW))

    assert again.account == first.account
