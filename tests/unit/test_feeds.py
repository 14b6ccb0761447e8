"""Files as shops really have them."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from plait.errors import Rejected
from plait.feeds import read_events, read_items


@pytest.fixture
def items(tmp_path: Path):
    def read(content: str | bytes, *names: str, **more: Any) -> list[dict[str, Any] | Rejected]:
        path = tmp_path / "feed"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_items(path, names, **more))

    return read


@pytest.fixture
def events(tmp_path: Path):
    def read(content: str | bytes, *names: str) -> list[dict[str, Any] | Rejected]:
        path = tmp_path / "events"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(read_events(path, names))

    return read


def wrong(found: list[Any]) -> list[tuple[str | None, str]]:
    return [(one.field, one.message) for one in found if isinstance(one, Rejected)]


def ids(found: list[Any]) -> list[str]:
    return [one["id"] for one in found if isinstance(one, dict)]


# --- CSV and TSV


def test_a_csv_names_our_fields_and_whatever_is_left_is_an_attribute(items):
    found = items("id,title,price,topics,color,weight\n1,Tent,99.5,tents;family,red,2.4\n")

    assert found == [
        {
            "id": "1",
            "title": "Tent",
            "price": 99.5,
            "topics": ["tents", "family"],
            "attributes": {"color": "red", "weight": 2.4},
        }
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(items, delimiter):
    assert ids(items(f"id{delimiter}title\n1{delimiter}Tent\n")) == ["1"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_as_on_any_system(items, end):
    assert ids(items(end.join(["id,title", "1,Tent", "2,Boot", ""]))) == ["1", "2"]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
def test_any_encoding_that_a_spreadsheet_saves_is_read(items, encoding):
    [tent] = items("id,title\r\n1,Zeltplätze à côté\r\n".encode(encoding))

    assert tent["title"] == "Zeltplätze à côté"


def test_a_file_glued_from_two_encodings_is_read(items):
    found = items("id,title\n1,Café\n".encode() + "2,Café\n".encode("latin-1"))

    assert [one["title"] for one in found] == ["Café", "Café"]


def test_a_quoted_text_may_hold_delimiters_quotes_and_line_ends(items):
    [tent] = items('id,title,color\n1,"Tent, ""the big one""\nfor six",red\n')

    assert (tent["title"], tent["attributes"]) == ('Tent, "the big one" for six', {"color": "red"})


def test_an_inch_sign_in_a_text_swallows_nothing(items):
    found = items('id\ttitle\n1\t15" screen\n2\tTent\n3\t"Best" tent\n4\t"whole"\n')

    assert [one["title"] for one in found] == ['15" screen', "Tent", '"Best" tent', "whole"]


def test_a_quote_that_nobody_closed_costs_its_own_row_only(items):
    found = items('id,title\n1,"Tent\n' + "".join(f"{i},Boot\n" for i in range(2, 400)))

    assert ids(found) == [str(i) for i in range(1, 400)]


def test_a_row_that_is_cut_off_or_shifted_is_told_with_its_line(items):
    found = items("id,title,price\n1,Tent,5\n2,Bo\n3,Bag,1,2\n4,Cup,3,,\n")

    assert ids(found) == ["1", "4"]
    assert [message for _, message in wrong(found)] == [
        "line 3: has 2 columns, the header has 3",
        "line 4: has 4 columns, the header has 3",
    ]


def test_a_bad_value_is_told_with_line_and_field_and_the_rest_goes_on(items):
    found = items("id,title,price,available\n1,Tent,cheap,yes\n2,Boot,5,perhaps\n,Bag,1,yes\n4,Cup,3,no\n")

    assert ids(found) == ["4"]
    assert [(field, message.split(":")[0]) for field, message in wrong(found)] == [
        ("price", "line 2"),
        ("available", "line 3"),
        ("id", "line 4"),
    ]


def test_a_file_without_a_column_for_the_id_is_refused_whole(items):
    with pytest.raises(Rejected, match="say --map id=COLUMN") as refused:
        items("name,price\n" + "Tent,1\n" * 20)

    assert refused.value.code == "invalid_file"


@pytest.mark.parametrize("text", ["junk", "PAR\n", "\x00\x01 nothing to see here\n\n"])
def test_a_line_of_text_is_no_table(items, text):
    with pytest.raises(Rejected, match="no table") as refused:
        items(text)

    assert refused.value.code == "invalid_file"


def test_an_export_of_nothing_is_nothing(items):
    assert items("id,title,price\n") == []


def test_a_map_says_which_column_is_which(items):
    [tent] = items("Nr;Bezeichnung\n7;Zelt\n", "id=Nr", "title=Bezeichnung")

    assert (tent["id"], tent["title"]) == ("7", "Zelt")


def test_an_empty_file_is_refused(items):
    with pytest.raises(Rejected, match="is empty"):
        items(b"\xef\xbb\xbf \r\n")


def test_a_line_of_many_megabytes_is_told_and_passed_over(items):
    found = items("id,title\n1," + "x" * 3_000_000 + "\n2,Boot\n")

    assert (ids(found), len(wrong(found))) == (["2"], 1)


def test_a_gzip_that_breaks_off_is_told_after_what_could_be_read(tmp_path):
    path = tmp_path / "feed.csv.gz"
    whole = gzip.compress(("id,title\n" + "".join(f"{i},Tent {i * i}\n" for i in range(50_000))).encode())
    path.write_bytes(whole[: len(whole) // 2])
    found = read_items(path)

    read = [next(found) for _ in range(1_000)]
    with pytest.raises(Rejected, match="breaks off") as refused:
        list(found)

    assert ids(read) == [str(i) for i in range(1_000)]
    assert refused.value.code == "invalid_file"


def test_a_number_with_a_leading_zero_stays_a_text(items):
    [tent] = items("id,gtin,mpn,phone,weight\n1,4006381333931,12,0123,12\n")

    assert tent["attributes"] == {"gtin": "4006381333931", "mpn": "12", "phone": "0123", "weight": 12}


# --- JSON


def test_json_may_be_lines_a_list_or_an_object_with_a_list(items):
    one = {"id": "1", "title": "Tent", "attributes": {"color": "red"}}
    same = [
        items(json.dumps(one) + "\n"),
        items(json.dumps([one], indent=2)),
        items(json.dumps({"items": [one]}, indent=2)),
        items(json.dumps({"products": [one]})),
        items('{"version": 1,\n"products": [\n' + json.dumps(one) + "\n]}"),
    ]

    assert all(found == [one] for found in same), same


def test_a_broken_line_of_json_is_told_and_the_rest_goes_on(items):
    found = items('{"id": 1}\n{"id": 2,\n[3]\n\n{"id": 4, "price": NaN}\n')

    assert ids(found) == ["1", "4"]
    assert [message for _, message in wrong(found)] == [
        "line 2: is not a JSON object",
        "line 3: is not a JSON object",
    ]


def test_deep_json_is_told_not_followed(items):
    found = items('{"id": 1}\n{"id": 2, "x": ' + "[" * 100_000 + "]" * 100_000 + "}\n")

    assert (ids(found), len(wrong(found))) == (["1"], 1)


def test_an_object_within_an_item_becomes_attributes_with_a_dot(items):
    [tent] = items(
        '{"id": 1, "size": {"height": 2, "names": ["L"]}, "price": {"value": "15.00", "currency": "EUR"}}'
    )

    assert tent["attributes"] == {"size.height": 2, "size.names": ["L"], "currency": "EUR"}
    assert tent["price"] == 15.0


# --- Parquet


def test_parquet_is_read_with_its_types(tmp_path):
    path = tmp_path / "feed [1]*.bin"
    plain = tmp_path / "plain.parquet"
    duckdb.sql(
        "select 7 as id, 'Tent' as title, 9.90::decimal(9,2) as price, ['a', 'b'] as topics, true as available, "
        "timestamp '2026-05-01 09:00:00' as published, {'height': 2} as size, null as gone"
    ).write_parquet(str(plain))
    plain.rename(path)

    [tent] = read_items(path)

    assert tent == {
        "id": "7",
        "title": "Tent",
        "price": 9.9,
        "topics": ["a", "b"],
        "published": 1_777_626_000_000,
        "attributes": {"size.height": 2},
    }


def test_what_only_begins_like_parquet_is_refused(items):
    with pytest.raises(Rejected, match="is not Parquet") as refused:
        items(b"PAR1 and then nothing of the kind")

    assert refused.value.code == "invalid_file"


# --- Google Merchant, RSS, Atom

MERCHANT = """<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>
<!-- <item><g:id>commented out</g:id></item> -->
<item>
  <g:id>TV_123</g:id><g:title><![CDATA[Google Tent <b>two</b> & more </item>]]></g:title>
  <g:description>&lt;p&gt;A tent&amp;nbsp;for two&lt;/p&gt;</g:description>
  <link>https://shop.example/tent</link><g:image_link>//cdn.shop.example/a b.jpg</g:image_link>
  <g:additional_image_link>https://shop.example/1.jpg</g:additional_image_link>
  <g:additional_image_link>https://shop.example/2.jpg</g:additional_image_link>
  <g:price>15.00 EUR</g:price><g:sale_price>12.50 EUR</g:sale_price>
  <g:sale_price_effective_date>2026-05-01T00:00+0100/2026-05-10T00:00+0100</g:sale_price_effective_date>
  <g:availability>in stock</g:availability><g:gtin>0811571013579</g:gtin>
  <g:product_type>Home, Garden &amp; Pets &gt; Tents &gt; Family</g:product_type>
  <g:google_product_category>2271</g:google_product_category>
  <g:shipping><g:country>DE</g:country><g:price>5 EUR</g:price></g:shipping>
  <g:product_detail><g:attribute_name>Poles</g:attribute_name><g:attribute_value>3</g:attribute_value></g:product_detail>
