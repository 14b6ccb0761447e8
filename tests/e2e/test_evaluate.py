"""``plait evaluate --live``: an installation tells what each kind of its data is worth, while it runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np


def test_a_running_installation_evaluates_itself_and_keeps_the_report(own_server):
    server = own_server.start()
    random = np.random.default_rng(0)
    server.ask("POST", "/v1/items", {"items": [{"id": f"i{n}"} for n in range(24)]})
    now = int(time.time() * 1_000)
    events = [
        {
            "source": "web", "signal": "view", "who": [f"user:p{person}"],
            "about": {"item": f"i{2 * item + person % 2}"}, "at": now - int(random.integers(0, 9 * 86_400_000)),
        }
        for person in range(60)
        for item in random.choice(12, 6, replace=False)
    ]  # fmt: skip
    answer = server.ask("POST", "/v1/events", {"events": events})
    assert answer.status_code == 200, answer.text
    server.eventually(lambda: all(server.profile(f"user:p{person}") for person in (0, 30, 59)))

    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", "--live", "--json", "--data", str(server.data)],
        capture_output=True, text=True, timeout=110,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["items"] == 24
    assert told["lines"]["combined"]["ndcg@20"]["mean"] > 0
    (kept,) = (server.data / "evaluations").glob("*.json")
    assert json.loads(kept.read_text())["gates"] == told["gates"]
    assert "user:p" not in kept.read_text()


def test_a_folder_and_live_exclude_each_other(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", str(tmp_path), "--live"], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "give a FOLDER" in done.stderr
