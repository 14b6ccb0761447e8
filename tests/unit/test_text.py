"""What is read in a text, and that no text whatever does harm."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gold import demo_names, gold, score

from plait.catalog.checks import checked_item
from plait.delicate import refused
from plait.text import Names, read
from plait.text.lexicon import LANGUAGES, lexicon
from plait.text.nearness import Nearness


def names_of(*items):
    return Names(checked_item(one, field="item") for one in items)


NAMES = demo_names()

# -- the gold set ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("half", "mood", "intent", "complaints"),
    [
        ("dev", 0.94, 0.94, 0.93),
        ("test", 0.9, 0.84, 0.93),
        ("late", 0.77, 0.77, 0.8),
        ("later", 0.72, 0.7, 0.55),
        ("last", 0.45, 0.36, 0.04),
    ],
)
def test_the_gold_set_is_read_as_well_as_the_page_says(half, mood, intent, complaints):
    texts = gold(half)
    told = score(texts)

    assert told.f1 >= 0.95
    assert told.language / told.texts >= 0.94
    assert told.mood / told.texts >= mood
    assert told.intent / told.texts >= intent
    assert told.recalled("complaint") >= complaints
    assert told.believed("complaint") >= 0.5


def test_the_gold_set_is_as_large_and_as_mixed_as_it_is_said_to_be():
    texts = [one for half in ("dev", "test", "late", "later", "last") for one in gold(half)]
    many = {one.language for one in texts if sum(other.language == one.language for other in texts) >= 15}

    assert len(texts) >= 1_000
    assert len(many) >= 13
    assert len({one.text for one in texts}) == len(texts)
    assert {id for one in texts for id in one.items} <= NAMES._place.keys()


# -- names -------------------------------------------------------------------------------------------------------

TARN = {"id": "tarn-2", "title": "Tarn 2 Trekking Tent", "topics": ["tents"]}


@pytest.mark.parametrize(
    "text",
    ["The Tarn 2 is here", "TARN 2!", "tarn2", "#Tarn2", "my Tarn-2's zip", "Tarn 2er Zelt", "Ťárn 2", "T̶a̶r̶n̶ 2", "ＴＡＲＮ２",
     "Tarn\u200b 2", "このTarn 2は", "Tarn 2帐篷", "\u202eTarn 2\u202c", "Tarn 2는", "tarn_2"],
)  # fmt: skip
def test_a_name_is_found_however_it_is_written(text):
    assert read(text, names_of(TARN)).items == ("tarn-2",)


@pytest.mark.parametrize(
    "text",
    ["Tarn 20", "Tarn 2.5", "Tarn, 2 of us", "Tarn. 2", "starn 2", "Tarn", "tarn", "a tarn and 2 tents"],
)
def test_what_only_looks_like_it_is_not_it(text):
    assert read(text, names_of(TARN)).items == ()


def test_the_conversation_tells_which_of_two_is_meant():
    both = names_of(
        {"id": "strider-55", "title": "Strider 55 Pack"}, {"id": "strider-70", "title": "Strider 70 Pack"}
    )

    assert read("my Strider leaks", both).items == ()
    assert read("my Strider leaks", both, context=["strider-70"]).items == ("strider-70",)


def test_the_plain_variant_is_meant_unless_it_is_said_for_whom():
    both = names_of(
        {"id": "m", "title": "Larch Down Jacket"}, {"id": "w", "title": "Larch Down Jacket, Women"}
    )

    assert read("the Larch Down Jacket", both).items == ("m",)
    assert read("the Larch Down Jacket for ladies", both).items == ("w",)
    assert read("Larch Down Jacket Damen", both).items == ("w",)


def test_brand_and_model_and_aliases_are_names():
    names = names_of(
        {
            "id": "1",
            "title": "Acme Rover X9 Drone",
            "attributes": {"brand": "Acme", "model": "RX-9", "aliases": ["ローバー"]},
        }
    )

    assert [read(text, names).items for text in ("the rover x9", "RX9", "ローバーを買った")] == [("1",)] * 3


def test_what_many_items_share_is_a_brand_and_names_none():
    names = names_of(*({"id": str(n), "title": f"Acme {chr(65 + n % 26)}{n} thing"} for n in range(60)))

    assert read("I love Acme", names).items == ()


def test_a_hashtag_names_a_topic():
    assert read("#TrailRunning all day", NAMES).topics == ("trail-running",)


# -- languages ---------------------------------------------------------------------------------------------------

QUIET = """
import sys, socket
def deny(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen"):
        print("reached out:", event, args[:2]); sys.stdout.flush(); import os; os._exit(3)
sys.addaudithook(deny)
from plait.text import read
assert read("Das Zelt ist undicht, ich will mein Geld zurück").language == "de"
assert read("la tente prend l'eau depuis hier").language == "fr"
from plait.text.nearness import Nearness
if Nearness.installed():
    Nearness({"boats": ["red boat", "kayak", "packraft"]}).topics("paddling on the lake")
print("quiet")
"""


def test_nothing_is_fetched():
    told = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, timeout=100)

    assert told.stdout.strip() == "quiet", told.stdout + told.stderr


@pytest.mark.parametrize("code", LANGUAGES)
def test_each_lexicon_is_whole(code):
    known = lexicon(code)

    assert known.language == code
    assert not {word for word in (*known._whole, *known._begin) if not word.strip()}


@pytest.mark.parametrize(
    "text", ["", "   ", "\0\0", "👍👍", "12345", "@somebody", "https://a.example/x", "…", "#"]
)
def test_what_has_no_words_has_no_language(text):
    assert read(text, NAMES).language is None


# -- moods and intents -------------------------------------------------------------------------------------------

ITEM = ["tarn-2"]  # what the conversation is about


@pytest.mark.parametrize(
    "text",
    [
        "sooooo gooood",
        "I looove it",
        "absolutley briliant, the jacket",
        "Dissapointed? no, facinated and excelent",
        "recomended",
    ],
)
def test_a_mood_is_heard_in_misspelt_words(text):
    assert read(text, NAMES, context=ITEM).sentiment > 0.2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("is it warm enough for winter", "en"), ("wie lange hält der Akku", "de"), ("combien de litres fait le sac", "fr"),
        ("cuántos litros tiene la mochila", "es"), ("quanti litri ha questo zaino", "it"), ("hoeveel liter gaat er in de rugzak", "nl"),
        ("czy ten plecak jest wodoodporny", "pl"), ("quantos litros leva a mochila", "pt"), ("сколько литров в рюкзаке", "ru"),
        ("hur många liter rymmer ryggsäcken", "sv"), ("bu çanta kaç litre", "tr"), ("このザックは何リットルですか", "ja"),
        ("这个背包是多少升的", "zh"),
    ],
)  # fmt: skip
def test_a_question_is_one_without_its_sign(text, language):
    told = read(text, NAMES, context=ITEM)

    assert (told.language, told.intent) == (language, "question")
    assert abs(told.sentiment) <= 0.2


@pytest.mark.parametrize(
    "text",
    [
        "where can I buy it", "is it in stock", "how much is it", "wo kann ich das kaufen", "ist das auf Lager?", "was kostet das",
        "où peut-on l'acheter", "combien ça coûte", "dónde lo puedo comprar", "cuánto cuesta", "dove posso comprarlo",
        "quanto costa", "waar kan ik die kopen", "wat kost die", "gdzie mogę kupić", "ile kosztuje", "onde posso comprar",
        "quanto custa", "где можно купить", "сколько стоит", "var kan man köpa den", "vad kostar den", "nereden alabilirim",
        "fiyatı ne kadar", "どこで買えますか", "いくらですか、値段は", "在哪里买", "多少钱",
    ],
)  # fmt: skip
def test_who_asks_where_or_for_how_much_wants_to_buy(text):
    assert read(text, NAMES, context=ITEM).intent == "purchase"


@pytest.mark.parametrize(
    "text",
    [
        "my parcel never arrived", "Nobody answers my mails", "mein Paket ist nie angekommen", "je n'ai rien reçu",
        "mi pedido no ha llegado", "il pacco non è arrivato", "nog steeds niets ontvangen", "paczka nie dotarła",
        "meu pedido não chegou", "заказ так и не пришёл, никто не отвечает", "paketet har inte kommit", "siparişim hâlâ gelmedi",
        "荷物が届きません", "还没收到货",
    ],
)  # fmt: skip
def test_a_complaint_about_the_shop_is_one_though_no_item_is_named(text):
    assert read(text, NAMES).intent == "complaint"


def test_a_complaint_goes_before_politeness_and_before_the_wish_to_buy():
    assert read("Thanks, but my parcel never arrived. I want to buy no more", NAMES).intent == "complaint"


def test_the_weather_is_no_fault_of_a_thing():
    assert read("Cold and wet up there, and we were late", NAMES).sentiment == 0
    assert read("Cold and wet in there", NAMES, context=ITEM).intent == "complaint"


def test_what_did_not_last_is_blamed_and_what_did_is_not():
    assert read("The buckle after three weeks", NAMES, context=ITEM).intent == "complaint"
    assert read("The buckle after three years", NAMES, context=ITEM).sentiment == 0
    assert read("Still perfect after three weeks", NAMES, context=ITEM).intent == "praise"


@pytest.mark.parametrize(
    "text", ["Great, it leaks", "Super, der Reißverschluss ist kaputt", "Génial, déjà décousu"]
)
def test_praise_that_a_fault_follows_is_scorn(text):
    assert read(text, NAMES, context=ITEM).sentiment < -0.6


def test_praise_stays_praise_where_no_fault_follows():
    assert read("Great, no leaks", NAMES, context=ITEM).intent == "praise"
    assert read("😡. great", NAMES, context=ITEM).sentiment < 0.2


def test_words_that_open_a_question_blame_nothing():
    assert read("how heavy is it", NAMES, context=ITEM).sentiment == 0


def test_a_neighbour_of_a_language_is_read_by_its_lexicon():
    assert read("Den er helt fantastisk, jeg er så glad for den", NAMES, context=ITEM).sentiment > 0.2


# -- special categories ------------------------------------------------------------------------------------------

DELICATE = [
    "diabetes", "Depression", "Mental Health", "pregnancy", "Schwangerschaft", "健康", "religion", "Halal", "koscher", "Buddhist",
    "イスラム", "politics", "Wahlkampf", "elections", "socialism", "gay", "LGBTQ", "homosexuell", "trade union", "Gewerkschaft",
    "syndicat", "ethnicity", "hispanic", "ethnisch", "здоровье", "professional-health-care",
]  # fmt: skip
FINE = [
    "tents",
    "trail-running",
    "first aid",
    "party",
    "race",
    "christmas",
    "travel",
    "family",
    "outdoor",
    "parties",
    "unions",
    "",
]


@pytest.mark.parametrize("topic", DELICATE)
def test_a_special_category_is_refused_in_any_spelling(topic):
    assert refused(topic)
    assert refused(topic.upper())


@pytest.mark.parametrize("topic", FINE)
def test_what_is_not_of_a_special_category_is_let_be(topic):
    assert refused(topic) is None


@pytest.mark.parametrize("topic", DELICATE)
def test_no_text_tells_of_a_special_category(topic):
    names = names_of(
        {"id": "x-9", "title": "Rover X9", "topics": [topic]}, {"id": "y", "title": f"{topic} Rover Y8 guide"}
    )
    tag = "".join(one for one in topic if one.isalnum())
    said = f"{topic}, {topic.upper()} #{tag} Rover X9 and {topic} Rover Y8 guide, so good"

    assert read(said, names).mentions == ()


@pytest.mark.skipif(not Nearness.installed(), reason="the extra plait[text] is not installed")
def test_nearness_knows_no_special_category_and_knows_others():
    titles = {
        "boats": ["Otter Packraft", "Heron Inflatable Kayak", "Reed Paddle"],
        "diabetes": ["Sugar meter", "Insulin bag", "Diabetes socks"],
        "climbing": ["Lead Rope 60 m", "Clip Quickdraws", "Chalk Bag"],
    }
    near = Nearness(titles)

    assert near.topics("Walk in, inflate, paddle out: five lakes in one kayak")[0][0] == "boats"
    assert "diabetes" not in dict(near.topics("insulin, sugar and diabetes"))
    assert near.topics("") == Nearness({}).topics("x") == []


# -- texts that mean harm ----------------------------------------------------------------------------------------

HOSTILE = {
    "a megabyte": "tarn 2 leaks and I love it! " * 40_000,
    "one word": "a" * 1_000_000,
    "zalgo": "T" + "\u0336\u0489\u035c" * 100_000 + "arn 2",
    "right to left": "\u202e" * 10_000 + "אני אוהב את Tarn 2" + "\u202c" * 10_000,
    "NUL": "\0" * 100_000 + "Tarn 2" + "\0" * 100_000,
    "emoji": "😡🔥👍🏽👨‍👩‍👧‍👦" * 50_000,
    "what grows when it is taken apart": "\ufdfa" * 100_000,
    "half characters": "\ud800Tarn 2\udfff" * 10_000,
    "hashtags": "#a" * 200_000,
    "at signs": "@" * 500_000,
    "addresses": "https://" * 100_000,
    "apostrophes": "n't" * 200_000,
    "questions": "?" * 500_000,
    "brackets": "((((" * 200_000,
    "every name": " ".join(NAMES._names) * 5,
    "every phrase": ", ".join(lexicon("en")._phrases),
    "buts": "but " * 200_000,
    "nots": "not good " * 100_000,
    "line ends": "\r\n\u2028" * 200_000,
    "Han": "不好" * 200_000,
    "numbers": "1,2.3" * 200_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_no_text_takes_long(what):
    read("warm", NAMES)
    began = time.process_time()
    read(HOSTILE[what], NAMES)

    assert time.process_time() - began < 1.0  # a hundred times what an ordinary text takes, on a slow machine


@given(st.text(max_size=400), st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text, more):
    told = read(f"{text} Tarn 2 {more}", NAMES)

    assert -1 <= told.sentiment <= 1
    assert all(-1 <= one.sentiment <= 1 and 0 <= one.confidence <= 1 for one in told.mentions)
    assert told == read(f"{text} Tarn 2 {more}", NAMES)