</item>
</channel></rss>"""


def test_a_google_merchant_feed_is_read_as_shops_have_it(items):
    [tent] = items(MERCHANT, now=1_777_800_000_000)

    assert tent == {
        "id": "TV_123",
        "title": "Google Tent two & more",
        "topics": ["Home, Garden & Pets", "Tents", "Family"],
        "price": 12.5,
        "url": "https://shop.example/tent",
        "image": "https://cdn.shop.example/a%20b.jpg",
        "attributes": {
            "currency": "EUR",
            "regular_price": 15.0,
            "Poles": 3,
            "description": "A tent for two",
            "additional_image_link": ["https://shop.example/1.jpg", "https://shop.example/2.jpg"],
            "gtin": "0811571013579",
            "google_product_category": "2271",
        },
    }


def test_a_sale_price_counts_on_its_dates_only(items):
    [tent] = items(MERCHANT, now=1_800_000_000_000)

    assert tent["price"] == 15.0


def test_a_broken_product_does_not_end_the_feed(items):
    found = items(
        "<rss xmlns:g='x'><channel>\n<item><g:id>1</g:id></item>\n<item><g:id>2</item>\n"
        "<item><g:id>3</g:id><g:title>Tents & more&nbsp;&eacute;</g:title></item>\n<item><g:id>4</g:id>"
    )

    assert [one["id"] for one in found if isinstance(one, dict)] == ["1", "3"]
    assert found[2]["title"] == "Tents & more é"
    assert [message.split(":")[0] for _, message in wrong(found)] == ["line 3", "line 5"]


def test_an_atom_feed_is_read(items):
    [post] = items(
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>tag:1</id><title>On tents</title>'
        '<link rel="edit" href="https://blog.example/edit"/><link href="https://blog.example/1"/>'
        '<category term="camping"/><updated>2026-05-01T09:00:00Z</updated></entry></feed>'
    )

    assert (post["id"], post["kind"], post["url"]) == ("tag:1", "article", "https://blog.example/1")
    assert post["topics"] == ["camping"]


def test_no_entity_of_a_doctype_is_ever_expanded(items, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("THE SECRET")
    bomb = '<!ENTITY a "ha">' + "".join(f'<!ENTITY {b} "&{a};&{a};">' for a, b in pairwise("abcdefgh"))
    found = items(
        f'<?xml version="1.0"?><!DOCTYPE rss [{bomb}<!ENTITY x SYSTEM "file://{secret}">]>'
        "<rss><item><id>1</id><title>&h;</title></item><item><id>2</id><title>&x;</title></item></rss>"
    )

    assert "THE SECRET" not in repr(found)
    assert [one["title"] for one in found if isinstance(one, dict)] == ["&h;", "&x;"]


def test_a_doctype_within_an_item_is_refused(items):
    [found] = items('<rss><item><!DOCTYPE x [<!ENTITY a "b">]><id>&a;</id></item></rss>')

    assert isinstance(found, Rejected)


def test_a_feed_of_nothing_but_open_comments_takes_no_longer_than_its_length(items):
    assert ids(items("<rss>" + "<!--" * 500_000 + "--><item><id>1</id></item></rss>")) == ["1"]


def test_an_element_without_end_is_told(items):
    found = items("<rss><item><id>1</id>" + "<x>y</x>" * 200_000 + "</item><item><id>2</id></item></rss>")

    assert (ids(found), len(wrong(found))) == (["2"], 1)


def test_an_element_as_deep_as_the_sea_is_told(items):
    found = items(
        "<rss><item><id>1</id>" + "<x>" * 20_000 + "</x>" * 20_000 + "</item><item><id>2</id></item></rss>"
    )

    assert (ids(found), len(wrong(found))) == (["2"], 1)


def test_a_page_of_html_is_refused_as_no_feed(items):
    with pytest.raises(Rejected, match="is XML without any of"):
        items("<!DOCTYPE html><html><body>404 Not Found</body></html>")


def test_a_link_that_would_run_in_a_page_is_refused(items):
    found = items(
        "id,link,image_link\n1,javascript:alert(1),\n2,,data:text/html;base64\n3,/p/3,www.shop.example/3.jpg\n"
    )

    assert [(field, message.split(":")[0]) for field, message in wrong(found)] == [
        ("item.url", "line 2"),
        ("item.image", "line 3"),
    ]
    assert found[2]["image"] == "https://www.shop.example/3.jpg"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("15.00 EUR", 15.0), ("EUR 15", 15.0), ("€ 15,90", 15.9), ("15,90 €", 15.9), ("1.299,00 EUR", 1299.0),
        ("$1,299.00", 1299.0), ("1,299", 1299.0), ("1.299", 1.299), ("1 299,00 kr", 1299.0), ("1'299.50 CHF", 1299.5),
        ("1,234,567", 1234567.0), ("1.234.567", 1234567.0), ("15,-", 15.0), ("0", 0.0), ("1\u00a0299,5", 1299.5),
    ],
)  # fmt: skip
def test_a_price_is_read_however_it_is_written(items, text, amount):
    [item] = items(f"id\tprice\n1\t{text}\n")

    assert item["price"] == amount


@pytest.mark.parametrize("text", ["-5", "free", "5-10 EUR", "1e400", "12.5.7,1.2", "٣"])
def test_what_is_no_price_is_told(items, text):
    [(field, _)] = wrong(items(f"id\tprice\n1\t{text}\n"))

    assert field == "price"


@pytest.mark.parametrize(
    ("text", "available"),
    [("in stock", True), ("in_stock", True), ("InStock", True), ("https://schema.org/InStock", True), ("preorder", True),
     ("out of stock", False), ("OutOfStock", False), ("http://schema.org/SoldOut", False), ("0", False), ("17", True),
     ("no", False), ("TRUE", True)],
)  # fmt: skip
def test_every_word_for_being_in_stock_is_known(items, text, available):
    [item] = items(f"id,availability\n1,{text}\n")

    assert item.get("available", True) is available


# --- events


def test_events_of_a_csv_become_ours(events):
    found = events(
        "timestamp,eventType,contentId,personId,userAgent\n1457963676,VIEW,-807,-389,Mozilla\n"
        "1457963677,BOOKMARK,1,2,\n1457963678,COMMENT CREATED,1,2,\n"
    )

    assert [(one["signal"], one["who"], one["at"], one["about"]) for one in found] == [
        ("view", ["user:-389"], 1_457_963_676_000, {"item": "-807"}),
        ("save", ["user:2"], 1_457_963_677_000, {"item": "1"}),
        ("comment", ["user:2"], 1_457_963_678_000, {"item": "1"}),
    ]
    assert found[0]["context"] == {"userAgent": "Mozilla"}


def test_a_map_names_columns_people_and_signals(events):
    [one] = events("wann;was;wer;ding\n2026-05-01T09:00:00Z;Geschaut;did:plc:1;tent\n",
                   "at=wann", "signal=was", "who:bluesky=wer", "item=ding", "signal:geschaut=view")  # fmt: skip

    assert (one["signal"], one["who"], one["about"]) == ("view", ["bluesky:did:plc:1"], {"item": "tent"})


def test_the_same_file_read_twice_gives_the_same_ids(events):
    content = "user,signal,item\n1,view,a\n1,view,a\n1,view,b\n"

    first, second = events(content), events(content)

    assert ids(first) == ids(second)
    assert len(set(ids(first))) == 3


def test_an_event_in_our_own_words_is_taken_as_it_is(events):
    told = {
        "id": "e1",
        "signal": "dwell",
        "who": ["user:1", "anonymous:2"],
        "at": 1_777_626_000_000,
        "value": 12.5,
        "about": {"item": "tent", "section": "specs"},
    }

    assert events(json.dumps(told) + "\n") == [told]


def test_a_signal_that_nobody_knows_is_told_with_the_remedy(events):
    [(field, message)] = wrong(events("user,signal,item\n1,FROBBED,a\n"))

    assert field == "signal"
    assert "--map 'signal:FROBBED=view'" in message


@pytest.mark.parametrize(("row", "field"), [
    (",view,a,1,", "who"), ("1,,a,1,", "signal"), ("1,view,a,yesterday,", "at"), ("1,view,a,1,much", "value"),
    ("\x01,view,a,1,", "user"), ("1,view,a,99999999999999999999,", "at"),
])  # fmt: skip
def test_a_bad_event_is_told_with_line_and_field(events, row, field):
    [(told, message)] = wrong(events(f"user,signal,item,at,value\n{row}\n"))

    assert told == field
    assert message.startswith("line 2: ")


def test_a_map_that_means_nothing_is_refused(events):
    with pytest.raises(Rejected, match="cannot be mapped") as refused:
        events("user,signal\n1,view\n", "itme=item")

    assert refused.value.code == "invalid_map"


@pytest.mark.parametrize("one", ["at", "=x", "at="])
def test_a_map_without_two_sides_is_refused(events, one):
    with pytest.raises(Rejected, match="ours=theirs"):
        events("user,signal\n1,view\n", one)


def test_an_audience_is_a_promotions_and_of_products_an_attribute(items):
    found = items("id,kind,audience\n1,promotion,fans\n2,product,women\n")

    assert found == [
        {"id": "1", "kind": "promotion", "audience": "fans"},
        {"id": "2", "kind": "product", "attributes": {"audience": "women"}},
    ]
