"""Records as they rest in the log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from plait.errors import Corrupt
from plait.events import Record, decode_record, encode_record


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
