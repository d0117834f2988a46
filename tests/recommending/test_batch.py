"""Lists of everybody: they equal the answers to one request at a time, for every scorer, on every database."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsys import store
from recsys.contract import Request
from recsys.errors import SettingsError
from recsys.features.features import NAMES, Neighbours
from recsys.recommending.batch import BatchResult, recommend_all
from recsys.recommending.batch.output import UserList, rows_of
from recsys.recommending.batch.run import BlockRun, segment_name, shard_of, users_to_answer, winners_only
from recsys.recommending.batch.scores import score_block
from recsys.recommending.loading import ModelBundle
from recsys.recommending.recommend import recommend
from recsys.scorers.registry import MODELS, REGISTRY
from tests.helpers.tiny_shop import DAY, NOW, Published, event, moved

UNSEEN, NO_KNOWN_ITEM, NO_EVENT_NOW, ROBOT = 1000, 1001, 3, 1002
EVERYBODY = (*range(60), UNSEEN, NO_KNOWN_ITEM, ROBOT)
SOME = (0, NO_EVENT_NOW, 5, 7, 8, 20, 57, UNSEEN, NO_KNOWN_ITEM, ROBOT)  # one of each kind
LIMIT = 5
BATCH = "recsys.recommending.batch"


def with_users_of_every_kind(shop: Published) -> Published:
    """Add users whom training has not seen, a cart, a cancelled purchase and products that are sold out by now."""
    shop.add([event(UNSEEN, item, "view", NOW - 60 + item) for item in (101, 104, 107)])
    shop.add([event(NO_KNOWN_ITEM, 138, "view", NOW - 60)])
    shop.add([event(ROBOT, 101 + n % 30, "view", NOW - 3000 + n) for n in range(300)])
    shop.add([event(7, 102, "cart", NOW - DAY), event(8, 103, "purchase", NOW - DAY), event(8, 103, "cancel", NOW)])
    for table in ("Interactions", "Comments"):
        shop.execute(f"DELETE FROM {table} WHERE userId = {NO_EVENT_NOW}")
    shop.execute("UPDATE Products SET statusId = 'S2' WHERE id IN (101, 102, 108)")
    return shop


@pytest.fixture(scope="module")
def shop(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    return with_users_of_every_kind(published.copy(tmp_path_factory.mktemp("batch")))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[BlockRun]:
    """The runs of a test, which know who was asked alone."""
    begun: list[BlockRun] = []

    class Watched(BlockRun):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            begun.append(self)

    monkeypatch.setattr(f"{BATCH}.run.BlockRun", Watched)
    return begun


def with_content(shop: Published, weights: Mapping[str, Mapping[str, float]]) -> ModelBundle:
    """Return a version in which items with neighbouring numbers are described alike.

    Args:
        shop: Its shop.
        weights: The weights of some ensembles, by name; all others are 0.
    """
    bundle = shop.load()
    numbers = np.arange(len(bundle.items))
    columns = [np.setdiff1d(np.clip(n + np.array([-2, -1, 1, 2]), 0, numbers[-1]), [n]) for n in numbers]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in columns])])
    cosines = np.tile(np.array([0.8, 0.5], np.float32), starts[-1])[: starts[-1]]  # many are equal
    alike = Neighbours(starts, np.concatenate(columns).astype(np.int32), cosines)
    features = bundle.scorers.features._replace(content=alike)
    for name, named in weights.items():
        row = np.array([named.get(term, 0.0) for term in (*NAMES, "network")], np.float32)
        bundle.scorers[name] = replace(bundle.scorers[name], features=features, weights=np.stack([row, row]))
    vars(bundle.scorers)["features"] = features
    return bundle


def computed(shop: Published, users: tuple[int, ...] | None = SOME, **options: Any) -> BatchResult:
    return recommend_all(shop.settings, users=users, limit=options.pop("limit", LIMIT), now=lambda: NOW, **options)


def stored(shop: Published, users: tuple[int, ...] = SOME) -> dict[int, list[tuple[object, ...]]]:
    """Return the lists in the table: item, reason, its item, scorer and source, with scores apart."""
    with store.connect(shop.url) as db:
        return {user: [comparable(row) for row in store.read_list(db, user)] for user in users}


def asked_alone(
    shop: Published, bundle: ModelBundle, model: str | None = None, users: tuple[int, ...] = SOME, limit: int = LIMIT
) -> dict[int, list[tuple[object, ...]]]:
    """Return the same of one request at a time."""
    lists = {}
    with store.connect(shop.url) as db:
        for user in users:
            request = Request(user_id=user, limit=limit, model=model or "auto")
            answer = recommend(request, winners_only(bundle), db, shop=shop.settings.shop, now=NOW)
            list_of = UserList(user, answer.model, answer.source, answer.items, NOW)
            lists[user] = [comparable(row) for row in rows_of(list_of, bundle.name)]
    return lists


class Near(float):
    """A score that equals another one up to rounding, because products of matrices round differently from vectors'."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and abs(float(self) - float(other)) < 1e-4

    __hash__ = None  # type: ignore[assignment]


