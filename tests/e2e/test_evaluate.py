"""``plait evaluate --live``: an installation tells what each kind of its data is worth, while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest


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


def test_what_friends_liked_until_then_is_part_of_it(own_server):
    server = own_server
    server.env["PLAIT_CONSENT__SOCIAL"] = "true"
    server.start()
    random = np.random.default_rng(0)
    posts = [{"id": f"post{n}", "kind": "post", "for": [f"i{n}"]} for n in range(24)]
    server.ask("POST", "/v1/items", {"items": [*({"id": f"i{n}"} for n in range(24)), *posts]})
    now = int(time.time() * 1_000)

    def at():
        return now - int(random.integers(0, 9 * 86_400_000))

    def act(person, signal, about, **more):
        source = "web" if signal == "view" else "bluesky:shop"
        return {"source": source, "signal": signal, "who": [f"bluesky:p{person}"], "about": about, **more}

    events = []
    for person in range(60):
        for item in random.choice(12, 6, replace=False):
            number = 2 * int(item) + person % 2
            events.append(act(person, "view", {"item": f"i{number}"}, at=at()))
            events.append(act(person, "like", {"post": f"post{number}"}, record=f"l{person}.{item}", at=at()))
        for step in (2, 4, 6):
            other = (person + step) % 60
            about = {"account": f"bluesky:p{other}"}
            events.append(act(person, "follow", about, record=f"f{person}.{other}", at=now - 9 * 86_400_000))
    for start in range(0, len(events), 500):
        told = server.ask("POST", "/v1/events", {"events": events[start : start + 500]})
        assert told.json() == {"success": True, "accepted": len(events[start : start + 500])}
    server.eventually(lambda: (server.profile("bluesky:p59") or {}).get("counts", {}).get("follow") == 3)

    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", "--live", "--json", "--data", str(server.data)],
        capture_output=True, text=True, timeout=110, env={**os.environ, **server.env},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "bluesky/follow~" in json.loads(done.stdout)["gates"]["channels"]


def test_a_folder_and_live_exclude_each_other(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", str(tmp_path), "--live"], capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "give a FOLDER" in done.stderr


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        (["--report", "nowhere/page.html"], 75, "its folder is missing"),
        (["--seed", "-1"], 2, "-1 is not in the range"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_fitted(tmp_path, more, status, said):
    (tmp_path / "train.csv").write_text("person,item\na,x\n")  # too little to be evaluated

    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", str(tmp_path), *more], capture_output=True, text=True
    )

    assert done.returncode == status
    assert said in done.stderr


def test_a_data_folder_that_is_not_there_is_not_made(tmp_path):
    nowhere = tmp_path / "nowhere"

    done = subprocess.run(
        [sys.executable, "-m", "plait", "evaluate", "--live", "--data", str(nowhere)],
        capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert "there is no data folder" in done.stderr
    assert not nowhere.exists()


def test_before_anything_was_tried_there_are_no_rounds(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "plait", "explored", "--data", str(tmp_path)], capture_output=True, text=True
    )

    assert json.loads(done.stdout) == {"learned_at": 0, "rounds": 0, "rewards": 0}
