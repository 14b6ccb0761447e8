"""Codes that customers send from their accounts, and links on their profiles."""

from __future__ import annotations

import pytest

from plait.errors import Rejected
from plait.proofs import LASTS, MOST_EACH, Codes, account_at, codes_in, links_to

NOW = 1_800_000_000_000
PAGE = "https://shop.example/people/f3a9"


@pytest.fixture
def codes(tmp_path):
    return Codes(tmp_path, now=NOW)


def whose(waiting):
    return waiting and waiting.identifier


def test_a_code_is_found_however_it_is_typed(codes):
    code, _ = codes.give("user:ann", "bluesky", None, NOW)

    for text in (code, f"hi, my code is {code.lower()}!", code.replace("0", "o").replace("1", "l")):
        assert codes_in(text) == [code]


@pytest.mark.parametrize("text", ["", "PLAIT-12-34", "XPLAIT-AAAA-BBBB", "plait-aaaa-bbbbb", "P L A I T"])
def test_what_is_no_code_is_none(text):
    assert codes_in(text) == []


def test_a_code_says_who_was_given_it(codes):
    code, until = codes.give("user:ann", "bluesky", None, NOW)

    assert whose(codes.of(code, "bluesky:did:plc:a", NOW)) == "user:ann"
    assert until == NOW + LASTS


@pytest.mark.parametrize("social", [None, True, False])
def test_what_they_said_about_social_waits_with_the_code(codes, tmp_path, social):
    code, _ = codes.give("user:ann", "bluesky", None, NOW, social=social)

    waiting = Codes(tmp_path, now=NOW).of(code, "bluesky:did:plc:a", NOW)

    assert waiting.social is social


def test_a_code_works_once_and_for_a_day(codes):
    spent, _ = codes.give("user:ann", "bluesky", None, NOW)
    codes.spend(spent)
    old, _ = codes.give("user:ann", "bluesky", None, NOW)

    assert codes.of(spent, "bluesky:did:plc:a", NOW) is None
    assert codes.of(old, "bluesky:did:plc:a", NOW + LASTS + 1) is None


def test_a_code_that_somebody_else_sends_is_nobodys(codes):
    code, _ = codes.give("user:ann", "bluesky", "bluesky:did:plc:a", NOW)

    assert codes.of(code, "bluesky:did:plc:thief", NOW) is None
    assert codes.of(code, "mastodon:a@social.example", NOW) is None
    assert whose(codes.of(code, "bluesky:did:plc:a", NOW)) == "user:ann"


def test_codes_outlive_a_restart_and_rest_sealed(codes, tmp_path):
    code, _ = codes.give("user:ann", "bluesky", None, NOW)

    assert whose(Codes(tmp_path, now=NOW).of(code, "bluesky:did:plc:a", NOW)) == "user:ann"
    for file in tmp_path.iterdir():
        assert code.encode() not in file.read_bytes()
        assert b"user:ann" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_opened_begins_anew(codes, tmp_path):
    codes.give("user:ann", "bluesky", None, NOW)
    (tmp_path / "proofs.sealed").write_bytes(b"broken")

    Codes(tmp_path, now=NOW).give("user:ann", "bluesky", None, NOW)


def test_whoever_asks_again_and_again_has_a_few_codes(codes):
    given = [codes.give("user:ann", "bluesky", None, NOW)[0] for _ in range(MOST_EACH + 3)]

    assert [codes.of(one, "bluesky:a", NOW) is not None for one in given] == [False] * 3 + [True] * MOST_EACH


def test_the_codes_of_who_is_erased_are_gone(codes, tmp_path):
    code, _ = codes.give("user:ann", "bluesky", None, NOW)
    codes.forget({"user:ann"})

    assert Codes(tmp_path, now=NOW).of(code, "bluesky:a", NOW) is None


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("https://social.example/@ann", "mastodon:ann@social.example"),
        ("https://social.example/@Ann/", "mastodon:ann@social.example"),
        ("https://SOCIAL.example/users/ann", "mastodon:ann@social.example"),
    ],
)
def test_a_profile_names_its_account(url, account):
    assert account_at(url) == account


@pytest.mark.parametrize(
    "url",
    [
        "https://social.example/", "https://social.example/@ann/123", "https://social.example/@ann?x=1", "ftp://social.example/@ann",
        "https://social.example/media/@ann", "https://social.example/@ann@other.example", "javascript:alert(1)", "https:///@ann",
    ],
)  # fmt: skip
def test_what_is_no_profile_names_nobody(url):
    with pytest.raises(Rejected, match="profile"):
        account_at(url)


@pytest.mark.parametrize(
    ("body", "kind", "links"),
    [
        (f'<a rel="me nofollow" href="{PAGE}/">me</a>', "text/html", True),
        (f'<link href="{PAGE}" rel="me">', "text/html; charset=utf-8", True),
        (f'<a href="{PAGE}">me</a>', "text/html", False),
        (f'<a rel="me" href="{PAGE}0">me</a>', "text/html", False),
        (f'<!-- <a rel="me" href="{PAGE}"> -->', "text/html", False),
        (f'{{"attachment":[{{"type":"PropertyValue","value":"<a href=\\"{PAGE}\\" rel=\\"me\\">x</a>"}}]}}',
         "application/activity+json", True),
        (f'{{"summary":"<a href=\\"{PAGE}\\" rel=\\"me\\">x</a>"}}', "application/activity+json", False),
        ('{"attachment":"<a', "application/json", False),
        ("<a" * 50_000, "text/html", False),
        ("\0\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"), "text/html", False),
    ],
)  # fmt: skip
def test_a_profile_links_to_the_page_with_rel_me_or_does_not(body, kind, links):
    assert links_to(body.encode(), kind, PAGE) is links
