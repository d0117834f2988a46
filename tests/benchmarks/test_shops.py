"""benchmarks/loads: random tables that are like trained ones, and whole shops that answer."""

import sqlite3
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.loads import weights
from benchmarks.loads.shops import Size, SyntheticShop, disk_bytes, synthetic_shop
from benchmarks.loads.users import EVENTS, FIRST_ITEM, FIRST_USER, FRESH_EVENTS, GROUP, HISTORIES, make_users
from benchmarks.loads.weights import Popularity
from recsys.contract import parse_request
from recsys.recommending.loading import load, smoke_test
from recsys.recommending.recommend import recommend
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Training
from recsys.store import connect

UNTIL = 1_700_000_000
NARROW = Training(dim=8, factors=8, window=10)


def rows_of(starts: np.ndarray, neighbours: np.ndarray) -> list[list[int]]:
    return [part.tolist() for part in np.split(neighbours, starts[1:-1])]


def check_rows(rows: list[list[int]], longest: int) -> None:
    for row, columns in enumerate(rows):
        assert columns == sorted(set(columns)) and row not in columns
        assert len(columns) <= longest
        assert all(0 <= column < len(rows) for column in columns)


# tables


def test_popular_items_are_drawn_as_often_as_the_law_says(rng: np.random.Generator) -> None:
    popularity = Popularity(rng, 1000)
    counts = np.bincount(popularity.draw(200_000), minlength=1000) / 200_000
    best = np.argsort(-popularity.shares)

    assert popularity.shares.sum() == pytest.approx(1)
    assert popularity.shares[best[0]] / popularity.shares[best[99]] == pytest.approx(100**0.8)
    assert counts[best[:100]].sum() == pytest.approx(popularity.shares[best[:100]].sum(), abs=0.03)


def test_full_rows_are_all_of_one_length_and_prefer_what_weighs_much(rng: np.random.Generator) -> None:
    heavy = np.ones(600)
    heavy[7] = 1e9
    rows = rows_of(*weights.full_rows(rng, 600, 5, heavy))

    check_rows(rows, 5)
    assert {len(row) for row in rows} == {5}
    assert all(7 in row for number, row in enumerate(rows) if number != 7)
    assert rows_of(*weights.full_rows(rng, 4, 9, np.ones(4))) == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_drawn_rows_keep_to_their_lengths(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "DRAWS_AT_ONCE", 1000)  # several blocks
    popularity, lengths = Popularity(rng, 2000), np.arange(2000) % 4
    rows = rows_of(*weights.drawn_rows(lengths, 2000, popularity.draw))

    check_rows(rows, 3)
    assert all(len(row) <= length for row, length in zip(rows, lengths, strict=True))
    assert sum(map(len, rows)) > 0.9 * lengths.sum()


def test_rows_that_are_too_long_are_thinned_evenly() -> None:
    kept = weights.thinned(np.array([4, 2, 0, 3]), np.array([2, 5, 1, 1]))

    assert kept.tolist() == [False, True, False, True, True, True, False, False, True]


def test_a_transposed_matrix_has_rows_for_columns() -> None:
    starts, neighbours = weights.transposed(np.array([0, 2, 3, 3]), np.array([1, 2, 2], np.int32), keep=2)

    assert rows_of(starts, neighbours) == [[], [0], [0, 1]]
    assert rows_of(*weights.transposed(np.array([0, 2, 3, 3]), np.array([1, 2, 2], np.int32), keep=1)) == [[], [0], [1]]


def test_above_the_exact_limit_each_target_has_its_own_sources(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "EXACT_UP_TO", 1000)
    arrays = weights.ease(rng, Popularity(rng, 1500))
    rows = rows_of(arrays["starts"], arrays["neighbours"])
    sources = np.bincount(arrays["neighbours"], minlength=1500)

    check_rows(rows, weights.EASE_NEIGHBOURS)
    assert sources.max() <= weights.LOCAL_NEIGHBOURS
    assert len(arrays["similarities"]) == len(arrays["neighbours"]) == arrays["starts"][-1]
    assert max(map(len, rows)) > 3 * weights.LOCAL_NEIGHBOURS, "a popular item is a source of many"


