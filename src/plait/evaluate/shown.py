"""An evaluation as people read it in a terminal."""

from __future__ import annotations

from typing import Any

METRICS = ("ndcg@10", "ndcg@20", "recall@20", "hr@20", "mrr@20", "coverage@20")


def as_text(found: dict[str, Any]) -> str:
    """The report of ``evaluate`` as a table and a few sentences."""
    told = [
        f"{found['people']} people asked about, {found['items']} items ranked; "
        f"fitted in {found['fit_seconds']:.1f} s after {found['tuning_seconds']:.1f} s of tuning",
        "",
        f"{'':12}" + "".join(f"{one:>20}" for one in METRICS),
    ]
    told += [
        f"{name:12}" + "".join(f"{line[one]['mean']:>11.4f} +-{line[one]['se']:.4f}" for one in METRICS)
        for name, line in found["lines"].items()
    ]
    told.append("")
    for name, lift in found["lift"].items():
        told.append(f"{name.replace('_', ' ')}, NDCG@20: {_percent(lift['ndcg@20'])}")
    told += ["", f"{'items known':14}{'people':>8}{'activity':>12}{'social':>12}{'combined':>12}   NDCG@20"]
    for one in found["by_history"]:
        span = f"{one['from']}" if one["below"] == one["from"] + 1 else f"{one['from']} and more"
        if one["below"] is not None and one["below"] > one["from"] + 1:
            span = f"{one['from']} to {one['below'] - 1}"
        means = (one["lines"][name]["ndcg@20"]["mean"] for name in ("activity", "social", "combined"))
        told.append(f"{span:14}{one['people']:>8}" + "".join(f"{mean:>12.4f}" for mean in means))
    visit = found["visit"]
    if visit:
        told += [
            "",
            f"what {visit['people']} people went on to want in a visit, NDCG@20: {visit['without']:.4f} without hearing what they just "
            f"looked at, {visit['model']:.4f} with it",
        ]
    if found["gated_off"]:
        told += ["", f"did not help and are gated off: {', '.join(found['gated_off'])}"]
    told += [f"note: {one}" for one in found["notes"]]
    return "\n".join(told)


def _percent(lift: dict[str, Any]) -> str:
    if lift["relative"] is None:
        return "nothing to compare with"
    low, high = lift["ci95"]
    if low == high != 0:
        return f"{lift['relative']:+.1%} (too few people to tell)"
    return f"{lift['relative']:+.1%} (95 %: {low:+.1%} to {high:+.1%})"
