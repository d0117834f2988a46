"""benchmarks/related.py: the test cases, the hits and the interval by hand, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import pages, related
from benchmarks.related import Basket, baskets_of, compare, hits_of, interval, rendered
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
    page.write_text(f"Before.\n{pages.begin(related.NAME)}{pages.END}After.\n", encoding="utf-8")
    told = {"set": "online-retail", "commit": "abcdef0123", "data_sha256": "0" * 64}
    pages.keep(kept, {"validation": part, "test": part, **told})
    command = ["--markdown", str(page)]
    assert related.main([*command, "--check"], tmp_path) == 1
    assert related.main(command, tmp_path) == 0
    assert related.main([*command, "--check"], tmp_path) == 0
    text = page.read_text(encoding="utf-8")
    assert rendered(json.loads(kept.read_text(encoding="utf-8"))) in text
    assert "| `popularity` | 0.0000 | 0.0000 | +1.0000 (+1.0000 to +1.0000) |" in text


def test_a_missing_folder_and_a_missing_page_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands: list[list[str]] = [[], ["--markdown", str(tmp_path / "none.md")], [str(tmp_path)]]
    assert [related.main(command) for command in commands] == [1, 1, 1]
    told = capsys.readouterr().err
    assert "DATA_DIR should name the folder" in told and "--markdown should name a page" in told
    assert "transactions.csv.gz" in told
