"""Evaluating on files: how they are read, what is held back, how rankings are compared."""

from __future__ import annotations

import gzip
import json
import math

import duckdb
import numpy as np
import pytest

from plait.errors import Rejected
from plait.evaluate import SOCIAL_SIGNALS, evaluate, lines, metrics, split
from plait.evaluate.dataset import read
from plait.evaluate.html import _verdict
from plait.evaluate.shown import _percent
from plait.profiles.fragment import attention

HEADER = "person,item,signal,value,at\n"


@pytest.fixture
def folder(tmp_path):
    def write(train=None, **files):
        for name, text in {"train": train, **files}.items():
            if text is not None:
                (tmp_path / f"{name}.csv").write_text(text)
        return tmp_path

    return write


def acts(rows):
    return HEADER + "".join(f"{','.join(map(str, row))}\n" for row in rows)


def crowd(people=80, items=24, seed=0, at=False):
    """Half of them buy even items, half odd ones, eight each; friends are of the same half."""
    random = np.random.default_rng(seed)
    rows, ties = [], ["person,friend"]
    for person in range(people):
        for item in random.choice(items // 2, 8, replace=False):
            when = 1_700_000_000 + int(random.integers(0, 10_000_000)) if at else ""
            rows.append((f"p{person}", f"i{2 * item + person % 2}", "purchase", "", when))
        ties += [f"p{person},p{(person + 2 * step) % people}" for step in (1, 2, 3)]
    return acts(rows), "\n".join(ties) + "\n"


# --- reading


def test_columns_are_found_by_name_in_any_order(folder):
    found = read(folder("signal,at,extra,item,person\nview,17,x,tent,anna\n"))

    assert (found.people, found.items, found.signals) == (["anna"], ["tent"], ["view"])
    assert found.at.tolist() == [17_000]
    assert np.isnan(found.value).all()


def test_signal_value_and_time_may_be_missing(folder):
    found = read(folder("person,item\nanna,tent\n"))

    assert found.signals == ["view"]
    assert found.at.tolist() == [-1]


def test_public_sets_call_saving_a_bookmark(folder):
    found = read(folder(acts([("a", "x", "bookmark", "", ""), ("a", "y", "rating", 4, "")])))

    assert found.signals == ["rate", "save"]


def test_a_signal_of_another_name_is_activity_and_told(folder):
    found = read(folder(acts([("a", "x", "listen", "", "")])))

    assert found.notes == ['signal "listen" is none of ours and counts as activity']


def test_times_may_be_written_as_iso_8601(folder):
    found = read(folder(acts([("a", "x", "view", "", "1970-01-02T00:00:00Z")])))

    assert found.at.tolist() == [86_400_000]


def test_unicode_ids_stay_as_they_are(folder):
    found = read(folder(acts([("Zoë", "tente 🏕", "view", "", ""), ("李", "tente 🏕", "view", "", "")])))

    assert found.people == ["Zoë", "李"]
    assert found.items == ["tente 🏕"]


def test_ties_to_oneself_are_left_out_and_told_others_count_once(folder):
    found = read(folder(acts([("a", "x", "view", "", "")]), ties="person,friend\na,a\na,b\na,b\nb,a\n"))

    assert list(zip(found.tie_from.tolist(), found.tie_to.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert found.notes == ["1 ties of people to themselves are left out"]


def test_topics_are_split_at_semicolons(folder):
    found = read(
        folder(acts([("a", "x", "view", "", "")]), items="item,title,topics\nx,Tent,red; light;red\n")
    )

    assert found.topics == [("red", "light")]


@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_compressed_files_and_parquet_say_the_same(folder, tmp_path, ending):
    text = acts([("a", "x", "view", 2.5, 1_700_000_000), ("b", "y", "like", "", "")])
    plain = read(folder(text))
    if ending == "csv.gz":
        (tmp_path / "train.csv.gz").write_bytes(gzip.compress(text.encode()))
    else:
        duckdb.execute(
            f"copy (select * from read_csv('{tmp_path}/train.csv')) to '{tmp_path}/train.parquet' (format parquet)"
        )
    (tmp_path / "train.csv").unlink()

    found = read(tmp_path)

    assert found.people == plain.people
    assert found.at.tolist() == plain.at.tolist()
    assert np.array_equal(found.value, plain.value, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "file_empty", "is empty"),
        (HEADER, "train_empty", "no rows"),
        ("person,thing\na,x\n", "column_missing", 'no column "item"'),
        ("person,item,item\na,x,y\n", "invalid_columns", "each column once"),
        (acts([("a", "", "view", "", "")]), "value_missing", 'row 1: "item" is empty'),
        (
            acts([("a", "x", "view", "", ""), ("a", "x", "play", "NaN", "")]),
            "invalid_value",
            'row 2: value "NaN"',
        ),
        (acts([("a", "x", "play", "many", "")]), "invalid_value", 'value "many"'),
        (acts([("a", "x", "play", -3, "")]), "invalid_value", "negative"),
        (acts([("a", "x", "view", "", "yesterday")]), "invalid_value", 'at "yesterday"'),
        (acts([("a", "x", "view", "", -5)]), "invalid_value", "before 1970"),
        (acts([("a", "x", "view", "", 1_700_000_000_000)]), "invalid_value", "milliseconds?"),
        (HEADER + "a,x,view,,\na,x", "invalid_file", "train.csv cannot be read"),
        (HEADER + 'a,x,"view,,\n', "invalid_file", "train.csv cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_with_file_row_and_value(folder, text, code, said):
    with pytest.raises(Rejected) as error:
        read(folder(text))

    assert error.value.code == code
    assert said in error.value.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEADER + "a,x,view,,\nb,y", "Line: 3: Expected Number of Columns: 5 Found: 2"),
        (HEADER + 'a,x,view,,\nb,"y', "Line: 3: Value with unterminated quote"),
    ],
)
def test_of_a_broken_row_it_is_said_where_it_is_broken_and_how(folder, text, why):
    with pytest.raises(Rejected) as error:
        read(folder(text))

    assert why in error.value.message


def test_a_last_row_that_may_have_been_cut_is_told(folder):
    found = read(folder(acts([("a", "x", "view", "", 1_700_000_000)])[:-6]))

    assert found.notes == ["train.csv ends within a line, whose last field may have been cut"]


@pytest.mark.parametrize(
    "header", [",person,item", "person,item,,", "person,thing,item,thing", " person , item"]
)
def test_columns_that_nobody_asks_for_may_have_any_name_or_none(folder, header):
    found = read(folder(f"{header}\n{','.join(['a'] * (header.count(',') + 1))}\n"))

    assert (found.people, found.items) == (["a"], ["a"])


@pytest.mark.parametrize("signal", ["play", "rate"])
def test_values_whose_sum_is_no_number_are_refused(folder, signal):
    with pytest.raises(Rejected, match='row 1: value "1e300" is too large'):
        read(folder(acts([("a", "x", signal, "1e300", "")])))


def test_rows_of_days_to_come_are_told(folder):
    rows = [("a", "x", "view", "", 1_700_000_000), ("a", "y", "view", "", 1_700_100_000)]

    notes = read(folder(acts(rows)), now=1_700_000_001).notes

    assert notes == ["1 rows are dated after today; beside them all others are old, and nothing is recent"]
    assert read(folder(acts(rows)), now=1_700_050_000).notes == []


def test_a_column_of_something_else_for_a_signal_is_one_note(folder):
    found = read(folder(acts([("a", "x", f"s{n:02}", "", "") for n in range(40)])))

    assert found.notes == [
        "40 signals are none of ours and count as activity, such as s00, s01, s02, s03, s04, s05, s06, s07, s08, s09"
    ]


def test_topics_may_be_a_list_in_parquet(folder, tmp_path):
    duckdb.execute(
        f"copy (select 'x' as item, 'Tent' as title, ['red', 'light'] as topics) to '{tmp_path}/items.parquet'"
    )

    found = read(folder(acts([("a", "x", "view", "", "")])))

    assert found.topics == [("red", "light")]


def test_of_an_item_that_is_named_twice_the_first_row_counts(folder):
    found = read(folder(acts([("a", "x", "view", "", "")]), items="item,title,topics\nx,,red\nx,Boat,blue\n"))

    assert (found.titles, found.topics) == (["Boat"], [("red",)])


def test_a_file_that_is_there_twice_is_told(folder, tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"of last month")

    found = read(folder(acts([("a", "x", "view", "", "")])))

    assert found.notes == ["train.csv is read, train.parquet beside it not"]


def test_a_test_file_without_rows_is_refused(folder):
    with pytest.raises(Rejected, match=r"test\.csv has no rows"):
        read(folder(acts([("a", "x", "view", "", "")]), test="person,item\n"))


def test_a_compressed_file_cut_in_the_middle_is_refused(folder, tmp_path):
    whole = gzip.compress(acts([(f"p{n}", f"i{n % 7}", "view", "", "") for n in range(9_999)]).encode())
    (tmp_path / "train.csv.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(Rejected, match="cannot be read"):
        read(tmp_path)


def test_a_folder_without_a_train_file_is_refused(tmp_path):
    with pytest.raises(Rejected, match=r"no train\.csv"):
        read(tmp_path)


# --- holding back


def test_by_time_the_newest_tenth_goes_and_what_was_known_is_no_question(folder):
    rows = [("a", f"i{n}", "view", "", 100 + n) for n in range(18)]
    rows += [("a", "i0", "view", "", 500), ("b", "i1", "view", "", 501)]

    found = split.split(read(folder(acts(rows))), seed=0, social=SOCIAL_SIGNALS)

    assert len(found.person) == 18
    assert [
        (found.people[p], found.items[i]) for p, i in zip(found.test_person, found.test_item, strict=True)
    ] == [("b", "i1")]


def test_what_somebody_liked_later_is_no_question(folder):
    rows = [("a", f"i{n}", "view", "", 100 + n) for n in range(18)]
    rows += [("a", "x", "like", "", 500), ("b", "i1", "view", "", 501)]

    found = split.split(read(folder(acts(rows))), seed=0, social=SOCIAL_SIGNALS)

    assert [found.items[one] for one in found.test_item] == ["i1"]


def test_without_times_a_fifth_of_each_persons_items_goes_with_all_rows_about_them(folder):
    rows = [(who, f"i{n}", signal, "", "") for who in "ab" for n in range(10) for signal in ("view", "like")]

    found = split.split(read(folder(acts(rows))), seed=0, social=SOCIAL_SIGNALS)

    assert np.bincount(found.test_person).tolist() == [2, 2]
    assert np.bincount(found.person).tolist() == [16, 16]
    asked = set(zip(found.test_person, found.test_item, strict=True))
    assert not asked & set(zip(found.person, found.item, strict=True))


@pytest.mark.parametrize("when", ["", 1_700_000_000], ids=["by person", "by time"])
@pytest.mark.parametrize(("signal", "value"), [("remove", ""), ("rate", 1), ("play", 0), ("dwell", 0)])
def test_what_speaks_against_an_item_is_no_question(folder, signal, value, when):
    rows = [(f"p{n}", f"i{m}", "view", "", when) for n in range(30) for m in range(5)]
    late = when and when + 1
    against = [(f"p{n}", "not this", signal, value, late) for n in range(10)]
    after = [("p29", "this", "rate", 5, late)] * 10

    held = split.split(read(folder(acts(rows + against + after))), seed=0, social=SOCIAL_SIGNALS)

    asked = {held.items[one] for one in held.test_item}
    assert asked
    assert "not this" not in asked


def test_who_did_one_thing_keeps_it(folder):
    rows = [("a", "x", "view", "", ""), *(("b", f"i{n}", "view", "", "") for n in range(5))]

    found = split.split(read(folder(acts(rows))), seed=0, social=SOCIAL_SIGNALS)

    assert set(found.test_person.tolist()) == {1}


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_the_cold_keep_so_many_rows_of_activity_and_all_that_is_social(folder, keep):
    rows = [(f"p{n}", f"i{k}", "view", "", "") for n in range(40) for k in range(6)]
    rows += [(f"p{n}", f"liked{n % 5}", "like", "", "") for n in range(40)]
    data = read(folder(acts(rows), test="person,item\n" + "".join(f"p{n},new{n % 3}\n" for n in range(40))))

    found = split.cold(data, keep, seed=3, social=SOCIAL_SIGNALS)

    asked = np.unique(found.test_person)
    assert len(asked) == 8  # a fifth of 40
    social = split.is_social(found, SOCIAL_SIGNALS)
    cut = np.isin(found.person, asked)
    assert np.bincount(found.person[cut & ~social], minlength=40)[asked].tolist() == [keep] * 8
    assert np.bincount(found.person[cut & social], minlength=40)[asked].tolist() == [1] * 8
    assert np.bincount(found.person[~cut], minlength=40).max() == 7  # everyone else keeps everything
    assert np.bincount(found.test_person, minlength=40)[asked].tolist() == [1 + 6 - keep] * 8


def test_at_most_four_hundred_are_cut(folder):
    rows = [(f"p{n}", f"i{k}", "view", "", "") for n in range(2_500) for k in range(2)]
    data = read(folder(acts(rows), test="person,item\n" + "".join(f"p{n},new\n" for n in range(2_500))))

    assert len(np.unique(split.cold(data, 1, seed=0, social=SOCIAL_SIGNALS).test_person)) == 400


def test_the_same_seed_cuts_the_same_another_seed_others(folder):
    data = read(folder(crowd()[0], test="person,item\n" + "".join(f"p{n},new\n" for n in range(80))))

    first, again, other = (split.cold(data, 1, seed=seed, social=SOCIAL_SIGNALS) for seed in (1, 1, 2))

    assert np.array_equal(first.test_person, again.test_person)
    assert not np.array_equal(np.unique(first.test_person), np.unique(other.test_person))


# --- comparing


def by_hand(ranked, truth, k):
    """NDCG and recall as a textbook writes them."""
    dcg = sum(1 / math.log2(place + 1) for place, item in enumerate(ranked[:k], 1) if item in truth)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(truth), k) + 1))
    return dcg / ideal, len(set(ranked[:k]) & truth) / len(truth)


