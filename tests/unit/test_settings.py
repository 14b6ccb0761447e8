"""Where settings come from, and what is no setting."""

from __future__ import annotations

import pytest

from plait.errors import Rejected, Unavailable
from plait.settings import load


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path):
    (tmp_path / "plait.toml").write_text('port = 1\nhost = "file"\nsource = "file"\n[consent]\nlink = true\n')
    env = {"PLAIT_PORT": "2", "PLAIT_HOST": "env", "PLAIT_CONSENT__SOCIAL": "true"}

    found = load(str(tmp_path), env=env, overrides={"port": 3})

    assert (found.port, found.host, found.source) == (3, "env", "file")
    assert (found.consent.link, found.consent.social) == (True, True)


def test_a_list_in_the_environment_is_separated_by_commas(tmp_path):
    found = load(str(tmp_path), env={"PLAIT_ALLOWED_ORIGINS": "https://a.example,https://b.example"})

    assert found.allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("toml", "env", "named"),
    [
        ("prot = 1", {}, "prot"),
        ("[consent]\ntracking = true", {}, "tracking"),
        ("", {"PLAIT_PROT": "1"}, "PLAIT_PROT"),
        ("", {"PLAIT_CONSENT__TRACKING": "1"}, "PLAIT_CONSENT__TRACKING"),
        ("", {"PLAIT_CONSENT": "1"}, "PLAIT_CONSENT"),
        ("", {"PLAIT_PORT__X": "1"}, "PLAIT_PORT__X"),
        ('port = "many"', {}, "port"),
        ("", {"PLAIT_PORT": "many"}, "port"),
        ("", {"PLAIT_CONSENT__LINK": "perhaps"}, "link"),
        ("port = ", {}, "plait.toml"),
    ],
)
def test_what_is_no_setting_is_refused_by_its_name(tmp_path, toml, env, named):
    (tmp_path / "plait.toml").write_text(toml)

    with pytest.raises(Rejected) as refused:
        load(str(tmp_path), env=env)

    assert named in refused.value.message
    assert refused.value.field


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("half_life_days", "0"), ("half_life_days", "-1"), ("half_life_days", "nan"), ("half_life_days", "inf"),
        ("port", "-1"), ("port", "65536"), ("lag_limit_events", "0"), ("fit_every_minutes", "-5"),
        ("refit_every_minutes", "nan"), ("lake_every_seconds", "-1"), ("lake_retention_days", "-1"),
        ("complaint_mutes_days", "4000"),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_is_refused(tmp_path, name, value):
    with pytest.raises(Rejected) as refused:
        load(str(tmp_path), env={f"PLAIT_{name.upper()}": value})

    assert (refused.value.code, refused.value.field) == ("invalid_settings", name)


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "plait.toml").mkdir()

    with pytest.raises(Unavailable) as told:
        load(str(tmp_path), env={})

    assert "plait.toml" in told.value.message