def comparable(row: store.ListRow) -> tuple[object, ...]:
    """Return a row as text, and its score."""
    texts = (row.user_id, row.position, row.item_id, row.reason, row.reason_item, row.model, row.source, row.version)
    return (*map(str, texts), str(row.computed_at), Near(row.score))


@pytest.mark.parametrize("model", REGISTRY)
def test_everybody_gets_the_list_of_one_request_at_a_time(shop: Published, model: str) -> None:
    computed(shop, model=model)

    assert stored(shop) == asked_alone(shop, shop.load(), model)


def test_everybody_gets_the_list_of_one_request_where_content_counts(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items with neighbouring numbers are described alike; the reasons name them."""
    weights = {"neighbours": 0.5, "transitions": 0.2, "content": 2.0, "factors": 0.3, "network": 0.4}
    bundle, plain = with_content(shop, dict.fromkeys((*MODELS, "blend"), weights)), shop.load()
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: bundle)

    for model in (*MODELS, "blend"):
        computed(shop, model=model)
        lists = stored(shop)
        assert lists == asked_alone(shop, bundle, model)
        assert lists != asked_alone(shop, plain, model)


@pytest.mark.parametrize("model", [*MODELS, "blend", "user_frequency"])
def test_purchased_items_come_back_where_repeats_are_allowed(
    shop: Published, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = shop.load()
    allowing = replace(bundle, rules={**bundle.rules, "repeat_after_days": 0})
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: allowing)
    computed(shop, model=model)

    lists = stored(shop)
    assert lists == asked_alone(shop, allowing, model)
    assert lists != asked_alone(shop, bundle, model)


def test_the_winner_of_each_segment_answers_on_every_database(published: Published, database_url: str) -> None:
    shop = with_users_of_every_kind(moved(published, database_url))

    assert computed(shop, None)[:2] == (len(EVERYBODY), len(EVERYBODY))
    assert stored(shop, EVERYBODY) == asked_alone(shop, shop.load(), users=EVERYBODY)


def test_each_segment_has_its_own_winner(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = shop.load()
    segments = {"returning": replace(bundle.priors, best="item_cf"), "known": replace(bundle.priors, best="BMF")}
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: replace(bundle, segments=segments))
    computed(shop)

    lists = stored(shop)
    assert {rows[0][5] for user, rows in lists.items() if user in (UNSEEN, 5, 7)} == {"item_cf", "BMF"}
    assert lists[NO_KNOWN_ITEM][0][5] == "popularity_recent"
    assert lists == asked_alone(shop, replace(bundle, segments=segments))


@pytest.mark.parametrize("limit", [1, 31, 100])
def test_short_and_long_lists_are_filled_as_one_at_a_time(shop: Published, limit: int) -> None:
    computed(shop, limit=limit)

    assert stored(shop) == asked_alone(shop, shop.load(), limit=limit)


@pytest.mark.parametrize("model", [*MODELS, "item_cf", "popularity"])
def test_hardly_anybody_is_asked_alone(shop: Published, runs: list[BlockRun], model: str) -> None:
    computed(shop, tuple(range(60)), model=model)

    assert runs[0].n_alone <= 3


@pytest.mark.parametrize("terms", [("neighbours_recent",), ("content",), ("neighbours", "factors", "content")])
def test_hardly_anybody_is_asked_alone_by_a_sum(
    shop: Published, runs: list[BlockRun], terms: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = with_content(shop, {"blend": dict.fromkeys(terms, 1.0)})
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: bundle)
    computed(shop, tuple(range(60)), model="blend")

    assert runs[0].n_alone <= 3
    some = (0, 5, 7, 8, 20, 57)
    assert stored(shop, some) == asked_alone(shop, bundle, "blend", some)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scores.TOLERANCE", 1.0),  # no ranking is certain
        ("reasons.CLOSE", 1e3),  # no explanation is
        ("run.MAX_EVENTS", 4),  # almost everybody has too many events
        ("lists.EXHAUSTIVE_UP_TO", 0),  # and no index, so everything is scored together all the same
        ("run.MAX_BLOCK", 1),
        ("run.MAX_BLOCK_EVENTS", 1),
        ("run.BLOCK_BYTES", 1),
    ],
)
def test_bounds_decide_how_it_is_computed_and_not_what(
    shop: Published, name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{BATCH}.{name}", value)
    computed(shop)

    assert stored(shop) == asked_alone(shop, shop.load())


@pytest.mark.parametrize("model", ["NeuMF", "ENCM"])
@pytest.mark.parametrize("n_users", [3, 100])
def test_parts_that_fit_into_the_cache_change_nothing(
    shop: Published, model: str, n_users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{BATCH}.scores.TILE_USERS", n_users)
    monkeypatch.setattr(f"{BATCH}.scores.TILE_ITEMS", 7)
    monkeypatch.setattr(f"{BATCH}.tables.ITEMS_AT_ONCE", 2)
    computed(shop, model=model)

    assert stored(shop) == asked_alone(shop, shop.load(), model)


def test_garbage_is_collected_as_before_after_a_run(shop: Published) -> None:
    before = gc.get_threshold()
    during: list[int] = []
    computed(shop, model="popularity", progress=lambda *_: during.append(gc.get_threshold()[0]))

    assert gc.get_threshold() == before
    assert during[0] > before[0]


def test_a_scorer_that_fails_lets_others_answer(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        n_items = 36

        def score(self, *_: Any) -> Any:
            raise ValueError("broken")

    bundle = shop.load(**{shop.load().priors.best: Broken()})
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: bundle)
    computed(shop)

    assert stored(shop) == asked_alone(shop, bundle)


def test_shards_share_the_users_out_and_count_them_once(shop: Published) -> None:
    results = [computed(shop, None, model="popularity", shard=(part, 3)) for part in range(3)]

    assert sum(result.n_users for result in results) == len(EVERYBODY)
    assert all(
        result.n_users == sum(shard_of(user, 3) == part for user in EVERYBODY) for part, result in enumerate(results)
    )
    assert all(stored(shop, EVERYBODY).values())


def test_a_segment_may_be_written_as_text_in_any_order_and_twice(shop: Published) -> None:
    assert computed(shop, ("7", 5, "5", 999_999))[:2] == (3, 3)  # type: ignore[arg-type]
    assert stored(shop, (999_999,))[999_999][0][5] == "popularity_recent"
    assert segment_name([5, 7]) == segment_name(["7", "5", "5"]) != segment_name([5])


def test_an_empty_segment_is_no_error(shop: Published) -> None:
    assert computed(shop, ())[:2] == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "xml"}, "`to` should be one of table, jsonl, parquet. Received: 'xml'."),
        ({"limit": 0}, "`limit` should be a whole number from 1 to 100. Received: 0."),
        ({"limit": 101}, "`limit` should be a whole number from 1 to 100. Received: 101."),
        ({"shard": (3, 3)}, r"`shard` should be a part from 0, and the number of parts. Received: (3, 3)."),
        ({"shard": (0, 0)}, r"`shard` should be a part from 0, and the number of parts. Received: (0, 0)."),
        ({"model": "bmf"}, "Received: 'bmf'."),
        ({"users": ("07",)}, "`users` should hold ids of the shop, whole numbers. Received: '07'."),
    ],
)
def test_arguments_out_of_their_range_are_refused(shop: Published, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        computed(shop, options.pop("users", SOME), **options)

    assert message in str(refused.value)


def test_progress_counts_users_up_to_all(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{BATCH}.run.MAX_BLOCK", 4)
    steps: list[tuple[int, int]] = []
    computed(shop, progress=lambda done, of: steps.append((done, of)), model="popularity")

    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_items_are_looked_up_once_a_minute(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[int] = []
    real = store.products
    monkeypatch.setattr(store, "products", lambda *given: looked_up.append(len(given[2])) or real(*given))
    monkeypatch.setattr(f"{BATCH}.run.MAX_BLOCK", 2)
    seconds: Iterator[int] = iter(range(0, 6000, 30))
    recommend_all(shop.settings, users=(5, 7, 8, 20), limit=LIMIT, model="popularity", now=lambda: NOW + next(seconds))
    first = looked_up.copy()
    looked_up.clear()
    seconds = iter(range(0, 6000, 60))
    recommend_all(shop.settings, users=(5, 7, 8, 20), limit=LIMIT, model="popularity", now=lambda: NOW + next(seconds))

    assert sum(first) < sum(looked_up)


def test_infinite_scores_are_asked_alone_and_not_written(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = shop.load()
    monkeypatch.setattr(f"{BATCH}.scores.score_block", lambda *given: score_block(*given) * math.nan)
    monkeypatch.setattr(f"{BATCH}.run.load", lambda _: bundle)
    computed(shop)

    assert stored(shop) == asked_alone(shop, bundle)


def test_an_id_that_stands_for_guests_gets_no_list(published: Published) -> None:
    bundle = published.load()
    with store.connect(published.url) as db:
        shop = published.settings.shop
        everybody = users_to_answer(db, shop, bundle, None, (0, 1))
        persons = users_to_answer(db, shop, replace(bundle, guests=frozenset({7})), None, (0, 1))

    assert everybody.keys() - persons.keys() == {7}