def test_metrics_are_what_a_textbook_says():
    random = np.random.default_rng(0)
    truths = [set(random.choice(60, size, replace=False).tolist()) for size in (1, 3, 10, 25, 40)]
    ranked = np.array([random.permutation(60)[:20] for _ in truths])
    starts = np.cumsum([0, *map(len, truths)])

    found = metrics.by_person(ranked, np.array([i for one in truths for i in sorted(one)]), starts)

    for row, truth in enumerate(truths):
        for k in (10, 20):
            ndcg, recall = by_hand(ranked[row].tolist(), truth, k)
            assert found[f"ndcg@{k}"][row] == pytest.approx(ndcg, abs=1e-12)
            assert found[f"recall@{k}"][row] == pytest.approx(recall, abs=1e-12)
        hits = [place for place, item in enumerate(ranked[row], 1) if item in truth]
        assert found["hr@20"][row] == bool(hits)
        assert found["mrr@20"][row] == pytest.approx(1 / hits[0] if hits else 0)


def test_of_equal_scores_the_lower_item_comes_first():
    scores = np.array([[1.0, 2.0, 1.0, 2.0, 1.0]])

    assert metrics.best(scores, np.array([[False, False, False, True, False]]), 3).tolist() == [[1, 0, 2]]


def test_where_there_are_no_more_items_there_are_none():
    assert metrics.best(np.zeros((1, 2)), np.array([[True, False]]), 3).tolist() == [[1, -1, -1]]


