"""The table [lifecycle] of recsys.toml and the account that the backend serves with."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from recsys.errors import SettingsError
from recsys.settings import LIFECYCLE_RANGES, Lifecycle, load_settings

URL = {"DATABASE_URL": "sqlite:///shop.sqlite"}


def test_options_of_the_table_are_read_and_the_others_keep_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text("[lifecycle]\nmin_users = 3\nmargin = 0.1\n", encoding="utf-8")

    assert load_settings(URL, tmp_path).lifecycle == Lifecycle(min_users=3, margin=0.1)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("min_user = 3", "`min_user`"),
        ("min_users = 0", "[lifecycle] `min_users` should be a whole number from 1"),
        ("min_users = 1.5", "[lifecycle] `min_users` should be a whole number from 1"),
        ("margin = 1.5", "[lifecycle] `margin` should be a number from 0 to 1"),
        ("max_count_drop = true", "[lifecycle] `max_count_drop` should be a number from 0 to 1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "recsys.toml").write_text(f"[lifecycle]\n{line}\n", encoding="utf-8")

    with pytest.raises(SettingsError) as caught:
        load_settings(URL, tmp_path)

    assert message in str(caught.value)


def test_every_option_has_a_range() -> None:
    assert {option.name for option in fields(Lifecycle)} == set(LIFECYCLE_RANGES)


def test_the_backends_account_is_read_and_named_where_it_is_wrong(tmp_path: Path) -> None:
    assert load_settings(URL, tmp_path).serve_database_url is None
    settings = load_settings({**URL, "SERVE_DATABASE_URL": "mysql://reader:secret@db/shop"}, tmp_path)
    assert settings.serve_database_url is not None
    assert settings.serve_database_url.user == "reader"
    with pytest.raises(SettingsError, match="^SERVE_DATABASE_URL should be"):
        load_settings({**URL, "SERVE_DATABASE_URL": "nonsense"}, tmp_path)


def test_the_page_of_settings_has_every_option_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs/SHOP.md").read_text(encoding="utf-8")
    page = "".join(
        page.split(f"\n## {title}\n")[1].split("\n## ")[0] for title in ("[lifecycle]", "When training refuses")
    )

    listed = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, re.MULTILINE))

    assert listed == {option.name: str(option.default) for option in fields(Lifecycle)}
