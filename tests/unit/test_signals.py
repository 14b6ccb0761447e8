"""What names mean, and where a call says what it is about."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from plait.errors import Rejected
from plait.events import Signal
from plait.intake.signals import compile_signals, load_signals


@pytest.mark.parametrize("name", ["Product Added", "product_added", "productAdded", "add_to_cart"])
def test_spelling_does_not_change_what_a_name_means(name):
    assert load_signals().rule(name).signal is Signal.ADD


def test_a_name_nobody_mapped_is_kept_as_other():
    assert load_signals().rule("Lamp Rubbed").signal is Signal.OTHER


def test_the_operators_map_goes_before_the_default(tmp_path):
    (tmp_path / "signals.toml").write_text(
        '[[event]]\nnames = ["Product Added"]\nsignal = "save"\n\n[[event]]\nnames = ["Lamp Rubbed"]\nsignal = "click"\n'
    )

    signals = load_signals(tmp_path)

    told = {name: signals.rule(name).signal for name in ("Product Added", "Lamp Rubbed", "Product Viewed")}
    assert told == {
        "Product Added": Signal.SAVE,
        "Lamp Rubbed": Signal.CLICK,
        "Product Viewed": Signal.VIEW,
    }


def test_the_operator_says_where_items_stand(tmp_path):
    (tmp_path / "signals.toml").write_text('[find]\nitem = ["article.number"]\n')

    assert load_signals(tmp_path).rule("Product Viewed").item == (("article", "number"),)


def test_where_items_stand_in_one_event_goes_before_where_they_stand_in_all(tmp_path):
    (tmp_path / "signals.toml").write_text('[find]\nitem = ["article"]\n')

    assert load_signals(tmp_path).rule("Promotion Viewed").item == (("promotion_id",), ("promotionId",))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[event]]\nnames = ["A"]\nsignal = "adore"\n', 3),
        ('[[event]]\nnames = ["A"]\nsignal = "add"\n\n[[event]]\nnames = "B"\nsignal = "add"\n', 6),
        ('[[event]]\nnames = ["A"]\nsignal = "add"\ncolour = "red"\n', 4),
        ('[[event]]\nnames = ["A"]\nsignal = "erase"\n', 3),
        ('[[event]]\nnames = ["A"]\nsignal = "rate"\nscale = 0\n', 4),
        ('[find]\n\nitem = "sku"\n', 3),
        ('[find]\nitem = ["sku"\n', 3),
        ('[consent]\nAds = ["collect", "advertise"]\n', 2),
        ('[[event]]\nsignal = "add"\n', 1),
    ],
)
def test_a_wrong_map_is_refused_with_the_line_that_is_wrong(text, line):
    with pytest.raises(Rejected) as wrong:
        compile_signals([("signals.toml", text)])

    assert wrong.value.field == f"signals.toml:{line}"
    assert f"line {line}" in wrong.value.message


def test_remembering_spellings_has_an_end():
    signals = load_signals()
    for number in range(45_000):
        signals.rule(f"name {number}")

    assert len(signals._memo) <= 20_000


def test_the_documentation_names_every_signal_and_every_known_name():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "signals.md").read_text()
    told = tomllib.loads(files("plait.intake").joinpath("signals.toml").read_text())
    names = [f"| `{signal}` |" for signal in Signal] + [
        name for one in told["event"] for name in one["names"]
    ]

    assert [name for name in names if name not in page] == []