def test_rare_items_have_short_rows(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "EXACT_UP_TO", 1000)
    popularity = Popularity(rng, 1500)
    lengths = np.diff(weights.transitions(rng, popularity, n_events=3000)["starts"])

    assert lengths[popularity.shares.argmax()] > 2 * lengths[popularity.shares.argmin()]


# users


def test_customers_of_a_group_have_as_many_events_as_it_says(rng: np.random.Generator) -> None:
    made = make_users(rng, Popularity(rng, 50), n_users=5000, n_usual=800, history=20, data_until=UNTIL)
    counts = dict(zip(*np.unique(made.events.users, return_counts=True), strict=True))

    all_users = [user for ids in made.groups.values() for user in ids]
    assert len(all_users) == len(set(all_users)) == 800 + GROUP * (len(HISTORIES) + 1)
    assert min(all_users) >= FIRST_USER and max(all_users) < FIRST_USER + 5000
    assert [{counts[user] for user in made.groups[str(length)]} for length in HISTORIES] == [
        {length} for length in HISTORIES
    ]
    assert {counts[user] for user in made.groups["fresh"]} == {20 + FRESH_EVENTS}
    assert np.median([counts[user] for user in made.groups["usual"]]) == pytest.approx(20, abs=2)
    assert (np.diff(made.events.timestamps) >= 0).all()
    assert FIRST_ITEM <= made.events.items.min() and made.events.items.max() < FIRST_ITEM + 50


def test_only_fresh_customers_have_done_something_since(rng: np.random.Generator) -> None:
    made = make_users(rng, Popularity(rng, 50), n_users=5000, n_usual=10, history=20, data_until=UNTIL)
    since = made.events.timestamps > UNTIL

    assert set(made.events.users[since]) == set(made.groups["fresh"])
    assert {EVENTS[event] for event in made.events.events[since]} == {"cart"}
    assert len(made.learned) == len(made.events) - FRESH_EVENTS * GROUP
    assert next(made.rows())["timestamp"] == str(np.datetime64(int(made.events.timestamps[0]), "s")).replace("T", " ")


# shops


@pytest.fixture(scope="module")
def shop() -> Iterator[SyntheticShop]:
    with synthetic_shop(Size(items=120, users=1500, customers=60, history=12), None, print, NARROW) as made:
        yield made


@pytest.mark.slow
def test_a_synthetic_version_can_serve(shop: SyntheticShop) -> None:
    bundle = load(shop.models_dir, full=True)
    with connect(shop.urls["sqlite"]) as db:
        smoke_test(bundle, db)

    assert (bundle.name, len(bundle.items), bundle.n_users) == (shop.version, 120, 1500)
    assert bundle.scorers.names == tuple(REGISTRY)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["usual", "10", "500", "fresh"])
def test_all_users_in_it_is_answered_by_all_four_models(shop: SyntheticShop, group: str) -> None:
    bundle, asked = load(shop.models_dir), b'{"user_id": %d}' % shop.groups[group][0]
    with connect(shop.urls["sqlite"]) as db:
        request = parse_request(asked, models=tuple(REGISTRY))
        answer = recommend(request, bundle, db, shop=shop.settings("sqlite").shop, now=bundle.data_until + 86_400)

    assert (len(answer.items), answer.warnings) == (10, ())
    four = [run for run in answer.runs if run.model in MODELS]
    assert [(run.model, run.error, len(run.items) >= 9) for run in four] == [(name, None, True) for name in MODELS]
    if group == "fresh":
        assert {run.basis for run in four} == {"fresh"}
    assert len({run.items for run in four}) > 1, "four models, not one"


@pytest.mark.slow
def test_a_shop_has_as_many_rows_as_it_says(shop: SyntheticShop) -> None:
    db = sqlite3.connect(shop.folder / "shop.sqlite")
    counts = [
        db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in ("Products", "rec_item_encoder", "rec_user_encoder")
    ]
    db.close()

    assert counts == [120, 120, 1500]
    assert 0 < disk_bytes(shop.folder) < 50e6


@pytest.mark.slow
def test_a_shop_is_gone_in_the_end() -> None:
    with synthetic_shop(Size(items=30, users=1200, customers=5, history=3), None, print, NARROW) as made:
        assert (made.models_dir / made.version).is_dir()
    assert not made.folder.exists()
