"""The real servers of Bluesky: what we hold is what their own AppView says, whatever happened and whoever was killed."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.conftest import Server
from tests.fakes.bluesky import ADA, chat_log
from tests.fakes.messages import Messages
from tests.peers.bluesky import Network, Person
from tests.peers.history import Batches, Held, History, held, judged
from tests.peers.liking import connect, liked
from tests.peers.product import http_of, kill
from tests.peers.setup import ATPROTO, node


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    one = Network().start()
    yield one
    one.stop()


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PLAIT_CONSENT__SOCIAL"] = "true"
    return own_server.start()


_numbers = iter(range(1, 1_000_000))


def somebody(network: Network) -> Person:
    return network.account(f"person{next(_numbers)}")


def agreed(server: Server, history: History, *, seconds: float) -> Held:
    """What both say in the end; ours may take its time, theirs is waited for."""
    right = judged(history.network, history.shop, history.posts)
    until = time.monotonic() + seconds
    ours = held(server, history.shop, history.posts)
    while ours != right and time.monotonic() < until:
        time.sleep(0.2)
        ours = held(server, history.shop, history.posts)
    assert ours - right == {}, "we hold what is not so, or twice"
    assert right - ours == {}, "we lost what is so"
    return right


@pytest.mark.peers
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_random_history_we_hold_what_the_appview_says(
    network: Network, server: Server, seed: int
) -> None:
    chance = random.Random(seed)
    history = History(network, somebody(network), [somebody(network) for _ in range(7)], chance)
    connect(http_of(server), network, history.shop)
    victims = dict(zip(chance.sample(range(20, 190), 3), ("drive", "fold", "server"), strict=True))
    for number in range(200):
        history.act()
        if number in victims:
            kill(server, victims[number])
            for _ in range(chance.randrange(10)):  # what happens while nobody listens
                history.act()
            if victims[number] == "server":
                server.start()

    right = agreed(server, history, seconds=90)

    assert len(right) > 10  # or it proves nothing


@pytest.mark.peers
@pytest.mark.timeout(300)
def test_a_like_changes_what_its_author_is_shown_and_an_unlike_changes_it_back(
    network: Network, server: Server
) -> None:
    shop, people = somebody(network), [somebody(network) for _ in range(5)]
    http = http_of(server)
    connect(http, network, shop)

    likes, unlikes = liked(http, network, shop, people)

    # The bar is 1 s and is measured by `make bench`; here the machine may be busy with other tests.
    assert max(likes + unlikes) < 10
    print("like", [round(one, 3) for one in likes], "un-like", [round(one, 3) for one in unlikes])


@pytest.mark.peers
@pytest.mark.timeout(300)
def test_what_happened_before_it_was_connected_is_read_and_can_be_taken_back(
    network: Network, server: Server
) -> None:
    history = History(network, somebody(network), [somebody(network) for _ in range(7)], random.Random(3))
    for _ in range(60):
        history.act()
    network.settle()
    connect(http_of(server), network, history.shop)
    agreed(server, history, seconds=60)
    while history.made:
        history._take_back()

    assert agreed(server, history, seconds=60) == {}


@pytest.mark.peers
def test_the_fake_of_messages_says_what_the_published_lexicon_allows() -> None:
    def published(told: dict) -> int:
        command = [node(), ATPROTO / "published.mjs", "chat.bsky.convo.getLog"]
        done = subprocess.run(command, input=json.dumps(told).encode(), capture_output=True, timeout=60)
        return done.returncode

    told = Messages()
    told.delete(ADA, told.say(ADA, "is it waterproof?"))
    assert published(chat_log()) == 0
    assert published(told.log("")) == 0
    assert published({"cursor": "1"}) != 0


@pytest.mark.soak
@pytest.mark.timeout(7_000)
def test_after_twenty_thousand_acts_and_twenty_kills_we_hold_what_the_appview_says(
    network: Network, server: Server
) -> None:
    chance = random.Random(20_000)
    shop, people = somebody(network), [somebody(network) for _ in range(24)]
    history = Batches(network, shop, people, chance, [shop.post(f"tent {number}") for number in range(40)])
    connect(http_of(server), network, shop)
    began, kills = time.monotonic(), []
    while history.done < 20_000:
        history.batch(chance.randrange(20, 200))
        if len(kills) < 20 and history.done > 20_000 * (len(kills) + 1) / 22:
            kills.append(chance.choice(["drive", "drive", "fold", "server"]))
            kill(server, kills[-1])
            history.batch(chance.randrange(20, 200))  # what happens while nobody listens
            if kills[-1] == "server":
                server.start()
        if chance.random() < 0.02 and len(people) > 16:
            history._leave()
    written = time.monotonic() - began

    right = agreed(server, history, seconds=600)

    told = {
        "acts": history.done, "accounts": 24, "deleted accounts": 24 - len(people), "kills": len(kills),
        "of them of the whole server": kills.count("server"), "edges that hold in the end": sum(right.values()),
        "differences": 0, "seconds to write them": round(written),
        "seconds until both agreed": round(time.monotonic() - began - written),
    }  # fmt: skip
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    report = Path(__file__).parents[2] / "bench" / "reports" / f"bluesky-{day}.md"
    lines = "\n".join(f"| {name} | {value:,} |" for name, value in told.items())
    report.write_text(
        "# Random histories on Bluesky's own servers\n\n"
        f"{day}, `make soak`. Likes, reposts, follows, replies, quotes and their undoing, in commits of 20 to 200, and deleted "
        "accounts, while the driver, the fold or the whole server was killed. In the end every edge was compared with the "
        f"AppView's own answers.\n\n| | |\n|---|---:|\n{lines}\n"
    )