def test_coverage_is_the_part_of_the_shelf_that_anybody_was_shown():
    ranked = np.array([[0, 1, -1], [1, 2, -1]])

    assert metrics.summary({}, ranked, 6, seed=0)["coverage@20"]["mean"] == 0.5


def test_a_catalog_may_have_more_than_what_is_ranked():
    ranked = np.array([[7, 9, -1], [9, 7, -1]])  # of ten items the other eight were never acted on

    assert metrics.summary({}, ranked, 4, seed=0)["coverage@20"]["mean"] == 0.5


def test_the_interval_of_a_lift_is_that_of_a_paired_bootstrap():
    random = np.random.default_rng(0)
    theirs = random.uniform(0.2, 1.0, 400)
    ours = theirs * 1.2 + random.normal(0, 0.05, 400)

    found = metrics.lift(ours, theirs, seed=0)

    # The delta method for a ratio of paired means.
    ratio = ours.mean() / theirs.mean()
    error = (ours - ratio * theirs).std(ddof=1) / np.sqrt(400) / theirs.mean()
    low, high = found["ci95"]
    assert found["relative"] == pytest.approx(ratio - 1)
    assert low == pytest.approx(
        ratio - 1 - 1.96 * error, abs=error / 4
    )  # 2,000 draws: an end is good to a tenth
    assert high == pytest.approx(ratio - 1 + 1.96 * error, abs=error / 4)


