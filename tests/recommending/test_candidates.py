"""Retrieval in a very large catalogue: only candidate items are scored, and the answer is that of all items."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.artifacts import DISK, Draft
from recsys.contract import Response
from recsys.contract.request import MAX_LIMIT
from recsys.errors import ModelRefused
from recsys.features.features import FeatureValues
from recsys.features.query import Query
from recsys.recommending import fill as listing
from recsys.recommending import loading
from recsys.recommending import runs as candidates
from recsys.recommending.loading import ModelBundle
from recsys.scorers import retrieval as lists
from recsys.scorers.registry import MODELS
from recsys.store import connect
from recsys.training import ann_index as training
from recsys.training.publishing import publish
from tests.helpers.tiny_shop import LEARNED, NOW, Published, Quiet, Trained, bought, event, shown

N_ITEMS = len(LEARNED)
STRANGER = 1000
SEEN = [{"item_id": 101, "event": "view"}, {"item_id": 104, "event": "cart"}]


@dataclass
class Watching:
    """A scorer that ranks by index, the last item first, and notes what it is asked."""

    asked: list[tuple[Query, NDArray[np.int32] | None]] = field(default_factory=list)
    n_items: int = N_ITEMS

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        self.asked.append((query, items))
        return np.arange(N_ITEMS, dtype=np.float32)[slice(None) if items is None else items]


@pytest.fixture(scope="module")
def indexed(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The tiny shop with a version that has an index, as if its items were many; nobody may change it."""
    shop = trained.published.copy(tmp_path_factory.mktemp("indexed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EXHAUSTIVE_UP_TO", 10)
        with Draft.create(shop.models_dir, NOW) as draft:
            run = replace(trained.run, settings=shop.settings)
            name = publish(run, draft, files=DISK, connect=connect, progress=Quiet()).version
    return Published(shop.folder, str(name))


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let more than ten items be many, and let retrieval return short lists; a request needs twice its limit."""
    monkeypatch.setattr(candidates, "EXHAUSTIVE_UP_TO", 10)
    for name, length in (("NEAREST", 3), ("STRONGEST", 2), ("POPULAR", 2)):
        monkeypatch.setattr(lists, name, length)
    monkeypatch.setattr(listing, "HEADROOM", 0)
    monkeypatch.setattr(listing, "DOUBLINGS", 1)
    yield


def watched(shop: Published) -> tuple[ModelBundle, Watching]:
    watching = Watching()
    return shop.load(NeuMF=watching), watching


def first(watching: Watching) -> NDArray[np.int32]:
    """Return the items that the scorer was first asked to rank."""
    items = watching.asked[0][1]
    assert items is not None
    return items


def runs(answer: Response) -> dict[str, tuple[object, ...]]:
    return {run.model: (run.items, run.metrics, run.basis, run.error) for run in answer.runs}


def test_only_retrieved_items_are_scored(indexed: Published, many: None):
    bundle, watching = watched(indexed)
    answer = indexed.ask(bundle, user_id=7, limit=3, model="NeuMF")
    query, items = watching.asked[0][0], first(watching)

    allowed = bundle.items.active.copy()
    allowed[[item - LEARNED[0] for item in bought(7)]] = False
    assert bundle.candidates is not None
    np.testing.assert_array_equal(items, bundle.candidates.of(query, allowed, [bundle.scorers[bundle.priors.best]]))
    assert 6 <= len(items) < np.count_nonzero(allowed)
    assert shown(answer) == [int(item) + LEARNED[0] for item in items[:-4:-1]]  # the last ones come first
    assert [item.score for item in answer.items] == [1 / (1 + np.exp(-float(item))) for item in items[:-4:-1]]


def test_every_model_ranks_the_same_items_with_the_scores_of_the_whole_catalogue(
    indexed: Published, many: None, monkeypatch: pytest.MonkeyPatch
):
    few = {model: indexed.ask(user_id=7, limit=3, model=model) for model in MODELS}
    monkeypatch.setattr(candidates, "EXHAUSTIVE_UP_TO", N_ITEMS)
    for model, answer in few.items():
        among_all = {item.product_id: item.score for item in indexed.ask(user_id=7, limit=100, model=model).items}
        for item in answer.items:
            assert item.score == pytest.approx(among_all[item.product_id], rel=1e-5)


@pytest.mark.parametrize(
    "fields",
    [{"user_id": 7}, {"interactions": SEEN}, {"op": "similar", "item_id": 101}, {"user_id": 7, "model": "ease"}],
)
def test_if_every_item_is_retrieved_the_answer_is_that_of_the_whole_catalogue(
    indexed: Published, many: None, monkeypatch: pytest.MonkeyPatch, fields: dict[str, object]
):
    for name in ("NEAREST", "STRONGEST", "POPULAR"):
        monkeypatch.setattr(lists, name, N_ITEMS)
    found = indexed.ask(limit=5, **fields)
    monkeypatch.setattr(candidates, "EXHAUSTIVE_UP_TO", N_ITEMS)
    among_all = indexed.ask(limit=5, **fields)

    assert (found.model, shown(found), runs(found)) == (among_all.model, shown(among_all), runs(among_all))
    assert [item.reason for item in found.items] == [item.reason for item in among_all.items]
    assert [item.score for item in found.items] == pytest.approx([item.score for item in among_all.items], rel=1e-5)


def test_similar_items_include_neighbours_by_common_users(indexed: Published, many: None):
    bundle, watching = watched(indexed)
    indexed.ask(bundle, op="similar", item_id=101, limit=3)
    table = bundle.scorers["item_cf"].neighbours
    nearest = [int(item) for item in table.neighbours[table.starts[0] : table.starts[1]] if bundle.items.active[item]]

    assert set(nearest[: lists.STRONGEST]) <= set(first(watching).tolist())


def test_few_eligible_items_are_scored_and_no_others(indexed: Published, many: None):
    bundle, watching = watched(indexed)
    answer = indexed.ask(
        bundle, user_id=7, limit=3, model="NeuMF", candidates=[102, 103, 110, 131, 139, 135], exclude=[110]
    )
    build_item_filter = sorted({102, 103, 131} - bought(7))

    assert [item + LEARNED[0] for item in first(watching).tolist()] == build_item_filter
    assert shown(answer)[: len(build_item_filter)] == build_item_filter[::-1]


def test_no_eligible_item_is_no_error(indexed: Published, many: None):
    bundle, watching = watched(indexed)
    answer = indexed.ask(bundle, user_id=7, filters={"category": "wine"})

    assert first(watching).tolist() == []
    assert answer.items == ()
    assert all(run.error is None for run in answer.runs)


def test_a_catalogue_that_is_not_large_is_scored_as_a_whole(indexed: Published):
    bundle, watching = watched(indexed)
    indexed.ask(bundle, user_id=7, limit=3)

    assert watching.asked[0][1] is None
    assert "candidates" not in vars(bundle)  # nobody pays for opening what is not used


def test_if_too_few_items_are_retrieved_all_are_scored(indexed: Published, many: None):
    bundle, watching = watched(indexed)
    answer = indexed.ask(bundle, user_id=7, limit=20)

    assert watching.asked[0][1] is None
    assert len(answer.items) == 20


def test_a_version_without_an_index_is_scored_as_a_whole(published: Published, many: None):
    bundle, watching = watched(published)
    answer = published.ask(bundle, user_id=7, limit=3)

    assert watching.asked[0][1] is None
    assert answer.warnings == ()


def test_without_the_library_all_items_are_scored_with_a_warning(
    indexed: Published, many: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loading, "installed", lambda: False)
    bundle, watching = watched(indexed)
    answer = indexed.ask(bundle, user_id=7, limit=3)

    assert watching.asked[0][1] is None
    assert answer.warnings == (
        "candidates: every item is scored, because usearch, which reads this version's index, is not installed",
    )


def test_the_recent_holdout_uses_retrieved_items_too(indexed: Published, many: None, tmp_path: Path):
    shop = indexed.copy(tmp_path)
    until = shop.load().data_until
    shop.add([event(STRANGER, 120, "view", until - 60)])
    shop.add([event(STRANGER, item, "purchase", NOW - 60) for item in (101, 105, 131)])
    bundle, watching = watched(shop)
    answer = shop.ask(bundle, user_id=STRANGER, limit=3, model="ENCM")
    [holdout] = [(query, items) for query, items in watching.asked if query.now == until]
    assert holdout[1] is not None and bundle.candidates is not None
    names = [bundle.scorers[bundle.priors.best]]
    expected = bundle.candidates.of(holdout[0], bundle.items.active, names)
    promising = expected if len(expected) >= 10 else np.flatnonzero(bundle.items.active)
    np.testing.assert_array_equal(holdout[1], promising)
    top = [int(item) + LEARNED[0] for item in promising[:-11:-1]]
    metrics = next(run.metrics for run in answer.runs if run.model == "NeuMF")
    assert metrics is not None
    assert metrics.precision10 == pytest.approx(len({101, 105, 131} & set(top)) / 10)


def test_nearest_items_alone_fill_the_longest_list():
    assert lists.NEAREST >= (MAX_LIMIT + listing.HEADROOM) * 2**listing.DOUBLINGS


def test_warming_opens_the_index(indexed: Published):
    bundle = indexed.load()
    bundle.warm()

    assert vars(bundle)["candidates"].search(np.ones(8, np.float32), 3).shape == (3,)


def test_a_changed_index_never_reaches_the_library(indexed: Published, tmp_path: Path):
    shop = indexed.copy(tmp_path)
    path = shop.models_dir / shop.version / "candidates.usearch"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(ModelRefused, match=r"candidates.usearch should have the SHA-256"):
        shop.load()
