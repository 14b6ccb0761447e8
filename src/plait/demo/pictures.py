"""The shop's pictures: drawings of products in their own colours, and landscapes for what the shop tells.

Everything is drawn here, so that the demo needs no network, no photographs and no licences. ``drawings.svg`` has
one symbol per kind of product, with names where colours go.
"""

from __future__ import annotations

import math
import random
import re
from functools import cache
from importlib.resources import files

COLOURS = {
    "moss": "#6f8a4c", "pine": "#2f6050", "sage": "#9aae8c", "slate": "#66788a", "charcoal": "#4a4f57",
    "ember": "#e2622f", "rust": "#b04a30", "clay": "#c07f5e", "sand": "#d3b587", "ochre": "#d99a33",
    "lemon": "#ecc443", "sky": "#5fa4d0", "fjord": "#2e6c98", "midnight": "#33406b", "teal": "#2f8f8b",
    "plum": "#7c4d7e", "berry": "#b83c62", "snow": "#dfe5e8",
}  # fmt: skip
# The colour that sets a detail off; picked by eye for each base.
ACCENTS = {
    "moss": "#f0b541", "pine": "#f2a65a", "sage": "#e0723f", "slate": "#f0b541", "charcoal": "#f07a3a",
    "ember": "#2b4a63", "rust": "#f3c566", "clay": "#2f6050", "sand": "#3e7c8f", "ochre": "#2d4f73",
    "lemon": "#356a8a", "sky": "#f2a541", "fjord": "#f4c04e", "midnight": "#f08a5d", "teal": "#f4b860",
    "plum": "#f2c14e", "berry": "#f6cf6b", "snow": "#e2622f",
}  # fmt: skip
FIXED = {
    "white": "#fdfcf8", "metal": "#c6cdd2", "steel": "#8b959d", "ink": "#2a2e33", "wood": "#cda06b", "oak": "#9c7446",
    "lamp": "#ffd866", "cross": "#cf3f3f", "skin": "#e9b98f", "water": "#7fb6cf",
}  # fmt: skip


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mixed(one: str, other: str, share: float) -> str:
    """``one`` with a ``share`` (0..1) of ``other`` in it, both ``#rrggbb``."""
    pairs = zip(_rgb(one), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


@cache
def _drawings() -> dict[str, str]:
    text = files("plait.demo").joinpath("drawings.svg").read_text()
    return dict(re.findall(r'<symbol id="(\w+)">(.*?)</symbol>', text, re.S))


def kinds() -> frozenset[str]:
    """Kinds of product that can be drawn."""
    return frozenset(_drawings())


VIEWS = ("studio", "outdoors", "detail", "sketch", "cut")


@cache
def product(kind: str, colour: str, view: str = "studio", ground: str = "dawn") -> str:
    """The picture of a product, SVG, 400 x 400.

    Args:
        kind: a symbol of ``drawings.svg``.
        colour: a name in ``COLOURS``.
        view: one of ``VIEWS``: on paper, in a landscape, close by, as lines, or cut out without any ground.
        ground: a landscape of ``SCENES``, for the view outdoors.
    """
    base = COLOURS[colour]
    paper = mixed(mixed(base, "#f3eee4", 0.86), "#f3eee4", 0.25)
    if view == "sketch":
        return _framed(_grid(base), f'<g transform="translate(12 6) scale(.94)">{_lines(kind, base)}</g>')
    drawn = _painted(kind, colour)
    if view == "outdoors":
        near = mixed(SCENES[ground][4], "#10171a", 0.3)
        behind = scene(ground, 5).replace("<svg ", '<svg width="400" height="400" ', 1)
        hill = f'<path d="M0 352C90 318 250 312 400 340V400H0Z" fill="{near}"/>'
        return _framed(behind + hill, f'<g transform="translate(56 92) scale(.72)">{drawn}</g>')
    if view == "cut":
        return _framed("", f'<g transform="translate(12 6) scale(.94)">{drawn}</g>')
    place = "translate(-150 -128) scale(1.8)" if view == "detail" else "translate(12 6) scale(.94)"
    glow = mixed(paper, "#ffffff", 0.7)
    ground_paper = (
        f'<defs><radialGradient id="paper" cx=".5" cy=".42" r=".75"><stop stop-color="{glow}"/>'
        f'<stop offset="1" stop-color="{paper}"/></radialGradient></defs>'
        '<rect width="400" height="400" fill="url(#paper)"/>'
    )
    return _framed(ground_paper, f'<g transform="{place}">{drawn}</g>')


def _framed(behind: str, drawn: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" width="400" height="400">'
        '<defs><radialGradient id="shade"><stop stop-color="#28251d" stop-opacity=".34"/>'
        '<stop offset="1" stop-color="#28251d" stop-opacity="0"/></radialGradient></defs>'
        f"{behind}{drawn}</svg>"
    )


def _painted(kind: str, colour: str) -> str:
    base = COLOURS[colour]
    paints = FIXED | {
        "base": base,
        "light": mixed(base, "#ffffff", 0.26),
        "dark": mixed(base, "#1c2430", 0.24),
        "deep": mixed(base, "#161c26", 0.56),
        "tint": mixed(base, "#fffaf0", 0.76),
        "accent": ACCENTS[colour],
        "shade": "url(#shade)",
    }
    return re.sub(
        r'(fill|stroke)="([a-z]+)"',
        lambda found: f'{found[1]}="{paints.get(found[2], found[2])}"',
        _drawings()[kind],
    )


def _lines(kind: str, base: str) -> str:
    """The drawing as its maker would pin it to the wall: outlines on nothing, the shadow left out."""
    ink = mixed(base, "#1b2330", 0.62)
    drawn = re.sub(r'<ellipse[^>]*fill="shade"[^>]*/>', "", _drawings()[kind])
    drawn = re.sub(r' (?:stroke-width|stroke|opacity|stroke-opacity)="[^"]*"', "", drawn)
    drawn = re.sub(r'fill="[a-z]+"', 'fill="none"', drawn)
    return f'<g fill="none" stroke="{ink}" stroke-width="2" stroke-linejoin="round">{drawn}</g>'


def _grid(base: str) -> str:
    paper, rule = mixed(base, "#fbf8f1", 0.93), mixed(base, "#e9e2d4", 0.72)
    fine = "".join(f"M{at} 0V400M0 {at}H400" for at in range(20, 400, 20))
    strong = "".join(f"M{at} 0V400M0 {at}H400" for at in range(100, 400, 100))
    return (
        f'<rect width="400" height="400" fill="{paper}"/><path d="{fine}" stroke="{rule}" stroke-width=".6" opacity=".6"/>'
        f'<path d="{strong}" stroke="{rule}" stroke-width="1.2"/>'
    )


# sky above, sky below, sun, far hills, near hills; what stands in front
SCENES = {
    "dusk": ("#2c3560", "#f0a27a", "#ffd9a0", "#6c5a86", "#23284a", "pines"),
    "dawn": ("#8fb8d8", "#fbe3c0", "#fff4d6", "#8aa3b5", "#3d5a5c", "pines"),
    "snow": ("#5f93c4", "#dfeef7", "#ffffff", "#a9c4dc", "#f4f8fb", "peaks"),
    "frost": ("#31507a", "#c9dced", "#fdf6e3", "#7f9cbd", "#e7eff6", "peaks"),
    "storm": ("#2b333d", "#8a949c", "#c4c9cc", "#4a545e", "#1d242b", "peaks"),
    "night": ("#0f1730", "#2f4a78", "#f4ecd0", "#22345c", "#0a1022", "pines"),
    "meadow": ("#7dbbe0", "#eaf4e2", "#fff6cf", "#8fb58f", "#5d8a48", "hills"),
    "autumn": ("#86a9c0", "#fbe6c4", "#fff0c9", "#c8864a", "#7d4327", "pines"),
    "fog": ("#9fb1b6", "#e6ebe6", "#f7f5ea", "#8fa39f", "#3f5a50", "pines"),
    "lake": ("#6aaed0", "#f7e8cd", "#fff3d0", "#5f8b90", "#1f4f66", "lake"),
    "coast": ("#5aa6cf", "#f4ead6", "#fff4d0", "#c9b48a", "#2b7597", "lake"),
    "granite": ("#79a9cf", "#f6e3cf", "#fff2d8", "#b9a08f", "#6d5a53", "peaks"),
}  # fmt: skip


def _ridge(chance: random.Random, height: float, rough: float, *, sharp: bool) -> str:
    """The outline of hills from left to right, as path commands in a 1600 x 900 frame."""
    phase = [chance.uniform(0, 7) for _ in range(4)]
    points = []
    for x in range(-40, 1680, 40 if sharp else 16):
        wave = sum(math.sin(x / (430 / (k + 1)) + phase[k]) / (k + 1) for k in range(4))
        jag = chance.uniform(-0.5, 0.5) if sharp else 0
        points.append(f"{x} {height - rough * (wave + jag):.0f}")
    return f"M{' L'.join(points)} V900 H-40Z"


def _pines(chance: random.Random, colour: str) -> str:
    drawn = []
    for _ in range(46):
        x, tall = chance.uniform(-20, 1620), chance.uniform(70, 210)
        foot = 905 - chance.uniform(0, 50) - 60 * math.sin(x / 260)
        tiers = "".join(
            f"M{x:.0f} {foot - tall * (1 - t * 0.26):.0f}l{tall * (0.11 + t * 0.055):.0f} {tall * 0.4:.0f}h{-2 * tall * (0.11 + t * 0.055):.0f}Z"
            for t in range(3)
        )
        drawn.append(f'<path d="{tiers}M{x - 3:.0f} {foot - 12:.0f}h6v80h-6Z"/>')
    return f'<g fill="{colour}">{"".join(drawn)}</g>'


@cache
def scene(name: str, seed: int = 1) -> str:
    """A landscape, SVG, 1600 x 900; the same name and seed always draw the same."""
    high, low, sun, far, near, front = SCENES[name]
    chance = random.Random(f"{name}{seed}")  # noqa: S311 - a picture, not a secret
    sharp = front == "peaks"
    layers = []
    for depth in range(4):
        share = depth / 3
        colour = mixed(mixed(far, low, 0.45), near, share)
        layers.append(
            f'<path d="{_ridge(chance, 470 + 95 * depth, (95 if sharp else 62) - 8 * depth, sharp=sharp and depth < 3)}" '
            f'fill="{colour}"/>'
        )
    sun_x, sun_y = chance.uniform(950, 1350), chance.uniform(190, 330)
    stars = ""
    if name in ("night", "dusk"):
        stars = "".join(
            f'<circle cx="{chance.uniform(0, 1600):.0f}" cy="{chance.uniform(0, 380):.0f}" r="{chance.uniform(0.8, 2.2):.1f}"/>'
            for _ in range(90)
        )
    ahead = {"pines": _pines(chance, mixed(near, "#0b1014", 0.35)), "lake": _water(chance, near, low)}.get(
        front, ""
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1600 900" preserveAspectRatio="xMidYMax slice"><defs>'
        f'<linearGradient id="sky" x2="0" y2="1"><stop stop-color="{high}"/><stop offset=".68" stop-color="{low}"/></linearGradient>'
        f'<radialGradient id="sun"><stop stop-color="{sun}"/><stop offset=".22" stop-color="{sun}" stop-opacity=".85"/>'
        f'<stop offset=".26" stop-color="{sun}" stop-opacity=".3"/><stop offset="1" stop-color="{sun}" stop-opacity="0"/></radialGradient></defs>'
        f'<rect width="1600" height="900" fill="url(#sky)"/><g fill="#fff" opacity=".7">{stars}</g>'
        f'<circle cx="{sun_x:.0f}" cy="{sun_y:.0f}" r="240" fill="url(#sun)"/>{"".join(layers)}{ahead}</svg>'
    )


def _water(chance: random.Random, deep: str, light: str) -> str:
    glints = "".join(
        f'<path d="M{chance.uniform(0, 1600):.0f} {690 + 200 * (k / 40) ** 1.3:.0f}h{chance.uniform(40, 240):.0f}"/>'
        for k in range(40)
    )
    return (
        f'<rect y="672" width="1600" height="228" fill="{deep}"/><rect y="672" width="1600" height="80" fill="{light}" opacity=".28"/>'
        f'<g stroke="{mixed(light, "#ffffff", 0.4)}" stroke-width="3" stroke-linecap="round" opacity=".45">{glints}</g>'
    )
