"""An evaluation as a page: one file that asks nobody for anything, to read, to print and to send on.

Plots are SVG drawn here: dots with intervals and nothing else, which a library for plots would not make smaller. Colours
are those of a set that colour-blind people can tell apart, one pair for light and dark each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

LINES = ("popularity", "activity", "social", "combined")
_MEANS = {
    "popularity": "what everybody likes, to everybody alike",
    "activity": "what people do on site and in app",
    "social": "what people do on networks, and who follows whom",
    "combined": "all of it, each source as far as it can be trusted",
}
_METRICS = {
    "ndcg@20": ("NDCG@20", "how high up the 20 shown the wanted items stand; 1 is perfect"),
    "recall@20": ("Recall@20", "how many of the wanted items are among 20 shown"),
    "hr@20": ("Hit rate@20", "for how many people at least one of 20 is right"),
    "mrr@20": ("MRR@20", "how near the top the first right one stands"),
    "coverage@20": ("Coverage@20", "how much of the shelf is shown to anybody at all"),
}
_Z = 1.959964
WIDE = 720.0  # of a plot, in the units of its view box
LEFT = 132.0  # where its scale begins
RIGHT = 84.0  # what is left for figures at its end
ROW = 30.0


def as_html(found: dict[str, Any], *, name: str) -> str:
    """The report of ``evaluate`` as a page of its own.

    Args:
        found: what ``evaluate`` returned.
        name: of the data, as people call it.
    """
    body = "".join([
        _headline(found, name), _figures(found), _lines(found), _history(found), _gates(found), _how(found),
    ])  # fmt: skip
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(name)}: what combining is worth</title>
<style>{_STYLE}</style>
</head>
<body><main>{body}</main></body>
</html>
"""


# -- what it says


def _single(found: dict[str, Any]) -> str:
    """The best of the single sources."""
    return max(("activity", "social"), key=lambda line: found["lines"][line]["ndcg@20"]["mean"])


def _verdict(lift: dict[str, Any]) -> tuple[str, str]:
    """A class and a word for a lift: what its interval allows to say."""
    if lift["relative"] is None:
        return "none", "nothing to compare with"
    low, high = lift["ci95"]
    if low == high != 0:
        return "level", "too few people to tell"  # every draw of them is the same
    if low > 0:
        return "up", "better"
    return ("down", "worse") if high < 0 else ("level", "no difference that chance would not make")


def _headline(found: dict[str, Any], name: str) -> str:
    best = _single(found)
    lift = found["lift"][f"combined_vs_{best}"]["ndcg@20"]
    kind, word = _verdict(lift)
    if kind == "none":
        said = "There is no single source to compare with: none of them foretold anything."
        big = "–"
    else:
        low, high = lift["ci95"]
        big = _percent(lift["relative"])
        said = (
            f"That is what combining all sources is worth beside the best single one, <b>{best}</b>: NDCG@20 of {_number(found['lines']['combined']['ndcg@20']['mean'])} "
            f"instead of {_number(found['lines'][best]['ndcg@20']['mean'])}. In 95 of 100 draws of people it lies between {_percent(low)} and {_percent(high)}: <b>{word}</b>."
        )
    return f"""<header><p class="kicker">What combining is worth</p><h1>{escape(name)}</h1>
<div class="hero {kind}"><strong>{big}</strong><p>{said}</p></div></header>"""


def _figures(found: dict[str, Any]) -> str:
    facts = [
        ("people asked about", f"{found['people']:,}"), ("items ranked", f"{found['items']:,}"), ("rows learned from", f"{found['train_rows']:,}"),
        ("ties", f"{found['ties']:,}"), ("seconds to fit", f"{found['fit_seconds']:.1f}"), ("seconds to tune", f"{found['tuning_seconds']:.1f}"),
    ]  # fmt: skip
    return (
        "<dl class='facts'>"
        + "".join(f"<div><dt>{what}</dt><dd>{value}</dd></div>" for what, value in facts)
        + "</dl>"
    )


def _lines(found: dict[str, Any]) -> str:
    legend = "".join(f"<li><i class='dot {line}'></i><b>{line}</b> {_MEANS[line]}</li>" for line in LINES)
    plots = "".join(
        f"<figure><figcaption><b>{title}</b> {text}</figcaption>{_dots([(line, line, found['lines'][line][metric]) for line in LINES])}</figure>"
        for metric, (title, text) in _METRICS.items()
    )
    return _section(
        "Each kind of data alone, and all together",
        "Dots are means over people, bars 95 % intervals.",
        f"<ul class='legend'>{legend}</ul><div class='grid first'>{plots}</div>",
    )


