"""benchmarks/related.py: the test cases, the hits and the interval by hand, what is bought again, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pages, related
from benchmarks.measuring import repurchases
from benchmarks.related import Basket, baskets_of, compare, hits_of, interval, rendered, rendered_again
from benchmarks.sets.base import events, no_catalogue
from recsys.data.encoding import Encoders
from recsys.data.interactions import Interactions
from recsys.features.features import Neighbours

DAY = 86_400


def orders(*baskets: str, first_day: int = 0) -> Interactions:
    """Return an order a day of one customer each: a name, then a letter for each item."""
    lines = [(basket[0], item, (first_day + day) * DAY) for day, basket in enumerate(baskets) for item in basket[1:]]
    users, items, seconds = zip(*lines, strict=True)
    return events(np.array(users, object), np.array(items, object), np.array(seconds, np.int64))


def test_one_known_item_of_each_order_is_held_out() -> None:
    encoders = Encoders.fit(orders("1abc"), no_catalogue(), min_item_events=1)

    cases = baskets_of(orders("1ab", "2c", "3aax", "1bcc", "2abc"), encoders, np.random.default_rng(0))

    assert [case.customer for case in cases] == [0, 0, 1]  # c alone, and a beside an unknown x, are no baskets
    assert [sorted([*case.items.tolist(), case.held_out]) for case in cases] == [[0, 1], [1, 2], [0, 1, 2]]
    assert all(case.hidden.tolist() == case.items.tolist() for case in cases)


def test_a_hit_is_among_the_first_ten_that_are_not_in_the_basket() -> None:
    case = Basket(0, np.array([0], np.int32), np.array([0], np.int32), 11)
    scores = np.arange(12, 0, -1).astype(np.float32)  # item 11 is the last of 11 beside the basket
    row = Neighbours(np.array([0, 1] + [1] * 11), np.array([11], np.int32), np.array([0.5], np.float32))

    assert hits_of(scores, [case, Basket(0, case.items, np.array([0, 1], np.int32), 11)]).tolist() == [0, 1]
    assert hits_of(row, [case, Basket(0, np.array([1], np.int32), np.array([1], np.int32), 11)]).tolist() == [1, 0]


def test_the_interval_draws_customers_with_all_their_baskets() -> None:
    assert interval(np.full(5, 0.25), np.array([1, 1, 2, 3, 3])) == [0.25, 0.25]
    low, high = interval(np.array([1.0] * 9 + [0.0] * 9), np.repeat([4, 7], 9))
    assert (low, high) == (0.0, 1.0)  # of two customers, one may be drawn twice
    low, high = interval(np.array([1.0] * 9 + [0.0] * 9), np.arange(18))
    assert 0.2 < low < 0.5 < high < 0.8


def test_pairs_of_the_earlier_orders_find_the_later_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = orders(*(f"{n}{basket}" for n in range(4) for basket in ("ab", "cd", *"efghijklmno" * 2)))
    part = compare(train, orders("1ab", "2cd", "3ab", first_day=500))

    assert (part["baskets"], part["customers"]) == (3, 3)
    assert part["hr10"]["together"] == 1
    assert part["hr10"]["popularity"] == 0  # e to o are bought more often
    assert part["difference"]["popularity"] == [1.0, 1.0, 1.0]

    page, kept = tmp_path / "MODELS.md", tmp_path / related.KEPT
    blocks = "".join(f"{pages.begin(name)}{pages.END}" for name in (related.NAME, related.NAME_AGAIN))
    page.write_text(f"Before.\n{blocks}After.\n", encoding="utf-8")
    told = {"set": "online-retail", "commit": "abcdef0123", "data_sha256": "0" * 64}
    bought_again = repurchases.compare(jars(), [START, START + 28 * DAY])
    pages.keep(
        kept, {"validation": part, "test": part, "again": {"validation": bought_again, "test": bought_again}, **told}
    )
    command = ["--markdown", str(page)]
    assert related.main([*command, "--check"], tmp_path) == 1
    assert related.main(command, tmp_path) == 0
    assert related.main([*command, "--check"], tmp_path) == 0
    text = page.read_text(encoding="utf-8")
    figures = json.loads(kept.read_text(encoding="utf-8"))
    assert rendered(figures) in text and rendered_again(figures) in text
    assert "| `popularity` | 0.0000 | 0.0000 | +1.0000 (+1.0000 to +1.0000) |" in text


START = 400 * DAY


def jars() -> Interactions:
    """Return purchases of jam every 40 days and of twelve rarities once, by six customers; a seventh comes later."""
    rows = [(f"c{user}", "jam", START + (40 * number - 200 + user) * DAY) for user in range(6) for number in range(8)]
    rows += [(f"c{user}", f"rarity {n}", START - (100 + n) * DAY) for user in range(6) for n in range(12)]
    rows += [("late", "jam", START + DAY), ("c0", "rarity 3", START + DAY), ("c1", "unknown", START + DAY)]
    users, items, seconds = zip(*rows, strict=True)
    return events(np.array(users, object), np.array(items, object), np.array(seconds, np.int64))


def test_what_was_bought_before_is_ranked_for_the_weeks_that_follow() -> None:
    cases, n_others = repurchases.cases_at(jars(), START)

    # c0 buys jam on the day, and a rarity on the next; the others buy jam in the next days; nobody knows the seventh
    assert [case.customer for case in cases] == [f"c{user}" for user in range(6)]
    assert n_others == 1
    assert [case.values["hr10"]["again"] for case in cases] == [1] * 6
    both = 1 + 1 / np.log2(3)
    ndcg = [case.values["ndcg10"]["again"] for case in cases]
    assert ndcg == pytest.approx([1 / both, 1, 1, 1, 1, 1])  # rarities are no consumables, so one is missed
    later, n_later = repurchases.cases_at(jars(), START + 28 * DAY)
    assert ([case.customer for case in later], n_later) == ([f"c{user}" for user in range(6)], 0)


def test_both_moments_of_a_customer_are_drawn_together() -> None:
    part = repurchases.compare(jars(), [START, START + 28 * DAY])

    assert (part["moments"], part["cases"], part["customers"], part["bought_nothing_again"]) == (2, 12, 6, 1)
    assert part["hr10"]["again"] == part["hr10"]["user_frequency"] == 1
    assert part["difference"]["user_frequency"]["hr10"] == [0, 0, 0]
    assert set(part["difference"]) == set(repurchases.TITLES) - {"again"}


def test_moments_lie_four_weeks_apart_within_the_data() -> None:
    rows, day = jars(), 28 * DAY
    first = int(rows.timestamps.min())

    assert repurchases.moments_of(rows, START, 3) == [START - 2 * day, START - day, START]
    assert repurchases.moments_of(rows, first + day + 1, 3) == [first + 1, first + day + 1]


def test_a_missing_folder_and_a_missing_page_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands: list[list[str]] = [[], ["--markdown", str(tmp_path / "none.md")], [str(tmp_path)]]
    assert [related.main(command) for command in commands] == [1, 1, 1]
    told = capsys.readouterr().err
    assert "DATA_DIR should name the folder" in told and "--markdown should name a page" in told
    assert "transactions.csv.gz" in told
