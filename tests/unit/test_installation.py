"""What every route relies on: the key in a request, the lag of the fold, a clock that does not go back."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from plait.http import Lag, key_in, places_of
from plait.settings import Settings


def request(*headers: tuple[bytes, bytes], query: bytes = b"") -> dict:
    return {"headers": list(headers), "query_string": query}


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "scope",
    [
        request((b"authorization", b"Bearer wk")),
        request((b"authorization", b"bearer wk ")),
        request((b"authorization", basic("wk:"))),
        request((b"authorization", basic("wk:password"))),
        request((b"x-write-key", b"wk")),
        request((b"x-write-key", b"wk:secret")),
        request(query=b"p=npm&writeKey=wk&v=1"),
        request((b"authorization", b"Basic %%%"), (b"x-write-key", b"wk")),
    ],
)
def test_a_key_is_found_wherever_clients_put_it(scope):
    assert key_in(scope) == "wk"


@pytest.mark.parametrize(
    "scope",
    [
        request(),
        request((b"authorization", b"")),
        request((b"authorization", b"Digest wk")),
        request((b"authorization", b"Basic \xff\xfe")),
        request(query=b"writekey=wk"),
    ],
)
def test_nonsense_holds_no_key(scope):
    assert not key_in(scope)


def test_lag_counts_events_not_records():
    lag = Lag()
    lag.tell(last=0, folded=0, accepted=0, at=0.0)

    lag.tell(last=2, folded=0, accepted=2_000, at=0.05)

    assert (lag.records, lag.events) == (2, 2_000)


def test_lag_shrinks_as_the_fold_goes_on():
    lag = Lag()
    lag.tell(last=0, folded=0, accepted=0, at=0.0)
    lag.tell(last=2, folded=0, accepted=2_000, at=1.0)
    lag.tell(last=4, folded=2, accepted=2_300, at=2.0)

    assert (lag.records, lag.events, lag.seconds) == (2, 300, 0.0)
    lag.tell(last=4, folded=4, accepted=2_300, at=3.0)
    assert (lag.records, lag.events, lag.seconds) == (0, 0, 0.0)


def test_lag_is_as_old_as_what_waits_longest():
    lag = Lag()
    lag.tell(last=0, folded=0, accepted=0, at=0.0)
    lag.tell(last=1, folded=0, accepted=1, at=1.0)

    lag.tell(last=2, folded=0, accepted=2, at=6.0)

    assert lag.seconds == 5.0


def test_senders_come_back_within_a_minute_however_long_the_queue():
    lag = Lag()
    lag.tell(last=0, folded=0, accepted=0, at=0.0)
    lag.tell(last=10**6, folded=0, accepted=10**9, at=1.0)

    assert lag.seconds_to(100) == 60


def test_senders_come_back_no_sooner_than_in_a_second():
    lag = Lag()
    lag.tell(last=0, folded=0, accepted=0, at=0.0)
    lag.tell(last=1, folded=0, accepted=101, at=1.0)

    assert lag.seconds_to(100) == 1


def test_a_library_that_speaks_of_every_address_it_asks_is_not_heard():
    works = (
        "import logging; from plait.logs import configure; configure('info'); logging.basicConfig(level=logging.INFO);"
        "logging.getLogger('httpx').info('GET /getFollows?actor=did:plc:ada'); logging.getLogger('x').warning('heard')"
    )
    told = subprocess.run([sys.executable, "-c", works], capture_output=True, text=True)

    assert ("ada" in told.stderr, "heard" in told.stderr) == (False, True)


def test_a_full_disk_under_the_servers_own_words_stops_nothing():
    works = (
        "import structlog; from plait.logs import configure; configure('info');"
        "[structlog.get_logger().error('append_failed') for _ in range(3_000)]; print('goes on')"
    )
    with Path("/dev/full").open("w") as full:
        told = subprocess.run([sys.executable, "-c", works], stdout=subprocess.PIPE, stderr=full, text=True)

    assert told.stdout == "goes on\n"


@pytest.mark.parametrize(
    ("data", "told", "left"),
    [
        ("/srv/plait", "/srv/plait/inbox/1 cannot be written: no space", "inbox/1 cannot be written: no space"),
        ("/srv/plait", "/srv/plait cannot be written", "the data folder cannot be written"),
        ("/srv/plait/", "/srv/plait/log: the disk is full", "log: the disk is full"),
        ("/srv/plait", "/srv/plaited/x and /srv/plait.old stay", "/srv/plaited/x and /srv/plait.old stay"),
        ("data", "data/inbox cannot be written; all data stay, and metadata/x", "inbox cannot be written; all data stay, and metadata/x"),
        (".", "a sentence. and/or ./x", "a sentence. and/or ./x"),
    ],
)  # fmt: skip
def test_where_things_lie_is_taken_out_of_what_is_told(data, told, left):
    def word(found):
        return "" if found[0].endswith("/") else "the data folder"

    assert places_of(Settings(data=data)).sub(word, told) == left


def test_a_log_elsewhere_is_no_news_either():
    found = places_of(Settings(data="/srv/plait", log="lmdb:///mnt/fast/log"))

    assert found.sub("", "/mnt/fast/log/data.mdb: the disk is full") == "data.mdb: the disk is full"
