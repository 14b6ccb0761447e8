"""What the operator's rules say about pages, by their addresses."""

import pytest

from plait.errors import Rejected
from plait.events import About, Record
from plait.intake.places import PageRule, Places
from plait.intake.records import events_of
from plait.intake.signals import compile_signals, load_signals


def _about(rule: dict[str, str], url: str, **told: str) -> About:
    return Places([PageRule(**rule)]).about(About(url=url, **told))


@pytest.mark.parametrize(
    ("pattern", "url", "item"),
    [
        ("/p/{item}", "https://shop.example/p/tent-2", "tent-2"),
        ("/p/{item}", "https://shop.example/p/tent-2/?utm_source=x", "tent-2"),
        ("/p/{item}", "/p/two%20person", "two person"),
        ("/p/{item}", "https://shop.example/p/tent-2/reviews", None),
        ("/*/p/{item}.html", "https://shop.example/en/tents/p/tent-2.html", "tent-2"),
        ("/product?sku={item}", "https://shop.example/product?color=red&sku=t2", "t2"),
        ("/product?sku={item}", "https://shop.example/product", None),
        ("https://shop.example/{item}", "https://shop.example/t2", "t2"),
        ("https://shop.example/{item}", "https://blog.example/t2", None),
        ("/{item}", "https://[broken", None),
    ],
)
def test_an_address_names_the_item(pattern, url, item):
    assert _about({"url": pattern}, url).item == item


def test_what_was_said_goes_before_what_the_address_says():
    assert _about({"url": "/p/{item}"}, "/p/a", item="b").item == "b"


def test_the_section_of_a_page_becomes_that_of_its_item():
    assert _about({"url": "/p/{item}"}, "/p/a", section="specs") == About(
        item="a", section="specs", url="/p/a"
    )


def test_an_address_may_stand_for_a_topic():
    assert _about({"url": "/c/{topic}*"}, "/c/tents").topic == "tents"
    assert _about({"url": "/sale*", "topic": "offers"}, "/sale/today").topic == "offers"


def test_of_two_rules_the_first_that_fits_counts():
    places = Places([PageRule(url="/p/sale", topic="offers"), PageRule(url="/p/{item}")])

    assert places.about(About(url="/p/sale")).topic == "offers"
    assert places.about(About(url="/p/tent")).item == "tent"


RULES = '[[page]]\nurl = "/p/{item}"\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("events", b'[{"id": "1", "signal": "view", "who": ["anonymous:a"], "about": {"url": "https://s.example/p/t2"}}]'),
        ("segment", b'{"batch": [{"type": "page", "messageId": "1", "anonymousId": "a", "properties": {"url": "https://s.example/p/t2"}}]}'),
        ("segment", b'{"batch": [{"type": "track", "event": "Clicked Product", "messageId": "1", "anonymousId": "a", "context": {"page": {"url": "https://s.example/p/t2"}}}]}'),
    ],
)  # fmt: skip
def test_rules_hold_for_every_client(kind, body, tmp_path):
    (tmp_path / "signals.toml").write_text(RULES)
    record = Record(kind=kind, source="web", received_at=1_700_000_000_000, trusted=False, body=body)

    (event,) = events_of(record, load_signals(tmp_path))

    assert event.about.item == "t2"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[page]]\nurl = "p/{item}"\n', 2),
        ('[[page]]\nurl = "/p/{sku}"\n', 2),
        ('[[page]]\nurl = "/p/{item}/{item}"\n', 2),
        ('[[page]]\nurl = "/sale"\n', 2),
        ('[[page]]\nurl = "/p/{item}"\n\n[[page]]\nurl = "/c"\ncolour = "red"\n', 6),
        ('[[section]]\nselector = ""\nsection = "specs"\n', 2),
        ('[[section]]\nselector = "#specs"\n', 2),
    ],
)
def test_a_wrong_rule_is_refused_with_its_line(text, line):
    with pytest.raises(Rejected) as wrong:
        compile_signals([("signals.toml", text)])

    assert wrong.value.field == f"signals.toml:{line}"
