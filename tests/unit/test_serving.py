"""Who serves a folder: told by a file, which a server that was killed leaves behind."""

from __future__ import annotations

import os
import socket

import msgspec
import pytest

from plait.serving import FILE, Serving, serving


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def written(folder, sock, pid=0):
    host, port = sock.getsockname()
    told = Serving(pid=pid or os.getpid(), url=f"http://{host}:{port}", key="sk")
    (folder / FILE).write_bytes(msgspec.json.encode(told))
    return told


def test_who_runs_and_listens_serves(tmp_path, listening):
    told = written(tmp_path, listening)

    assert serving(tmp_path) == told


def test_a_number_that_is_another_process_by_now_serves_nothing(tmp_path, listening):
    written(tmp_path, listening)
    listening.close()

    assert serving(tmp_path) is None


@pytest.mark.parametrize("left", [b"", b"{", b'{"pid": 1, "url": "nowhere", "key": "sk"}'])
def test_what_is_no_such_file_is_nobody(tmp_path, left):
    (tmp_path / FILE).write_bytes(left)

    assert serving(tmp_path) is None


def test_without_a_file_nobody_serves(tmp_path):
    assert serving(tmp_path) is None


def test_who_does_not_run_does_not_serve(tmp_path, listening):
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    written(tmp_path, listening, pid=child)

    assert serving(tmp_path) is None
