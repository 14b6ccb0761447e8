"""An erasure reaches the model: on a real server, which is asked to unlearn as it does by itself half a minute later."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from tests.conftest import Server

from plait.models import current
from plait.models.installation import fit_installation
from plait.settings import Settings
from plait.workers import UNLEARN


@pytest.fixture
def shop(own_server: Server) -> Server:
    own_server.env = {"PLAIT_FIT_EVERY_MINUTES": "0"}
    own_server.start()
    items = [{"id": f"u-tent-{n}", "title": "A tent"} for n in range(9)]
    own_server.ask("POST", "/v1/items", {"items": items})
    events = [
        {"signal": "view", "who": [f"user:u{person}"], "about": {"item": f"u-tent-{(person + n) % 8}"}, "id": f"{person}-{n}"}
        for person in range(40)
        for n in range(4)
    ]  # fmt: skip
    events += [{"signal": "view", "who": ["user:u7"], "about": {"item": "u-tent-8"}, "id": "alone"}]
    assert own_server.ask("POST", "/v1/events?sync=1", {"events": events}).status_code == 200
    return own_server


def test_who_is_erased_leaves_the_model_and_the_one_before(shop: Server):
    first = _fitted_when_folded(shop)
    number = [one for one in first.entities if one.endswith("u-tent-8")]
    place = first.entities.index(number[0])
    assert first.popularity[place] > 0

    assert shop.ask("DELETE", "/v1/profiles/user:u7").status_code == 200
    assert (shop.data / UNLEARN).exists()
    told = fit_installation(Settings(data=str(shop.data), fit_every_minutes=0), how="forget")

    left = current(shop.data / "models")
    assert left is not None
    assert [one.name for one in (shop.data / "models").iterdir()] == [told["id"]]
    assert told["fitted_at"] == first.fitted_at  # taken out of the rows, which were not learned anew
    assert told["people"] == first.manifest.people - 1
    assert left.popularity[place] == 0
    assert left.gates.tolist() == first.gates.tolist()
    assert "u7" not in json.dumps(left.entities)


def test_between_fits_rows_learn_what_is_new_and_nothing_is_decided(shop: Server):
    first = _fitted_when_folded(shop)
    news = [
        {"signal": "view", "who": [f"user:fresh{person}"], "about": {"item": f"u-tent-{item}"}, "id": f"f{person}-{item}"}
        for person in range(30)
        for item in (7, 8)
    ]  # fmt: skip
    assert shop.ask("POST", "/v1/events?sync=1", {"events": news}).status_code == 200
    for _ in range(20):  # until they are folded
        told = fit_installation(Settings(data=str(shop.data), fit_every_minutes=0), how="refit")
        if told["people"] == first.manifest.people + 30:
            break
        time.sleep(0.2)

    left = current(shop.data / "models")
    assert left is not None
    assert told["people"] == first.manifest.people + 30
    assert told["position"] > first.manifest.position
    assert left.gates.tolist() == first.gates.tolist()
    assert not np.array_equal(left.values, first.values)


def _fitted_when_folded(shop: Server):
    for _ in range(20):
        told = shop.ask("POST", "/v1/fit").json()
        if told["acts"] >= 161:
            break
    model = current(shop.data / "models")
    assert model is not None
    return model