def test_nothing_to_compare_with_is_said():
    assert metrics.lift(np.ones(3), np.zeros(3), seed=0) == {"relative": None, "ci95": None}


def test_an_interval_of_one_person_tells_nothing():
    one = metrics.lift(np.array([0.5]), np.array([0.4]), seed=0)

    assert _percent(one) == "+25.0% (too few people to tell)"
    assert _verdict(one) == ("level", "too few people to tell")


# --- what is learned from


def test_dwell_weighs_as_attention_does(folder):
    rows = [("a", item, "dwell", seconds, "") for item, seconds in (("x", 0), ("y", 30), ("z", 3_000))]

    table, _ = lines.table_of(read(folder(acts(rows))), SOCIAL_SIGNALS)

    assert table.value.tolist() == pytest.approx([math.log2(1 + attention(one)) for one in (0, 30, 3_000)])


# --- all of it


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    train, ties = crowd()
    (folder / "train.csv").write_text(train)
    (folder / "ties.csv").write_text(ties)
    return folder, evaluate(folder, seed=1)


def test_the_report_has_every_line_and_metric(report):
    _, found = report

    assert list(found["lines"]) == ["popularity", "activity", "social", "combined"]
    for line in found["lines"].values():
        assert list(line) == [*metrics.NAMES, "coverage@20"]
        assert all(set(one) == {"mean", "se"} for one in line.values())
    assert {"combined_vs_activity", "combined_vs_social"} <= set(found["lift"])
    assert sum(one["people"] for one in found["by_history"]) == found["people"] == 80
    json.dumps(found, allow_nan=False)


