"""Keys and tokens: who may come in, and what never comes out."""

from __future__ import annotations

import hashlib
import hmac
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import Corrupt, Rejected, Unavailable
from plait.keys import Keys, load_keys, rotate_keys
from plait.settings import Settings

KEYS = Keys(write="wk_public", secret="sk_hidden", pepper="p")
HOUR = 3_600_000


def test_a_new_folder_gets_keys_that_stay(tmp_path):
    first = load_keys(Settings(data=str(tmp_path)))

    assert load_keys(Settings(data=str(tmp_path))) == first


def test_only_the_owner_can_read_the_keys(tmp_path):
    load_keys(Settings(data=str(tmp_path)))

    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_keys_of_the_environment_go_before_those_of_the_folder(tmp_path):
    keys = load_keys(Settings(data=str(tmp_path), write_key="wk_mine", secret_key="sk_mine_long_enough"))

    assert (keys.role("wk_mine"), keys.role("sk_mine_long_enough")) == ("write", "secret")


def test_one_key_for_both_roles_is_refused(tmp_path):
    with pytest.raises(Rejected, match="must differ"):
        load_keys(
            Settings(data=str(tmp_path), write_key="the_same_key_twice", secret_key="the_same_key_twice")
        )


def test_a_damaged_key_file_stops_us(tmp_path):
    (tmp_path / "keys.json").write_text("{")

    with pytest.raises(Corrupt, match=r"keys\.json"):
        load_keys(Settings(data=str(tmp_path)))


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="file"):
        load_keys(Settings(data=str(tmp_path / "file" / "data")))


@pytest.mark.parametrize("key", [None, "", "wk_publi", "wk_public ", "sk_hiddenx", "\ud800", "é"])
def test_a_wrong_key_has_no_role(key):
    assert KEYS.role(key) is None


def test_a_rotated_key_works_until_it_is_dropped(tmp_path):
    settings = Settings(data=str(tmp_path))
    before = load_keys(settings)

    rotate_keys(settings, "write")

    assert load_keys(settings).role(before.write) == "write"
    assert load_keys(settings).write != before.write
    rotate_keys(settings, None, drop_old=True)
    assert load_keys(settings).role(before.write) is None


def test_rotating_keeps_the_pepper_so_that_the_forgotten_stay_forgotten(tmp_path):
    settings = Settings(data=str(tmp_path))
    before = load_keys(settings)

    rotate_keys(settings, "secret", drop_old=True)

    assert load_keys(settings).pepper == before.pepper


def test_a_key_of_the_environment_cannot_be_rotated_here(tmp_path):
    with pytest.raises(Rejected, match="PLAIT_SECRET_KEY"):
        rotate_keys(Settings(data=str(tmp_path), secret_key="from_somewhere_else"), "secret")


def test_keys_do_not_show_in_a_log():
    assert "wk_public" not in repr(KEYS)
    assert "sk_hidden" not in str(KEYS)


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable()))
def test_a_token_speaks_for_its_person(value):
    assert KEYS.verify(KEYS.token(f"user:{value}", HOUR), now=0) == f"user:{value}"


def test_a_shop_can_make_the_token_itself():
    signature = hmac.new(b"sk_hidden", b"user:42|3600000", hashlib.sha256).hexdigest()

    assert KEYS.verify(f"user:42|3600000|{signature}", now=0) == "user:42"


def test_a_token_ends():
    with pytest.raises(Rejected) as told:
        KEYS.verify(KEYS.token("user:42", HOUR), now=HOUR)

    assert (told.value.code, told.value.status) == ("token_expired", 401)


def test_a_token_for_one_scope_opens_no_other():
    with pytest.raises(Rejected, match="not valid"):
        KEYS.verify(KEYS.token("user:42", HOUR, "live"), now=0)


@pytest.mark.parametrize(
    "token",
    [
        None,
        7,
        "",
        "||",
        "user:42",
        "user:42|3600000",
        "user:42|3600000|",
        "user:42|-1|x",
        "user:42|٣|x",
        "\ud800|1|\ud800",
    ],
)
def test_nonsense_is_not_a_token(token):
    with pytest.raises(Rejected) as told:
        KEYS.verify(token, now=0)

    assert told.value.code == "invalid_token"


@pytest.mark.parametrize("change", [("42", "43"), ("3600000", "9600000")])
def test_a_token_cannot_be_changed(change):
    with pytest.raises(Rejected, match="not valid"):
        KEYS.verify(KEYS.token("user:42", HOUR).replace(*change), now=0)
