"""Who is who: a person as a function of the edges between identifiers."""

import pytest

from plait.events import Event, Signal
from plait.identity import Link, merged, pairs_of, person, quarantined, tell
from plait.settings import IdentityLimits

LIMITS = IdentityLimits()


def edges(*told):
    """Neighbours from ``(one, other, proof)``; proof is proven, claimed or implicit."""
    links = {}
    for one, other, proof in told:
        link = Link(**({"implicit": True} if proof == "implicit" else {proof: 1}))
        links.setdefault(one, {})[other] = link
        links.setdefault(other, {})[one] = link
    return lambda identifier: links.get(identifier, {})


def who(identifier, neighbours, *, limits=LIMITS, may_link=lambda *_: True):
    return person(identifier, neighbours, limits=limits, may_link=may_link)


def event(signal, *identifiers, **more):
    told = {"id": "1", "source": "web", "at": 5, "received_at": 5, "who": identifiers}
    return Event(signal=Signal(signal), **(told | more))


def test_a_user_reads_the_device_they_logged_in_on():
    assert who("user:u", edges(("user:u", "anonymous:a", "claimed"))) == {
        "user:u": "self",
        "anonymous:a": "claimed",
    }


def test_a_device_never_reads_the_user_who_logged_in_on_it():
    assert who("anonymous:a", edges(("user:u", "anonymous:a", "proven"))) == {"anonymous:a": "self"}


def test_a_shared_device_welds_no_one_to_anyone():
    shared = edges(("user:u", "anonymous:a", "proven"), ("user:v", "anonymous:a", "proven"))

    assert set(who("user:u", shared)) == {"user:u", "anonymous:a"}
    assert set(who("user:v", shared)) == {"user:v", "anonymous:a"}


def test_proof_joins_strong_identifiers_and_a_claim_does_not():
    told = edges(("user:u", "email:e", "proven"), ("user:u", "bluesky:x", "claimed"))

    assert set(who("user:u", told)) == {"user:u", "email:e"}


def test_a_person_runs_through_proven_links():
    told = edges(
        ("user:u", "email:e", "proven"),
        ("email:e", "bluesky:x", "proven"),
        ("bluesky:x", "anonymous:a", "claimed"),
    )

    assert set(who("user:u", told)) == {"user:u", "email:e", "bluesky:x", "anonymous:a"}


def test_a_kiosk_is_nobodys():
    kiosk = edges(*[(f"user:{n}", "anonymous:k", "claimed") for n in range(LIMITS.anonymous + 1)])

    assert quarantined("anonymous:k", kiosk, LIMITS)
    assert who("user:0", kiosk) == {"user:0": "self"}


def test_a_family_tablet_is_still_everybodys():
    tablet = edges(*[(f"user:{n}", "anonymous:k", "claimed") for n in range(LIMITS.anonymous)])

    assert set(who("user:0", tablet)) == {"user:0", "anonymous:k"}


def test_a_mailbox_of_many_users_joins_none_of_them():
    office = edges(*[(f"user:{n}", "email:office", "proven") for n in range(LIMITS.email + 1)])

    assert who("user:0", office) == {"user:0": "self"}
    assert who("email:office", office) == {"email:office": "self"}


def test_claims_of_strangers_do_not_quarantine_anybody():
    told = edges(("user:u", "email:e", "proven"), *[(f"user:x{n}", "email:e", "claimed") for n in range(99)])

    assert set(who("user:u", told)) == {"user:u", "email:e"}


def test_who_has_more_devices_than_anybody_has_none():
    told = edges(
        ("user:u", "email:e", "proven"),
        *[("user:u", f"anonymous:{n}", "claimed") for n in range(LIMITS.user + 1)],
    )

    assert set(who("user:u", told)) == {"user:u", "email:e"}


def test_without_consent_an_edge_joins_nobody():
    told = edges(("user:u", "anonymous:a", "proven"))

    assert who("user:u", told, may_link=lambda *_: False) == {"user:u": "self"}


@pytest.mark.parametrize(
    ("link", "live"),
    [
        (Link(), False),
        (Link(implicit=True), True),
        (Link(claimed=5), True),
        (Link(claimed=5, unlinked=4), True),
        (Link(claimed=5, unlinked=5), False),
        (Link(proven=6, claimed=3, unlinked=5), True),
        (Link(implicit=True, unlinked=0), False),
    ],
)
def test_an_unlink_outdoes_links_up_to_its_own_time(link, live):
    assert link.live is live


def test_what_is_left_of_a_proof_that_was_outdone_is_a_claim():
    assert Link(proven=3, claimed=6, unlinked=5).proof == "claimed"


def test_two_devices_are_not_linked():
    assert pairs_of(event("identify", "anonymous:a", "anonymous:b")) == []


def test_two_names_in_passing_are_no_claim_that_they_are_one():
    assert pairs_of(event("view", "user:u", "email:e", "anonymous:a")) == [
        ("anonymous:a", "email:e"),
        ("anonymous:a", "user:u"),
    ]


def test_blocked_values_never_link():
    assert pairs_of(event("identify", "user:null", "anonymous:a"), frozenset({"user:null"})) == []


def test_robots_link_nobody():
    assert pairs_of(event("identify", "user:u", "anonymous:a", context={"bot": True})) == []


def test_a_link_that_is_taken_back_is_an_unlink():
    assert tell(Link(), event("link", "user:u", "email:e", op="retract")) == Link(unlinked=5)


def test_the_secret_key_proves_what_the_write_key_claims():
    assert tell(Link(), event("identify", "user:u", "anonymous:a", proven=True)) == Link(proven=5)
    assert tell(Link(), event("identify", "user:u", "anonymous:a")) == Link(claimed=5)


def test_rows_written_in_pieces_add_up():
    one = Link(claimed=3, consent=(2, "a", True))
    other = Link(proven=4, unlinked=1, implicit=True, consent=(2, "b", False))

    assert merged(one, other) == Link(claimed=3, proven=4, unlinked=1, implicit=True, consent=(2, "b", False))


# -- networks that ask for an express yes ---------------------------------------------------------------------


def test_an_account_on_x_is_tied_to_nobody_by_naming_both():
    named = ("user:u", "x:1", "anonymous:a")

    for signal in ("identify", "view", "link"):
        assert pairs_of(event(signal, *named, proven=True)) == [("anonymous:a", "user:u")]


def test_an_account_on_x_is_tied_with_its_persons_express_yes_that_the_company_vouches_for():
    said = {"consent": {"link": True}}

    assert pairs_of(event("link", "user:u", "x:1", proven=True, **said)) == [("user:u", "x:1")]
    assert pairs_of(event("link", "user:u", "x:1", **said)) == []


def test_it_can_always_be_untied():
    assert pairs_of(event("unlink", "user:u", "x:1")) == [("user:u", "x:1")]


def test_a_link_says_how_it_was_proven():
    proof = event("link", "user:u", "bluesky:d", proven=True, properties={"proof": "code"})
    later = event("link", "user:u", "bluesky:d", proven=True, properties={"proof": "rel_me"}, at=9, id="2")

    assert tell(tell(Link(), proof), later).how == tell(tell(Link(), later), proof).how == (9, "2", "rel_me")


def test_a_proof_that_nobody_knows_is_none():
    assert (
        tell(Link(), event("link", "user:u", "bluesky:d", proven=True, properties={"proof": "a hunch"})).how
        is None
    )
