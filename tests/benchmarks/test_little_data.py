"""Shops of few events: how they are drawn, who serves them, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import little_data, pages, terms
from benchmarks.sets.base import events
from recsys.data.interactions import Interactions

POINT: dict[str, Any] = {
    "events": 300,
    "shops": 20,
    "serves": {"popularity": 15, "blend": 5},
    "users": {
        "n": 90,
        "published": 0.05,
        "popularity": 0.04,
        "popularity_recent": 0.06,
        "to popularity": [-0.001, 0.02],
        "to popularity_recent": [-0.03, 0.01],
    },
}


def rows(n_users: int, each: int) -> Interactions:
    rng = np.random.default_rng(2)
    return events(
        np.repeat(np.arange(n_users), each), rng.integers(0, 30, n_users * each), np.arange(n_users * each) * 7_000
    )


@pytest.mark.parametrize("size", [1, 10, 100, 1_000])
def test_a_shop_has_whole_customers_and_about_as_many_events_as_asked(size: int) -> None:
    mine, guests = little_data.draw(rows(50, 8), size, np.random.default_rng(1))

    assert min(size, 400) <= len(mine) < size + 8 if size >= 8 else len(mine) == size
    assert not set(mine.users.tolist()) & set(guests.users.tolist())
    if size >= 8:
        assert len(mine) == 8 * len(set(mine.users.tolist()))


@pytest.mark.parametrize(("n_users", "each"), [(2, 4), (5, 10), (9, 20)])
def test_below_the_least_data_popularity_serves(n_users: int, each: int) -> None:
    """Nine users are fewer than training needs, though they have enough events."""
    serves, samples = little_data.one_shop(rows(n_users, each), rows(60, 4), has_clock=True)

    assert serves == "popularity"
    for sample in samples.values():
        np.testing.assert_array_equal(sample["published"], sample["popularity"])


def test_enough_data_lets_a_fitted_scorer_serve() -> None:
    """Customers go through the products in one order, which popularity cannot know."""
    users, steps = np.divmod(np.arange(40 * 12), 12)
    moments = steps * 86_400 + users
    order = np.argsort(moments, kind="stable")
    shop = events(users[order], ((users * 7 + steps) % 30)[order], moments[order])

    serves, samples = little_data.one_shop(shop, rows(60, 4), has_clock=True)

    assert serves not in little_data.POPULAR
    assert samples["users"]["published"].mean() > samples["users"]["popularity"].mean()


def test_one_event_leaves_nothing_to_learn_from() -> None:
    assert little_data.one_shop(rows(1, 1), rows(3, 2), has_clock=True) == ("nothing", {})


def test_a_summary_has_the_paired_differences() -> None:
    sample = {"published": np.array([0.5, 0.1]), "popularity": np.array([0.4, 0.0]), "popularity_recent": np.zeros(2)}

    found = little_data.summary(sample)

    assert (found["n"], found["published"]) == (2, pytest.approx(0.3))
    assert found["to popularity"] == [pytest.approx(0.1), pytest.approx(0.1)]


def test_the_page_has_the_table_and_the_picture_beside_it(tmp_path: Path) -> None:
    page, kept = tmp_path / "PAGE.md", tmp_path / little_data.KEPT
    page.write_text("<!-- results: little data -->\nNot measured yet.\n<!-- end of results -->\n")

    command = ["--markdown", str(page)]
    assert little_data.main([*command, "--check"], tmp_path) == 0, "nothing is measured"
    pages.keep(kept, {"online-retail": [POINT]})
    assert little_data.main([*command, "--check"], tmp_path) == 1
    assert little_data.main(command, tmp_path) == 0
    assert "+0.0100 (-0.0010 to +0.0200)" in page.read_text()
    assert "popularity 15, blend 5" in page.read_text()
    assert "online-retail: users" in (tmp_path / "little_data.svg").read_text()


def test_the_terms_beside_the_sum_by_hand() -> None:
    figures = {
        "rule": "hide",
        "users": 1_423,
        "blend": 0.13,
        "draws": [0.12, 0.14],
        "terms": [["transitions"], ["transitions"]],
        "best": "transitions",
        "alone": {"transitions": 0.1, "popularity": 0.03},
        "low": 0.02,
        "high": 0.04,
        "seconds": 4.21,
    }

    page = terms.rendered({"online-retail": {"commit": "0123456789ab", "rules": [figures]}})

    for cell in (
        "`transitions` 0.1000",
        "+0.0300 (+0.0200 to +0.0400)",
        "0.1200 – 0.1400",
        "`transitions` alone",
        "4.2",
    ):
        assert f" {cell} |" in page
    assert "Commit 01234567." in page


def test_a_wrong_command_line_ends_with_1(tmp_path: Path) -> None:
    for command in (little_data, terms):
        assert command.main([]) == 1
        assert command.main(["--markdown", str(tmp_path / "none.md")]) == 1
        assert command.main([str(tmp_path)]) == 1


def test_a_page_without_measured_terms_says_so(tmp_path: Path) -> None:
    page = tmp_path / "PAGE.md"
    page.write_text("<!-- results: terms -->\nNot measured yet.\n<!-- end of results -->\n")

    assert terms.main(["--markdown", str(page), "--check"], tmp_path) == 0