def _history(found: dict[str, Any]) -> str:
    rows = found["by_history"]
    if not rows:
        return ""
    absolute = _slopes(rows)
    parts = []
    for against in ("activity", "social"):
        lifts = [(_span(row), row["lift"][f"combined_vs_{against}"]["ndcg@20"]) for row in rows]
        parts.append(
            f"<figure><figcaption><b>Combined beside {against} alone</b> NDCG@20</figcaption>{_forest(lifts)}</figure>"
        )
    return _section(
        "By how much is known of a person",
        "People by the number of items that were known of them. Combining is for those of whom little is known; it must not cost the others anything.",
        f"<figure class='wide'><figcaption><b>NDCG@20</b> of each line</figcaption>{absolute}</figure><div class='grid'>{''.join(parts)}</div>",
    )


def _gates(found: dict[str, Any]) -> str:
    off = [f"<li><b>{escape(one)}</b> did not help, and is off</li>" for one in found["gated_off"]]
    off = off or ["<li>Every source helped: none was gated off.</li>"]
    off += [
        f"<li>With {_known(least)} known, combining was held back to {float(part):.0%} of itself: the best single source did as well</li>"
        for least, part in found["gates"]["held_back_to"].items()
    ]
    table = ""
    if any(max(values) > 0 for values in found["gates"]["channels"].values()):
        buckets = found["gates"]["history"]
        head = "".join(f"<th>{bucket}{'+' if bucket == buckets[-1] else ''}</th>" for bucket in buckets)
        most = [max(values) or 1.0 for values in found["gates"]["channels"].values()]
        rows = "".join(
            f"<tr><th>{escape(channel)}</th>" + "".join(_cell(value, top) for value in values) + "</tr>"
            for (channel, values), top in zip(found["gates"]["channels"].items(), most, strict=True)
        )
        table = (
            f"<div class='scroll'><table class='heat'><thead><tr><th>items known</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
            "<p class='note'>How much each source is trusted, beside where it is trusted most (= 100). A dot means not at all.</p>"
        )
    return _section(
        "What the gates decided",
        "A source is trusted as far as it foretold what was held back of the train rows, by how much is known of a person.",
        f"<ul>{''.join(off)}</ul>{table}",
    )


def _known(least: str) -> str:
    return "nothing" if least == "0" else "one item" if least == "1" else f"{least} items or more"


def _cell(value: float, top: float) -> str:
    part = value / top
    return f"<td style='--part:{part:.3f}'>{round(100 * part) if value > 0 else '·'}</td>"


def _how(found: dict[str, Any]) -> str:
    notes = "".join(f"<li>{escape(one)}</li>" for one in found["notes"])
    rows = "".join(
        f"<tr><th>{line}</th>"
        + "".join(
            f"<td>{_number(found['lines'][line][metric]['mean'])} <small>±{_number(found['lines'][line][metric]['se'])}</small></td>"
            for metric in ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "hr@20", "mrr@20", "coverage@20")
        )
        + "</tr>"
        for line in LINES
    )
    table = (
        "<div class='scroll'><table class='figures'><thead><tr><th></th><th>NDCG@10</th><th>NDCG@20</th><th>Recall@10</th><th>Recall@20</th><th>Hit rate</th><th>MRR</th><th>Coverage</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class='note'>Mean ± standard error.</p>"
    )
    how = (
        "Every item of train and test is ranked for each person, without those of their own train rows. Items are right or wrong. The test was looked at once, after "
        f"all else was decided on a part of the train rows. Intervals of lifts come from drawing people in pairs, again and again; seed {found['seed']}."
    )
    return _section("All figures", "", table) + _section(
        "How this was measured", how, f"<ul>{notes}</ul>" if notes else ""
    )


def _section(title: str, text: str, inner: str) -> str:
    return f"<section><h2>{title}</h2>{f'<p>{text}</p>' if text else ''}{inner}</section>"


# -- how it is drawn