def test_friends_and_activity_both_tell_more_than_popularity(report):
    lines = report[1]["lines"]

    popular = lines["popularity"]["ndcg@20"]["mean"]
    assert lines["activity"]["ndcg@20"]["mean"] > 1.2 * popular  # half of the shelf is out of the question
    assert lines["social"]["ndcg@20"]["mean"] > 1.2 * popular


def test_the_same_seed_gives_the_same_report(report):
    folder, first = report

    again = evaluate(folder, seed=1)

    same = {"lines", "lift", "by_history", "gated_off"}
    assert {key: again[key] for key in same} == {key: first[key] for key in same}


@pytest.mark.parametrize(
    "rows",
    [
        [("a", f"i{n}", "view", "", "") for n in range(30)],  # one person
        [(f"p{n}", f"i{n % 2}", "view", "", "") for n in range(30)]
        + [("p0", "i1", "view", "", "")],  # two items
    ],
)
def test_the_smallest_worlds_can_be_evaluated(folder, rows):
    found = evaluate(folder(acts(rows)))

    assert 0 <= found["lines"]["combined"]["ndcg@20"]["mean"] <= 1


@pytest.mark.parametrize(
    "rows", [[("a", "x", "view", "", "")], [(f"p{n}", "x", "view", "", "") for n in range(30)]]
)
def test_where_nothing_can_be_held_back_that_is_said(folder, rows):
    with pytest.raises(Rejected, match="too few rows"):
        evaluate(folder(acts(rows)))


def test_items_and_people_never_seen_in_train_are_ranked_and_asked_about(folder):
    found = evaluate(folder(crowd()[0], test="person,item\np0,never seen\nnobody,i3\np1,i1\n"))

    assert found["people"] == 3 - (found["people"] == 2)
    assert found["items"] == 25


def test_one_person_with_very_many_rows_holds_nothing_up(folder):
    rows = [("busy", f"i{n % 24}", "view", "", "") for n in range(100_000)]

    found = evaluate(folder(crowd()[0] + acts(rows).removeprefix(HEADER)))

    assert found["people"] >= 80


def test_social_signals_go_by_the_names_in_the_file(folder):
    rows = [
        (f"p{n}", f"i{(n * 7 + m) % 20}", "bookmark" if m % 2 else "view", "", "")
        for n in range(40)
        for m in range(6)
    ]

    found = evaluate(folder(acts(rows)), social={"bookmark", "shares"})

    assert found["notes"] == ['no row has the signal "shares" that was to be social']
    assert "network/save" in found["gates"]["channels"]


@pytest.mark.parametrize("signals", [("view",), ("view", "like")])
def test_the_smallest_world_warns_of_nothing(folder, recwarn, signals):
    rows = [("a", f"i{n}", signals[n % len(signals)], "", 1_700_000_000 + n) for n in range(7)]

    evaluate(folder(acts(rows)))

    assert [str(one.message) for one in recwarn] == []


def test_doubled_rows_are_one_item_known_and_one_item_asked(folder):
    train = crowd()[0]
    once = evaluate(folder(train), seed=1)

    twice = evaluate(folder(train + train.removeprefix(HEADER)), seed=1)

    assert twice["people"] == once["people"]
    assert twice["items"] == once["items"]
