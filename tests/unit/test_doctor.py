"""The doctor: what is wrong, and what to do about it."""

from __future__ import annotations

import time

from plait.accounts import Accounts, Connected
from plait.connectors import Account
from plait.doctor import Check, checks
from plait.events import Record, encode_record
from plait.log import open_log
from plait.store import open_store


def found(data, name: str) -> Check:
    return next(check for check in checks(str(data), overrides={"port": 0}) if check.name == name)


def written(data, *records: bytes) -> None:
    log = open_log(f"lmdb://{data / 'log'}", write=True)
    log.append(records)
    log.close()


def test_a_folder_that_is_not_there_yet_is_fine(tmp_path):
    assert {check.verdict for check in checks(str(tmp_path / "new"), overrides={"port": 0})} <= {"ok", "warn"}


def test_a_clock_behind_the_newest_event_is_found(tmp_path):
    ahead = int(time.time() * 1000) + 3_600_000
    written(tmp_path, encode_record(Record(kind="events", source="web", received_at=ahead, body=b"[]")))

    assert found(tmp_path, "clock").verdict == "fail"
    assert "behind" in found(tmp_path, "clock").message


def test_a_record_that_cannot_be_read_is_found(tmp_path):
    written(tmp_path, b"not a record")

    assert found(tmp_path, "log").verdict == "fail"
    assert found(tmp_path, "log").message.startswith("record 1 of the log cannot be read")


def test_a_state_of_another_log_is_found(tmp_path):
    written(tmp_path, encode_record(Record(kind="events", source="web", received_at=1, body=b"[]")))
    store = open_store(f"lmdb://{tmp_path / 'store'}", write=True)
    store.commit({}, position=9, expected=0)
    store.close()

    assert found(tmp_path, "state").verdict == "fail"
    assert "replay" in found(tmp_path, "state").message


def test_a_data_folder_that_is_a_file_is_found(tmp_path):
    (tmp_path / "data").write_text("")

    assert found(tmp_path / "data", "folder").verdict == "fail"


def test_settings_that_are_not_toml_are_found(tmp_path):
    (tmp_path / "plait.toml").write_text("port = = 1")

    assert found(tmp_path, "settings").verdict == "fail"


def connected(data) -> Accounts:
    accounts = Accounts(data, now=0)
    account = Account(source="bluesky:shop", host="https://bsky.social")
    accounts.keep(Connected(network="bluesky", account=account, connected_at=0), {"password": "x"})
    return accounts


def test_connected_accounts_that_are_in_order_are_counted(tmp_path):
    connected(tmp_path)

    assert found(tmp_path, "sources") == Check(
        "sources", "ok", "1 connected; plait sources shows how they are"
    )


def test_secrets_that_cannot_be_opened_are_found(tmp_path):
    connected(tmp_path)
    (tmp_path / "sources.key").unlink()

    assert found(tmp_path, "sources").verdict == "fail"


def test_secrets_that_others_can_read_are_found(tmp_path):
    connected(tmp_path)
    (tmp_path / "sources.key").chmod(0o644)

    assert found(tmp_path, "sources").verdict == "fail"
    assert "rotate" in found(tmp_path, "sources").message