def _dots(rows: Sequence[tuple[str, str, dict[str, float]]]) -> str:
    """A row for each value, a dot with its interval; zero is on the scale."""
    highs = [told["mean"] + _Z * told["se"] for _, _, told in rows]
    top, ticks = _scale(min(1.0, max([*highs, 1e-9])))
    height = ROW * len(rows) + 28
    drawn = [_grid(ticks, top, ROW * len(rows))]
    for number, (name, kind, told) in enumerate(rows):
        y = ROW * (number + 0.5)
        low, high = max(0.0, told["mean"] - _Z * told["se"]), told["mean"] + _Z * told["se"]
        drawn.append(
            f"<text class='name' x='{LEFT - 12:.0f}' y='{y + 5:.1f}'>{escape(name)}</text>"
            f"<g class='{kind}'><line class='range' x1='{_x(low, top):.1f}' x2='{_x(high, top):.1f}' y1='{y:.1f}' y2='{y:.1f}'/>"
            f"<circle cx='{_x(told['mean'], top):.1f}' cy='{y:.1f}' r='6'/></g>"
            f"<text class='value' x='{WIDE:.0f}' y='{y + 5:.1f}'>{_number(told['mean'])}</text>"
        )
    said = "; ".join(f"{name} {_number(told['mean'])}" for name, _, told in rows)
    return _svg(height, drawn, said)


