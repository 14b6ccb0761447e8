"""The `plait` command, on a folder that is served and on one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from plait.doctor import checks


def plait(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    told = subprocess.run(
        [sys.executable, "-m", "plait", *words], capture_output=True, text=True, timeout=110, env=clean | env
    )
    assert "Traceback" not in told.stderr
    return told


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder that nobody serves, with a catalog and some past."""
    folder = tmp_path_factory.mktemp("cli")
    data = folder / "data"
    items = folder / "items.csv"
    items.write_text(
        "id,title,topics,price,available\ntent-1,A tent,tents,99.50,true\nlamp-1,A lamp,light,19,true\n"
    )
    events = folder / "events.jsonl"
    events.write_text(
        "".join(
            json.dumps({"id": f"e{n}", "signal": "view", "who": ["user:ann"], "about": {"item": "tent-1"},
                        "at": "2026-11-01T10:00:00Z"}) + "\n" for n in range(3)
        )
    )  # fmt: skip
    brought = plait("import", "items", str(items), "--data", str(data))
    assert brought.returncode == 0, brought.stderr
    assert json.loads(brought.stdout) == {"accepted": 2, "refused": 0}
    brought = plait("import", "events", str(events), "--data", str(data))
    assert brought.returncode == 0, brought.stderr
    assert json.loads(brought.stdout) == {"accepted": 3, "refused": 0}
    return data


def test_what_was_imported_is_exported(shop):
    told = plait("export", "user:ann", "--data", str(shop))

    assert told.returncode == 0, told.stderr
    assert "tent-1" in told.stdout


def test_importing_twice_counts_once(shop, tmp_path):
    line = {"id": "twice", "signal": "view", "who": ["user:twice"], "about": {"item": "tent-1"}}
    (tmp_path / "events.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(line)}\n")
    for _ in range(2):
        assert plait("import", "events", str(tmp_path / "events.jsonl"), "--data", str(shop)).returncode == 0

    told = json.loads(plait("export", "user:twice", "--data", str(shop)).stdout)

    assert json.dumps(told).count('"twice"') >= 1
    assert len(told["events"]) == 1


def test_a_bad_row_is_told_with_its_line_and_the_rest_goes_on(shop, tmp_path):
    (tmp_path / "items.csv").write_text("id,title,price\nstove-1,A stove,10\nstove-2,A stove,cheap\n")

    told = plait("import", "items", str(tmp_path / "items.csv"), "--data", str(shop))

    assert json.loads(told.stdout) == {"accepted": 1, "refused": 1}
    assert "3" in told.stderr
    assert "price" in told.stderr


def test_fitting_tells_about_the_model(shop):
    told = plait("fit", "--data", str(shop))

    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)


def test_a_replay_gives_the_same_state(shop):
    told = plait("replay", "--check", "--data", str(shop))

    assert told.returncode == 0, told.stdout + told.stderr


def test_forgetting_leaves_nobody_to_export(shop):
    assert plait("forget", "user:ann", "--data", str(shop)).returncode == 0

    told = plait("export", "user:ann", "--data", str(shop))

    assert told.returncode == 2
    assert "user:ann" in told.stderr


@pytest.mark.parametrize("hours", ["0", "-1", "nan", "inf", "1e9"])
def test_a_token_that_cannot_live_is_not_made(tmp_path, hours):
    told = plait("keys", "--data", str(tmp_path / "data"), "--token", "user:1", "--hours", hours)

    assert told.returncode == 2
    assert "--hours" in told.stderr


def test_a_host_that_is_not_there_is_told(tmp_path):
    told = plait("serve", "--data", str(tmp_path / "data"), "--host", "nowhere.invalid", "--port", "0")

    assert told.returncode == 75
    assert "--host" in told.stderr


def test_a_command_that_is_killed_leaves_no_server_behind(tmp_path):
    rows = tmp_path / "events.csv"
    rows.write_text("signal,user,item\n" + "view,u,tent\n" * 200_000)
    command = subprocess.Popen(
        [sys.executable, "-m", "plait", "import", "events", str(rows), "--data", str(tmp_path / "data")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not (tmp_path / "data" / "serve.json").exists() and time.monotonic() < until:
        time.sleep(0.02)
    (server,) = psutil.Process(command.pid).children()
    below = [server, *server.children(recursive=True)]

    command.kill()
    command.wait()

    assert psutil.wait_procs(below, timeout=20)[1] == []


def test_the_keys_are_shown(shop):
    told = plait("keys", "--data", str(shop)).stdout

    assert "wk_" in told
    assert "sk_" in told


def test_a_file_that_does_not_exist_is_told():
    told = plait("import", "items", "nowhere.csv")

    assert told.returncode == 2
    assert "nowhere.csv" in told.stderr


def test_the_version_is_told():
    assert plait("version").stdout.strip()


def test_the_doctor_finds_a_healthy_folder_well(shop):
    told = plait("doctor", "--data", str(shop), "--port", "0")

    assert told.returncode == 0, told.stdout
    assert "fail" not in told.stdout


def test_the_doctor_says_that_others_can_read_the_keys(shop):
    (shop / "keys.json").chmod(0o644)
    try:
        found = {check.name: check for check in checks(str(shop), overrides={"port": 0})}
    finally:
        (shop / "keys.json").chmod(0o600)

    assert found["keys"].verdict == "fail"
    assert "chmod" in found["keys"].message


def test_the_doctor_says_that_the_port_is_taken(shop):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = plait("doctor", "--data", str(shop), "--port", str(taken.getsockname()[1]))

    assert told.returncode == 1
    assert "port" in told.stdout


def test_the_doctor_says_which_setting_is_unknown(shop):
    told = plait("doctor", "--data", str(shop), PLAIT_PROT="1")

    assert told.returncode == 1
    assert "PLAIT_PROT" in told.stdout
