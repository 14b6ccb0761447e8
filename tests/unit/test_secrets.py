"""Secrets at rest: of connected accounts, and of deliveries that wait."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from plait.accounts import Accounts, Connected
from plait.connectors import Account, Fact, Page
from plait.driver.inbox import DAY, MOST, Delivery, Inbox
from plait.errors import Corrupt, Rejected, Unavailable
from plait.events import About, Signal
from plait.sealed import Seal, key_file

NOW = 1_790_000_000_000
SECRETS = {"user": "shop", "refresh": "hunter2-refresh"}


def account(source: str = "fakenet:shop") -> Connected:
    made = Account(source=source, host="https://fake.example", me="fakenet:shop", handle="shop")
    return Connected(network="fakenet", account=made, connected_at=NOW)


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_account_comes_back_with_its_secrets(tmp_path):
    Accounts(tmp_path, now=NOW).keep(account(), SECRETS)

    again = Accounts(tmp_path, now=NOW)

    assert again.all() == [account()]
    assert again.secrets("fakenet:shop") == SECRETS


def test_that_a_token_is_on_its_way_is_known_until_what_came_for_it_is_kept(tmp_path):
    accounts = Accounts(tmp_path, now=NOW)
    accounts.keep(account(), SECRETS)
    found = []
    for after in (lambda: accounts.renew("fakenet:shop", SECRETS | {"refresh": "next"}),
                  lambda: accounts.spending("fakenet:shop", False),
                  lambda: accounts.drop("fakenet:shop")):  # fmt: skip
        accounts.spending("fakenet:shop", True)
        found.append(Accounts(tmp_path, now=NOW).interrupted("fakenet:shop"))
        after()
        found.append(Accounts(tmp_path, now=NOW).interrupted("fakenet:shop"))

    assert found == [True, False] * 3
    assert accounts.all() == []


def test_no_secret_rests_in_clear(tmp_path):
    Accounts(tmp_path, now=NOW).keep(account(), SECRETS)

    assert b"hunter2" not in everything_in(tmp_path)


def test_what_rests_is_for_its_owner_only(tmp_path):
    Accounts(tmp_path, now=NOW).keep(account(), SECRETS)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}

    assert modes == {"sources": 0o700, "sources.key": 0o600, "fakenet%3Ashop.json": 0o600}


def test_another_folders_key_opens_nothing(tmp_path):
    Accounts(tmp_path, now=NOW).keep(account(), SECRETS)
    (tmp_path / key_file("sources")).unlink()

    other = Accounts(tmp_path, now=NOW)

    with pytest.raises(Corrupt):
        other.secrets("fakenet:shop")
    assert other.unreadable() == ["fakenet%3Ashop.json"]


def test_a_file_that_was_changed_is_told_and_takes_no_other_down(tmp_path):
    accounts = Accounts(tmp_path, now=NOW)
    accounts.keep(account(), SECRETS)
    accounts.keep(account("fakenet:other"), SECRETS)
    (tmp_path / "sources" / "fakenet%3Ashop.json").write_bytes(b"{")

    assert [one.source for one in accounts.all()] == ["fakenet:other"]
    assert accounts.unreadable() == ["fakenet%3Ashop.json"]


def test_rotating_seals_anew_and_the_old_key_opens_nothing(tmp_path):
    accounts = Accounts(tmp_path, now=NOW)
    accounts.keep(account(), SECRETS)
    old_key, old_file = (
        (tmp_path / key_file("sources")).read_bytes(),
        next((tmp_path / "sources").iterdir()).read_bytes(),
    )

    assert accounts.rotate(now=NOW + 1) == 1

    assert accounts.secrets("fakenet:shop") == SECRETS
    assert (tmp_path / key_file("sources")).read_bytes() != old_key
    next((tmp_path / "sources").iterdir()).write_bytes(old_file)
    with pytest.raises(Corrupt):
        accounts.secrets("fakenet:shop")


def test_another_process_finds_a_rotated_key(tmp_path):
    mine, others = Accounts(tmp_path, now=NOW), Accounts(tmp_path, now=NOW)
    mine.keep(account(), SECRETS)

    others.rotate(now=NOW + 1)

    assert mine.secrets("fakenet:shop") == SECRETS
    mine.keep(account(), {"refresh": "newer"})
    assert others.secrets("fakenet:shop") == {"refresh": "newer"}


def test_renewed_secrets_do_not_bring_a_disconnected_account_back(tmp_path):
    accounts = Accounts(tmp_path, now=NOW)
    accounts.keep(account(), SECRETS)
    accounts.drop("fakenet:shop")

    accounts.renew("fakenet:shop", {"refresh": "newer"})

    assert accounts.all() == []


@pytest.mark.parametrize("source", ["", "x" * 129, "a\nb", "a\0b"])
def test_a_source_that_cannot_be_one_is_refused(tmp_path, source):
    with pytest.raises(Rejected):
        Accounts(tmp_path, now=NOW).keep(account(source), SECRETS)


@pytest.mark.parametrize(
    "source", ["..", ".", "../../etc/passwd", "a/b", "%2e%2e", "mastodon:shop@ü.example"]
)
def test_a_source_names_a_file_of_its_own_folder_whatever_it_is(tmp_path, source):
    accounts = Accounts(tmp_path / "data", now=NOW)
    accounts.keep(account(source), SECRETS)

    assert [one.source for one in accounts.all()] == [source]
    assert {path.parent.name for path in tmp_path.rglob("*.json")} == {"sources"}


def test_no_secret_is_in_a_repr(tmp_path):
    seal = Seal(tmp_path / "a.key", now=NOW)
    key = (tmp_path / "a.key").read_text()[9:50]

    assert key not in repr(seal)
    assert key not in repr(vars(seal))
    assert "secret words" not in repr(Delivery("n", "s", NOW, {}, b"secret words"))


# -- the inbox -------------------------------------------------------------------------------------------------


def delivery(body: bytes, at: int = NOW) -> Delivery:
    return Delivery("fakenet", "fakenet:shop", at, {":method": "POST"}, body)


def test_what_was_read_of_a_delivery_comes_back_whole(tmp_path):
    fact = Fact(
        id="1", signal=Signal.LIKE, at=NOW, actor="fakenet:ana", about=About(post="77"), text="secret words"
    )
    read = Delivery("fakenet", "fakenet:shop", NOW, page=Page(facts=[fact], posts=[], gone=["fakenet:bob"]))
    name = Inbox(tmp_path, now=NOW).put([read])

    assert Inbox(tmp_path, now=NOW).open(name) == [read]
    assert b"secret words" not in everything_in(tmp_path)


def test_a_delivery_waits_sealed_and_comes_back_whole(tmp_path):
    Inbox(tmp_path, now=NOW).put([delivery(b"secret words"), delivery(b"more")])

    assert b"secret words" not in everything_in(tmp_path)
    again = Inbox(tmp_path, now=NOW)
    (name,) = again.waiting()
    assert again.open(name) == [delivery(b"secret words"), delivery(b"more")]


def test_a_delivery_is_gone_after_a_day_whatever_became_of_it(tmp_path):
    inbox = Inbox(tmp_path, now=NOW)
    inbox.put([delivery(b"old")])
    young = inbox.put([delivery(b"young", NOW + DAY)])

    assert inbox.sweep(now=NOW + DAY + 1) == 1

    assert inbox.waiting() == [young]


def test_the_key_of_a_deleted_delivery_is_gone_a_day_later(tmp_path):
    inbox = Inbox(tmp_path, now=NOW)
    name = inbox.put([delivery(b"words")])
    left_on_disk = (tmp_path / "inbox" / name).read_bytes()
    inbox.drop(name)
    first_key = (tmp_path / "inbox.key").read_text()[9:50]

    for day in (1, 2, 3):
        inbox.sweep(now=NOW + day * (DAY + 1))

    assert first_key not in (tmp_path / "inbox.key").read_text()
    (tmp_path / "inbox" / name).write_bytes(left_on_disk)
    assert inbox.open(name) == []


def test_what_waits_can_be_opened_after_the_key_was_replaced(tmp_path):
    inbox = Inbox(tmp_path, now=NOW)
    name = inbox.put([delivery(b"words", NOW + DAY - 1)])

    inbox.sweep(now=NOW + DAY + 1)

    assert [one.body for one in inbox.open(name)] == [b"words"]


def test_a_flood_fills_the_inbox_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.driver.inbox.MOST", 3)
    inbox = Inbox(tmp_path, now=NOW)
    for _ in range(3):
        inbox.put([delivery(b"x")])

    with pytest.raises(Unavailable) as told:
        inbox.put([delivery(b"x")])

    assert told.value.code == "inbox_full"
    inbox.drop(inbox.waiting()[0])
    inbox.put([delivery(b"x")])
    assert MOST > 3


def test_no_library_logs_the_addresses_that_it_asks():
    script = "import logging, plait.logs as l; l.configure('info'); logging.basicConfig(level=logging.INFO); "
    script += "logging.getLogger('httpx').info('GET /did:plc:somebody')"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert done.returncode == 0
    assert "somebody" not in done.stderr
