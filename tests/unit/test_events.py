"""Records as they rest in the log."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
import zstandard

from plait.errors import Corrupt
from plait.events import DICTIONARY, Record, addresses_of, author_of, decode_record, encode_record


def record(number: int) -> Record:
    return Record(kind="events", source="web", received_at=number, body=b"%d" % number * 20_000)


def test_a_record_comes_back_as_it_went_in():
    assert decode_record(encode_record(record(7))) == record(7)


def test_threads_do_not_mix_up_their_records():
    def there_and_back(number: int) -> bool:
        return all(decode_record(encode_record(record(number))) == record(number) for _ in range(20))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(there_and_back, range(64)))


@pytest.mark.parametrize("at", [0, 5, 12, -1])
def test_a_changed_byte_is_noticed(at):
    raw = bytearray(encode_record(record(7)))
    raw[at] ^= 0x01

    with pytest.raises(Corrupt):
        decode_record(bytes(raw))


def test_a_record_packed_before_there_was_a_dictionary_is_read():
    packed = zstandard.ZstdCompressor(level=-1, write_checksum=True).compress(
        msgspec.msgpack.encode(record(7))
    )

    assert decode_record(packed) == record(7)


def test_the_dictionary_is_the_one_that_logs_were_written_with():
    words = files("plait").joinpath(DICTIONARY).read_bytes()

    assert sha256(words).hexdigest() == "a538108447eec0a73b5803df6980efe466322b0b27450943f1b8b252a10c9ab8"


def test_a_call_of_a_client_is_packed_to_less_than_half():
    call = json.loads((Path(__file__).parents[1] / "data" / "calls" / "clients.json").read_text())[0]["body"]
    one = Record(kind="segment", source="web", received_at=1, body=json.dumps({"batch": [call]}).encode())

    assert len(encode_record(one)) < len(one.body) / 2


@pytest.mark.parametrize(
    ("address", "author"),
    [
        ("at://did:plc:ada/app.bsky.feed.post/1", "bluesky:did:plc:ada"),
        ("https://social.example/users/Ada/statuses/1", "mastodon:ada@social.example"),
        ("https://Social.example:8443/@ada/1", "mastodon:ada@social.example:8443"),
        ("https://social.example/ap/users/116/statuses/1", "mastodon:116@social.example"),
        ("https://social.example/objects/5f0c", None),
        ("at://", None),
        ("https://social.example/@ada@elsewhere.example/1", None),
        ("77", None),
        (f"at://{'é' * 200}/x", None),
        (None, None),
    ],
)
def test_an_address_of_a_network_names_its_author(address, author):
    assert author_of(address) == author
    if author is not None:
        assert address.lower().startswith(tuple(addresses_of(author)))