def _forest(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """Lifts with their intervals beside zero, one row for each bucket."""
    ends: list[float] = sorted(
        end for _, told in rows if told["relative"] is not None for end in told["ci95"]
    ) or [
        -0.1,
        0.1,
    ]
    # One bucket of a few people must not flatten all others: what is far out ends in an arrow.
    most = 4 * max(sorted(map(abs, ends))[len(ends) // 2], 0.02)
    low, high = max(-most, min(ends[0], 0.0)), min(most, max(ends[-1], 0.0))
    _, steps = _scale(max(high - low, 0.02))
    step = steps[1]
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)

    def x(value: float) -> float:
        return LEFT + (WIDE - LEFT - RIGHT) * (min(max(value / step, first), last) - first) / max(
            1, last - first
        )

    tall = ROW * len(rows)
    drawn = [
        f"<line class='{'grid' if at else 'zero'}' x1='{x(at * step):.1f}' x2='{x(at * step):.1f}' y1='0' y2='{tall:.0f}'/>"
        f"<text class='tick' x='{x(at * step):.1f}' y='{tall + 22:.0f}'>{_tick_percent(at * step)}</text>"
        for at in range(first, last + 1)
    ]
    for number, (name, told) in enumerate(rows):
        y = ROW * (number + 0.5)
        drawn.append(f"<text class='name' x='{LEFT - 12:.0f}' y='{y + 5:.1f}'>{escape(name)}</text>")
        if told["relative"] is None:
            drawn.append(f"<text class='value' x='{WIDE:.0f}' y='{y + 5:.1f}'>–</text>")
            continue
        kind, _ = _verdict(told)
        left, middle, right = x(told["ci95"][0]), x(told["relative"]), x(told["ci95"][1])
        arrow = (
            f"<path class='arrow' d='M{right:.1f} {y - 5:.1f}l8 5l-8 5z'/>"
            if told["ci95"][1] > last * step * 1.001
            else ""
        )
        drawn.append(
            f"<g class='{kind}'><line class='range' x1='{left:.1f}' x2='{right:.1f}' y1='{y:.1f}' y2='{y:.1f}'/>{arrow}<circle cx='{middle:.1f}' cy='{y:.1f}' r='7'/></g>"
            f"<text class='value' x='{WIDE:.0f}' y='{y + 5:.1f}'>{_percent(told['relative'])}</text>"
        )
    said = "; ".join(
        f"{name} {_percent(told['relative']) if told['relative'] is not None else 'unknown'}"
        for name, told in rows
    )
    return _svg(tall + 28, drawn, said)


def _slopes(rows: Sequence[dict[str, Any]]) -> str:
    """NDCG@20 of each line over the buckets of history."""
    tall, high = (
        260.0,
        max(
            row["lines"][line]["ndcg@20"]["mean"] + _Z * row["lines"][line]["ndcg@20"]["se"]
            for row in rows
            for line in LINES
        ),
    )
    top, ticks = _scale(max(high, 1e-9))
    left, right = 58.0, 104.0
    step = (WIDE - left - right) / max(1, len(rows) - 1)
    places = (
        [left + step * number for number in range(len(rows))]
        if len(rows) > 1
        else [(left + WIDE - right) / 2]
    )
    down = [tall * (1 - tick / top) for tick in ticks]
    drawn = [
        f"<line class='grid' x1='{left:.0f}' x2='{WIDE - right:.0f}' y1='{y:.1f}' y2='{y:.1f}'/><text class='value' x='{left - 10:.0f}' y='{y + 5:.1f}'>{_tick(tick)}</text>"
        for tick, y in zip(ticks, down, strict=True)
    ]
    drawn += [
        f"<text class='tick' x='{x:.1f}' y='{tall + 22:.0f}'>{escape(_span(row))}</text><text class='tick people' x='{x:.1f}' y='{tall + 40:.0f}'>{row['people']:,} people</text>"
        for x, row in zip(places, rows, strict=True)
    ]
    ends = []
    for place, line in enumerate(LINES):
        told = [row["lines"][line]["ndcg@20"] for row in rows]
        points = [
            (x + (place - 1.5) * 5, tall * (1 - one["mean"] / top))
            for x, one in zip(places, told, strict=True)
        ]
        bars = "".join(
            f"<line class='thin' x1='{x:.1f}' x2='{x:.1f}' y1='{y - tall * _Z * one['se'] / top:.1f}' y2='{min(tall, y + tall * _Z * one['se'] / top):.1f}'/><circle cx='{x:.1f}' cy='{y:.1f}' r='4.5'/>"
            for (x, y), one in zip(points, told, strict=True)
        )
        drawn.append(
            f"<g class='{line}'><polyline points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in points)}'/>{bars}</g>"
        )
        ends.append((points[-1][1], line))
    last = -math.inf
    for y, line in sorted(ends):  # names at the ends, moved apart where they would lie on one another
        last = max(y, last + 18)
        drawn.append(f"<text class='end {line}' x='{WIDE - right + 18:.0f}' y='{last + 5:.1f}'>{line}</text>")
    return _svg(tall + 50, drawn, "NDCG@20 of each line by how much is known of a person")


def _svg(height: float, drawn: Iterable[str], said: str) -> str:
    return f"<svg viewBox='-4 -8 {WIDE + 8:.0f} {height + 8:.0f}' role='img' aria-label='{escape(said, quote=True)}'>{''.join(drawn)}</svg>"


def _grid(ticks: Sequence[float], top: float, height: float) -> str:
    return "".join(
        f"<line class='{'zero' if not tick else 'grid'}' x1='{_x(tick, top):.1f}' x2='{_x(tick, top):.1f}' y1='0' y2='{height:.0f}'/>"
        f"<text class='tick' x='{_x(tick, top):.1f}' y='{height + 22:.0f}'>{_tick(tick)}</text>"
        for tick in ticks
    )


def _x(value: float, top: float) -> float:
    return LEFT + (WIDE - LEFT - RIGHT) * min(value / top, 1.0)


def _scale(high: float) -> tuple[float, list[float]]:
    """The end of a scale from zero, and its ticks: three to five, at round numbers."""
    size = 10 ** math.floor(math.log10(high))
    step = next(part * size for part in (0.2, 0.25, 0.5, 1, 2, 2.5) if high / (part * size) <= 4.5)
    number = math.ceil(high / step - 1e-9)
    return number * step, [step * at for at in range(number + 1)]


def _tick(value: float) -> str:
    return f"{value:.4g}"


def _tick_percent(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{100 * abs(value):.3g}%" if value else "0"


def _span(row: dict[str, Any]) -> str:
    if row["below"] is None:
        return f"{row['from']} and more"
    return f"{row['from']}" if row["below"] == row["from"] + 1 else f"{row['from']} to {row['below'] - 1}"


def _number(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0995 else f"{value:.4f}"


def _percent(value: float) -> str:
    text = f"{abs(value):.1%}" if abs(value) < 0.0995 else f"{abs(value):.0%}"
    return f"{'−' if value < 0 else '+'}{text}"


_STYLE = """
:root{--ink:#14201f;--soft:#566665;--rule:#dfe6e4;--paper:#fbfcfb;--card:#fff;--popularity:#8a9593;--activity:#2f6fb5;--social:#b3631a;--combined:#0a7d6c;--up:#0a7d6c;--down:#b3261e;--level:#6d7a78;--none:#6d7a78}
@media(prefers-color-scheme:dark){:root{--ink:#e6eeec;--soft:#9aaba8;--rule:#2a3634;--paper:#101716;--card:#161f1e;--popularity:#8b9896;--activity:#74aef0;--social:#eba35c;--combined:#43c9b3;--up:#43c9b3;--down:#ff8a80;--level:#98a5a3;--none:#98a5a3}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:62rem;margin:0 auto;padding:3rem 1.5rem 5rem}
h1{font-size:2rem;line-height:1.15;margin:.1em 0 1.25rem;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:0 0 .25rem;letter-spacing:-.01em}
.kicker{margin:0;color:var(--soft);font-size:.875rem}
section{margin-top:3.25rem}
section>p{color:var(--soft);margin:0 0 1.25rem;max-width:46rem}
.hero{display:flex;gap:2rem;align-items:center;background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:1.5rem 1.75rem}
.hero strong{font-size:4rem;line-height:1;letter-spacing:-.04em;white-space:nowrap}
.hero p{margin:0;max-width:38rem}
.hero.up strong{color:var(--up)}.hero.down strong{color:var(--down)}.hero.level strong,.hero.none strong{color:var(--level)}
.facts{display:flex;flex-wrap:wrap;gap:.75rem 2.5rem;margin:1.5rem 0 0}
.facts div{display:flex;flex-direction:column-reverse}.facts dt{color:var(--soft);font-size:.8125rem}.facts dd{margin:0;font-size:1.125rem;font-weight:600}
.legend{list-style:none;display:grid;grid-template-columns:repeat(auto-fit,minmax(19rem,1fr));gap:.3rem 1.5rem;margin:0 0 1.25rem;padding:0;font-size:.9375rem;color:var(--soft)}
.legend b{color:var(--ink)}.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;margin-right:.55em;background:var(--c)}
.popularity{--c:var(--popularity)}.activity{--c:var(--activity)}.social{--c:var(--social)}.combined{--c:var(--combined)}.up{--c:var(--up)}.down{--c:var(--down)}.level,.none{--c:var(--level)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure{margin:0 0 1rem;background:var(--card);border:1px solid var(--rule);border-radius:14px;padding:1rem 1.125rem .75rem}.grid figure{margin:0}
figcaption{font-size:.875rem;color:var(--soft);margin-bottom:.75rem}figcaption b{color:var(--ink);font-size:.9375rem;margin-right:.35em}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:15px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
.grid svg text{font-size:19px}.grid.first figure:first-child{grid-column:1/-1}.grid.first figure:first-child svg text{font-size:14px}.wide svg text{font-size:13px}
svg .name,svg .value{text-anchor:end}svg .tick{text-anchor:middle;fill:var(--soft)}svg .people,svg .value{fill:var(--soft)}svg .end{fill:var(--c);font-weight:600}
svg line.grid{stroke:var(--rule);stroke-width:1}svg .zero{stroke:var(--soft);stroke-width:1}
svg .range{stroke:var(--c);stroke-width:5;stroke-linecap:round;opacity:.38}svg .thin{stroke:var(--c);stroke-width:1.5;opacity:.55}svg circle,svg .arrow{fill:var(--c)}svg polyline{fill:none;stroke:var(--c);stroke-width:2.25;stroke-linejoin:round}
table{border-collapse:collapse;font-size:.9375rem;width:100%}th{font-weight:500;text-align:left;white-space:nowrap}td{text-align:right;white-space:nowrap}
.figures{font-size:.8125rem}th,td{padding:.45rem .5rem;border-bottom:1px solid var(--rule)}thead th{color:var(--soft);font-size:.8125rem;text-align:right}thead th:first-child{text-align:left}small{color:var(--soft)}
.scroll{overflow-x:auto}.note{color:var(--soft);font-size:.875rem;margin:.6rem 0 0}
.heat td{text-align:center;background:color-mix(in srgb,var(--combined) calc(var(--part)*62%),var(--card));border:3px solid var(--paper);border-radius:8px;min-width:3.5rem}.heat thead th{text-align:center}.heat thead th:first-child{text-align:left}.heat th{border:0}
section>ul:not(.legend){margin:0 0 1.25rem;padding-left:1.1rem}
@media(max-width:40rem){.grid.first figure:first-child svg text{font-size:19px}.wide svg text{font-size:17px}.hero{flex-direction:column;align-items:flex-start;gap:.75rem}main{padding-top:1.75rem}}
@media print{body{background:#fff}figure,.hero{break-inside:avoid}}
"""
