"""`plait serve` as an operator meets it: starting, stopping, and everything that can stand in its way."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from plait.events import Record, decode_record, encode_record
from plait.keys import Keys
from plait.log import open_log


def view(person: str, item: str = "tent-1", **more):
    return {
        "type": "track", "event": "Product Viewed", "messageId": f"serve-{time.time_ns()}", "userId": person,
        "properties": {"product_id": item},
    } | more  # fmt: skip


def plait(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    return subprocess.run(
        [sys.executable, "-m", "plait", *words], capture_output=True, text=True, timeout=90, env=clean | env
    )


def test_what_was_acknowledged_is_there_after_a_restart(own_server):
    own_server.start()
    own_server.collect(view("ann"))
    assert own_server.stop() == 0

    own_server.start()

    found = own_server.eventually(lambda: own_server.profile("user:ann"))
    assert found["counts"] == {"view": 1}


def test_what_was_acknowledged_is_there_after_kill_9(own_server):
    own_server.start()
    own_server.collect(view("ann"))
    own_server.kill()

    own_server.start()

    assert own_server.eventually(lambda: own_server.profile("user:ann"))["counts"] == {"view": 1}


def test_a_dead_fold_is_started_again(own_server):
    own_server.start()
    (fold,) = psutil.Process(own_server.process.pid).children()
    fold.kill()

    own_server.collect(view("ann"))

    assert own_server.eventually(lambda: own_server.profile("user:ann"))["counts"] == {"view": 1}


def test_the_children_end_with_a_killed_parent(own_server):
    own_server.start()
    below = psutil.Process(own_server.process.pid).children()
    assert below

    own_server.kill()

    assert psutil.wait_procs(below, timeout=10)[1] == []


def test_a_second_server_on_the_folder_is_refused_and_the_first_goes_on(own_server):
    own_server.start()

    second = plait("serve", "--data", str(own_server.data), "--port", "0")

    assert second.returncode == 75
    assert "locked" in second.stderr
    assert "Traceback" not in second.stderr
    own_server.collect(view("ann"))


def test_a_port_that_is_taken_is_told_by_its_number(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        told = plait("serve", "--data", str(tmp_path / "data"), "--port", port)

    assert told.returncode == 75
    assert port in told.stderr
    assert "--port" in told.stderr


def test_a_misspelt_setting_is_refused(tmp_path):
    told = plait("serve", "--data", str(tmp_path / "data"), PLAIT_WRIET_KEY="x")

    assert told.returncode == 2
    assert "PLAIT_WRIET_KEY" in told.stderr


def test_a_data_folder_that_is_a_file_is_told(tmp_path):
    (tmp_path / "data").write_text("")

    told = plait("serve", "--data", str(tmp_path / "data"), "--port", "0")

    assert told.returncode == 75
    assert str(tmp_path / "data") in told.stderr
    assert "Traceback" not in told.stderr


def test_every_line_of_its_log_is_json_that_names_nobody(own_server):
    own_server.env["PLAIT_LOG_LEVEL"] = "info"
    own_server.start()
    own_server.collect(view("ann-of-the-log"))
    own_server.ask("DELETE", "/v1/profiles/user:ann-of-the-log")
    own_server.ask("POST", "/v1/fit")
    assert own_server.stop() == 0

    lines = [json.loads(line) for line in own_server.words().splitlines()]

    assert {"serving", "stopped"} <= {line["event"] for line in lines}
    assert all({"event", "level", "timestamp"} <= set(line) for line in lines)
    for secret in ("ann-of-the-log", own_server.secret, own_server.write):
        assert secret not in own_server.words()


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, and a call that mounts it read-only."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(where)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own needs root")
    yield where, lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(where)], check=True)
    subprocess.run(["umount", "-l", str(where)], check=True)


def test_a_folder_that_cannot_be_written_is_told_in_one_line(own_server, disk):
    own_server.data, remount = disk
    own_server.start()
    own_server.collect(view("ann"))
    assert own_server.stop() == 0
    remount("ro")

    for words in (
        ("serve", "--port", "0"),
        ("import", "items", __file__),
        ("fit",),
        ("forget", "user:ann", "--yes"),
    ):
        told = plait(*words, "--data", str(own_server.data))

        assert told.returncode == 75, (words, told.stderr)
        assert len(told.stderr.splitlines()) == 1
        assert str(own_server.data) in told.stderr
    told = plait("doctor", "--data", str(own_server.data))
    assert told.returncode == 1
    assert "not writable" in told.stdout

    remount("rw")
    own_server.start()
    assert own_server.profile("user:ann")["counts"] == {"view": 1}


def test_on_a_full_disk_one_can_be_forgotten_and_the_server_starts_again(own_server, disk):
    own_server.data, _ = disk
    own_server.env["PLAIT_LAKE_EVERY_SECONDS"] = "0.2"
    own_server.start()
    own_server.collect(view("ann"), view("bob"))
    own_server.eventually(lambda: own_server.profile("user:ann"))
    filler = own_server.data / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(own_server.data).free - (30 << 20)))
    body = {"batch": [view("cy")], "writeKey": own_server.write}
    assert own_server.ask("POST", "/v1/batch", body, key=None).json()["code"] == "disk_full"

    assert own_server.ask("DELETE", "/v1/profiles/user:ann").json()["known"] is True

    assert own_server.profile("user:ann") is None
    assert own_server.ask("POST", "/v1/fit").status_code == 503
    assert own_server.stop() == 0
    own_server.start()
    assert own_server.profile("user:ann") is None
    assert own_server.profile("user:bob")["counts"] == {"view": 1}


def append(server, *records: bytes) -> None:
    log = open_log(f"lmdb://{server.data / 'log'}", write=True)
    log.append(list(records))
    log.close()


def told(person: str, at: int) -> bytes:
    body = json.dumps(
        [{"id": person, "signal": "view", "who": [f"user:{person}"], "about": {"item": "tent"}}]
    )
    return encode_record(
        Record(kind="events", source="web", received_at=at, trusted=True, body=body.encode())
    )


def test_a_clock_that_went_back_is_told_and_loses_nothing(own_server):
    append(own_server, told("before", int(time.time() * 1000) + 86_400_000))

    own_server.start()
    own_server.collect(view("after"))

    assert own_server.eventually(lambda: own_server.profile("user:after"))["counts"] == {"view": 1}
    assert own_server.profile("user:before")["counts"] == {"view": 1}
    assert "clock_behind_the_log" in own_server.words()


def test_a_record_that_the_disk_changed_is_told_by_its_number(own_server):
    append(own_server, told("before", 1), b"what the disk made of it")

    words = plait("serve", "--data", str(own_server.data), "--port", "0", PLAIT_LOG_LEVEL="error")

    assert words.returncode == 70
    assert "record 2 of the log" in words.stderr
    assert "backup" in words.stderr
    assert "Traceback" not in words.stderr


def test_stopping_lets_requests_under_way_finish(own_server):
    own_server.start()
    body = json.dumps({"batch": [view("ann")], "writeKey": own_server.write}).encode()
    host, port = own_server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(
            b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:10]
        )
        time.sleep(0.3)
        stopping = threading.Thread(target=own_server.stop)
        stopping.start()
        time.sleep(0.3)
        line.sendall(body[10:])

        answer = line.recv(65_536)

        stopping.join()
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_rotated_key_is_taken_up_while_running_and_the_old_one_ends_when_dropped(own_server):
    own_server.own_keys = False
    own_server.start()
    data = ("--data", str(own_server.data))
    old = json.loads(plait("keys", *data, "--json").stdout)["secret"]

    plait("keys", *data, "--rotate", "secret")

    new = json.loads(plait("keys", *data, "--json").stdout)["secret"]
    own_server.eventually(lambda: own_server.ask("GET", "/v1/status", key=new).status_code == 200)
    assert own_server.ask("GET", "/v1/status", key=old).status_code == 200
    plait("keys", *data, "--drop-old")
    own_server.eventually(lambda: own_server.ask("GET", "/v1/status", key=old).status_code == 401)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/health/live", 405, "method_not_allowed"),
        ("GET", "/v1/batch", 405, "method_not_allowed"),
        ("PATCH", "/v1/items", 405, "method_not_allowed"),
        ("GET", "/v1/profiles/nonsense", 400, "invalid_identifier"),
        ("GET", "/v1/profiles/user:nobody-at-all", 404, "unknown_person"),
        ("DELETE", "/v1/profiles/user:%ff", 400, "invalid_text"),
        ("GET", "/v1/items/%c3%28", 400, "invalid_text"),
        ("GET", "/v1/items/%ef%bf%bd", 404, "unknown_item"),
        ("GET", "/v1/live", 400, "invalid_identifier"),
        ("GET", "/sourceConfigs", 404, "not_found"),
        ("GET", "/v1/profiles/user:ann?include=secrets", 400, "invalid_query"),
        ("GET", "/v1/profiles/user:ann?limit=0", 400, "invalid_query"),
    ],
)
def test_every_error_is_json_with_a_code_and_a_message(server, method, path, status, code):
    answer = server.ask(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["code"] == code
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_body"),
        (b"\xff", "invalid_text"),
        (b'{"identifiers":' + b"[" * 50_000, "too_deep"),
        (b'{"identifiers":["user:a","user:\\ud800"]}', "invalid_text"),
        (b'{"identifiers":["user:a"]}', "invalid_link"),
        (b'{"identifiers":["user:a","user:a"]}', "invalid_link"),
        (b'{"identifiers":["user:a",7]}', "invalid_identifier"),
        (b'{"identifiers":["user:a","user:\\u0000"]}', "invalid_identifier"),
        (b'{"identifiers":["user:a","user:b"],"people":1}', "invalid_link"),
    ],
)
def test_a_wrong_link_is_told_what_is_wrong(server, body, code):
    answer = server.ask("POST", "/v1/link", content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_a_body_that_is_too_large_is_refused(server):
    answer = server.ask("POST", "/v1/items", content=b" " * (33 << 20))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_pages_cannot_frame_sniff_or_load_anything(server):
    headers = server.ask("GET", "/v1/status").headers

    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_the_metrics_tell_what_was_accepted_and_refused(server):
    server.collect(view("metrics"))
    server.ask("POST", "/v1/track", content=b"{", key=server.write)

    text = server.ask("GET", "/metrics").text

    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(counts["plait_accepted_events_total"]) >= 1
    assert any(name.startswith("plait_refused_total{") and float(value) for name, value in counts.items())
    assert "metrics" not in text.replace("plait", "")


def test_a_link_joins_and_an_unlink_parts(server):
    for person, item in (("user:lea", "tent-1"), ("email:lea@shop.example", "tent-2")):
        event = {"id": f"link-{item}", "signal": "view", "who": [person], "about": {"item": item}}
        assert server.ask("POST", "/v1/events", {"events": [event]}).status_code == 200
    pair = {"identifiers": ["user:lea", "email:lea@shop.example"], "consent": True}

    assert server.ask("POST", "/v1/link", pair).status_code == 200
    assert server.profile("user:lea")["counts"]["view"] == 2

    assert server.ask("POST", "/v1/unlink", {"identifiers": pair["identifiers"]}).status_code == 200
    assert server.profile("user:lea")["counts"]["view"] == 1


def test_an_account_on_x_is_linked_with_an_express_yes_alone(server):
    view = {"id": "x-0", "signal": "view", "who": ["user:kim"], "about": {"item": "tent-1"}}
    assert server.ask("POST", "/v1/events", {"events": [view]}).status_code == 200
    pair = {"identifiers": ["user:kim", "x:123"]}
    refused = server.ask("POST", "/v1/link", pair)
    assert (refused.status_code, refused.json()["code"]) == (403, "opt_in_needed")

    assert server.ask("POST", "/v1/link", pair | {"consent": True, "proof": "sign_in"}).status_code == 200

    (told,) = server.profile("user:kim")["links"]
    assert (told["identifiers"], told["counts"], told["how"]) == (["user:kim", "x:123"], True, "sign_in")


def test_an_interest_tells_where_it_comes_from(server):
    item = {"id": "lamp-1", "title": "A lamp", "topics": ["light"]}
    post = {"id": "post-1", "kind": "post", "title": "Our lamp", "for": ["lamp-1"]}
    assert server.ask("POST", "/v1/items", {"items": [item, post]}).status_code == 200
    agreed = {"id": "mia-0", "signal": "consent", "who": ["user:mia"], "consent": {"social": True}}
    viewed = {"id": "mia-1", "signal": "view", "who": ["user:mia"], "about": {"item": "lamp-1"}}
    liked = {
        "id": "mia-2",
        "signal": "like",
        "source": "bluesky",
        "who": ["user:mia"],
        "about": {"post": "post-1"},
    }
    assert server.ask("POST", "/v1/events", {"events": [agreed, viewed, liked]}).status_code == 200

    found = server.eventually(lambda: (p := server.profile("user:mia")) and p["counts"].get("like") and p)

    lamp = next(one for one in found["interests"] if one.get("item") == "lamp-1")
    assert {(why["source"], why["signal"], why["about"]) for why in lamp["because"]} == {
        ("web", "view", "lamp-1"),
        ("bluesky", "like", "post:post-1"),
    }
    assert sum(abs(why["share"]) for why in lamp["because"]) == pytest.approx(1, abs=1e-9)
    assert any(one.get("topic") == "light" for one in found["interests"])


def test_an_erased_person_is_unknown_and_a_late_retry_does_not_bring_them_back(server):
    late = view("otto", timestamp="2026-01-01T00:00:00Z")
    server.collect(late, view("otto", "tent-3"))
    server.eventually(lambda: server.profile("user:otto"))

    answer = server.ask("DELETE", "/v1/profiles/user:otto")

    assert answer.status_code == 200, answer.text
    assert answer.json()["known"] is True
    assert server.ask("DELETE", "/v1/profiles/user:oto").json()["known"] is False
    assert server.profile("user:otto") is None
    assert server.ask("GET", "/v1/profiles/user:otto/export").status_code == 404
    server.collect(late)
    server.collect(view("end-of-line"))
    server.eventually(lambda: server.profile("user:end-of-line"))
    assert server.profile("user:otto") is None


def test_who_ends_in_export_is_read_exported_and_erased_behind_a_percent_sign(server):
    server.collect(view("zoe"), view("zoe/export"))
    server.eventually(lambda: server.profile("user:zoe") and server.profile("user:zoe%2Fexport"))
    path = "/v1/profiles/user:zoe%2Fexport"

    assert server.ask("GET", path).json()["identifiers"] == ["user:zoe/export"]
    assert server.ask("GET", f"{path}/export").json()["identifiers"] == ["user:zoe/export"]
    assert server.ask("DELETE", path).json()["erased"] == ["user:zoe/export"]
    assert server.profile("user:zoe%2Fexport") is None
    assert server.profile("user:zoe")


def test_a_slip_of_export_erases_nobody(server):
    server.collect(view("yan"), view("yan/export"))
    server.eventually(lambda: server.profile("user:yan") and server.profile("user:yan%2Fexport"))

    answer = server.ask("DELETE", "/v1/profiles/user:yan/export")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert server.profile("user:yan")
    assert server.profile("user:yan%2Fexport")


def test_no_byte_of_an_erased_person_is_left_in_the_folder(own_server):
    own_server.start()
    own_server.collect(view("wanda-the-forgotten", email="wanda@left.example"))
    own_server.eventually(lambda: own_server.profile("user:wanda-the-forgotten"))

    own_server.ask("DELETE", "/v1/profiles/user:wanda-the-forgotten")

    own_server.stop()
    log = open_log(f"lmdb://{own_server.data / 'log'}")
    bodies = b"".join(decode_record(raw).body for _, raw in log.scan())
    log.close()
    assert b"wanda" not in bodies


def test_the_live_stream_tells_events_as_they_come(server):
    got = []

    def listen():
        with httpx.stream(
            "GET", f"{server.url}/v1/live", params={"identifier": "user:live"}, timeout=20, trust_env=False,
            headers={"authorization": f"Bearer {server.secret}"},
        ) as stream:  # fmt: skip
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    got.append(json.loads(line.removeprefix("data: ")))
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    time.sleep(0.3)

    server.collect(view("live", "lamp-9"))

    thread.join(20)
    assert got
    assert got[0]["about"]["item"] == "lamp-9"


def test_once_ready_what_was_acknowledged_before_is_there(own_server):
    own_server.start()
    own_server.collect(*(view("ann") for _ in range(500)))
    own_server.kill()

    own_server.start()

    assert own_server.profile("user:ann")["counts"] == {"view": 500}


def test_once_ready_what_is_acknowledged_shows_within_a_moment(own_server):
    own_server.start()

    own_server.collect(view("ann"))

    assert own_server.eventually(
        lambda: own_server.profile("user:ann"), seconds=1.5
    )  # the fold took 2 s to start


def test_a_browser_listens_with_a_token_of_its_own(server):
    keys = Keys(write=server.write, secret=server.secret, pepper="")
    token = keys.token("anonymous:listener", int(time.time() * 1000) + 60_000, "live")
    event = {"id": "heard", "signal": "view", "who": ["anonymous:listener"], "about": {"item": "lamp-9"}}
    assert server.ask("POST", "/v1/events", {"events": [event]}).status_code == 200

    with httpx.stream(
        "GET", f"{server.url}/v1/live", params={"identifier": "anonymous:listener", "token": token}, timeout=20,
        trust_env=False,
    ) as stream:  # fmt: skip
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))

        assert json.loads(next(lines).removeprefix("data: "))["id"] == "heard"


def test_when_the_fold_lags_senders_are_told_when_to_come_again(own_server):
    own_server.env["PLAIT_LAG_LIMIT_EVENTS"] = "100"
    own_server.start()
    (fold,) = psutil.Process(own_server.process.pid).children()
    fold.suspend()
    try:
        many = {
            "batch": [view("late", messageId=f"late-{n}") for n in range(150)],
            "writeKey": own_server.write,
        }
        assert own_server.ask("POST", "/v1/batch", many, key=None).status_code == 200

        def sent():
            body = {"batch": [view("later", messageId="later")], "writeKey": own_server.write}
            return own_server.ask("POST", "/v1/batch", body, key=None)

        refused = own_server.eventually(lambda: (answer := sent()).status_code == 429 and answer)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["code"] == "lagging"
    finally:
        fold.resume()
    own_server.eventually(lambda: sent().status_code == 200)
    own_server.eventually(
        lambda: (own_server.profile("user:late") or {"counts": {}})["counts"].get("view") == 150
    )
