"""Content: TF-IDF weights of the items' descriptions, and the hybrid of their ranks with those of a second side."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.data.interactions import Catalogue
from recsys.errors.records import Record
from recsys.features.content import Content
from recsys.features.features import FeatureValues, Neighbours
from recsys.features.query import Floats, Indices, Query
from recsys.scorers.hybrid import Hybrid, reciprocal_ranks
from recsys.scorers.item_item import NeighbourScorer
from recsys.training.closed_form import content as module
from recsys.training.closed_form.content import content, hybrid, similarities

ROWS = [  # id, name, category, brand, price, tags
    (10, "Red cotton shirt", "shirts", "Nord", 10.0, "summer, cotton"),
    (11, "Blue cotton shirt", "shirts", "Nord", 11.0, "summer"),
    (12, "Steel mug", "kitchen", None, 5.0, None),
    (13, "Blue mug", "kitchen", "", np.nan, "blue|"),
    (14, None, None, None, np.nan, None),
]


def catalogue_of(rows: list[tuple], *, described: bool = True) -> Catalogue:
    ids, names, categories, brands, prices, tags = zip(*rows, strict=True)
    return Catalogue(
        np.array(ids, np.int64),
        np.ones(len(ids), bool),
        np.array(categories, object),
        np.array(brands, object),
        np.array(prices, np.float64),
        np.array(names, object) if described else None,
        np.array(tags, object) if described else None,
    )


def query(items: list[int], weights: list[float] | None = None, days: list[int] | None = None) -> Query:
    times = np.array(range(len(items)) if days is None else days, np.int64) * 86_400
    return Query(
        0,
        np.array(items, np.int32),
        np.ones(len(items), np.float32) if weights is None else np.array(weights, np.float32),
        times,
        np.zeros(0, np.int32),
        10**6,
    )


SHOP = catalogue_of(ROWS)
IDS = np.array([10, 11, 12, 13, 14, 99], np.int64)  # 99 is no product of the shop


def test_items_are_like_those_of_which_they_share_words_and_attributes() -> None:
    described = content(SHOP, IDS)

    scores = described.score(query([0]))

    assert (described.n_items, scores.dtype, scores.shape) == (6, np.float32, (6,))
    assert scores[0] == pytest.approx(1)  # the cosine with itself
    assert scores[1] > 0.5  # shirt, cotton, category, brand, summer and the band of the price
    assert scores[[2, 3, 4, 5]].tolist() == [0, 0, 0, 0]
    other = described.score(query([3]))
    assert other[1] > 0 and other[2] > 0  # blue; kitchen and mug
    assert other[4] == other[5] == 0


def test_the_weights_are_those_of_a_hand_worked_tf_idf() -> None:
    rows = [(1, "tea cup", None, None, np.nan, None), (2, "tea pot", None, None, np.nan, None)]
    rows += [(3, "cup", None, None, np.nan, None)]
    described = content(catalogue_of(rows), np.array([1, 2, 3]))

    # Two terms are in two of three items each, so their weights are equal; `pot` is in one item and left out.
    assert described.starts.tolist() == [0, 2, 3, 4]
    np.testing.assert_allclose(described.values, [0.5**0.5, 0.5**0.5, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(described.score(query([0])), [1, 0.5**0.5, 0.5**0.5], rtol=1e-6)
    np.testing.assert_allclose(
        described.score(query([1, 2])), [(1 + 0.9) / (2 * (1 + 0.81)) ** 0.5, 0.669, 0.743], 1e-3
    )


def test_disliked_items_and_older_ones_count_less() -> None:
    described = content(SHOP, IDS)

    np.testing.assert_array_equal(described.score(query([0, 2], [1.0, -0.5])), described.score(query([0])))
    newest = described.score(query([0, 2]))
    assert newest[2] > newest[0]
    same_moment = described.score(query([0, 2], days=[3, 3]))
    assert same_moment[2] == pytest.approx(same_moment[0])


@pytest.mark.parametrize(
    ("rows", "described"),
    [
        (ROWS[4:], True),  # nothing is known of any item
        (ROWS[:1], True),  # one item shares no term with another
        (ROWS[4:], False),  # the mapping has neither names nor tags
    ],
)
def test_without_common_terms_all_items_score_zero(rows: list[tuple], described: bool) -> None:
    nothing = content(catalogue_of(rows, described=described), np.array([10, 14]))

    assert nothing.score(query([0, 1])).tolist() == [0, 0]
    assert nothing.score(query([])).tolist() == [0, 0]
    assert nothing.n_items == 2


def test_an_empty_catalogue_describes_nothing() -> None:
    empty = content(catalogue_of(ROWS).__class__(*[np.zeros(0, t) for t in (int, bool, object, object, float)]), IDS)

    assert (empty.n_items, empty.score(query([0])).any()) == (6, False)


def test_prices_are_cut_into_bands_of_equally_many_items() -> None:
    rows = [(item, None, None, None, float(item), None) for item in range(10)] + [(10, None, None, None, np.nan, None)]
    described = content(catalogue_of(rows), np.arange(11))

    alike = [np.flatnonzero(described.score(query([item]))).tolist() for item in range(11)]
    assert alike == [[0, 1]] * 2 + [[2, 3]] * 2 + [[4, 5]] * 2 + [[6, 7]] * 2 + [[8, 9]] * 2 + [[]]


def dense(described: Content) -> Floats:
    """Return the item-item weights of descriptions as a matrix."""
    matrix, everything = Neighbours.from_arrays(similarities(described)), np.arange(described.n_items, dtype=np.int32)
    return matrix.block(everything, everything)


def test_the_feature_holds_the_cosine_of_each_two_items_and_none_of_an_item_with_itself() -> None:
    described = content(SHOP, IDS)

    cosines = np.stack([described.score(query([item])) for item in range(6)])
    np.fill_diagonal(cosines, 0)
    np.testing.assert_allclose(dense(described), cosines, rtol=1e-6)
    arrays = similarities(described)
    assert (arrays["similarities"] > 0).all()
    assert [arrays[name].dtype for name in ("starts", "neighbours", "similarities")] == [np.int64, np.int32, np.float32]


def test_the_feature_holds_the_most_alike_alone(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    words = np.array(["red", "blue", "tea", "cup", "pot", "mug", "big"])
    rows = [(item, " ".join(words[rng.random(7) < 0.5]), None, None, float(rng.random()), None) for item in range(40)]
    described = content(catalogue_of(rows), np.arange(40))
    everything = dense(described)
    monkeypatch.setattr(module, "MOST_ALIKE", 5)

    kept = dense(described)

    assert (np.count_nonzero(everything, axis=1) > 5).sum() > 20
    np.testing.assert_array_equal(np.count_nonzero(kept, axis=1), np.minimum(np.count_nonzero(everything, axis=1), 5))
    np.testing.assert_array_equal(np.sort(kept)[:, -5:], np.sort(everything)[:, -5:])
    assert ((kept == everything) | (kept == 0)).all()
    arrays = similarities(described)
    spans = zip(arrays["starts"][:-1], arrays["starts"][1:], strict=True)
    assert all((np.diff(arrays["neighbours"][first:last]) > 0).all() for first, last in spans)


@pytest.mark.parametrize("n_items", [0, 1, 3])
def test_without_descriptions_the_feature_holds_nothing(n_items: int) -> None:
    arrays = similarities(Content.nothing(n_items))

    assert arrays["starts"].tolist() == [0] * (n_items + 1)
    assert (len(arrays["neighbours"]), len(arrays["similarities"])) == (0, 0)


def test_the_arrays_of_a_version_are_the_same_descriptions() -> None:
    described = content(SHOP, IDS)
    again = Content.from_arrays(described.arrays)

    np.testing.assert_array_equal(again.score(query([0, 3])), described.score(query([0, 3])))


@pytest.mark.parametrize(
    ("scores", "ranks"),
    [
        ([], []),
        ([3.0], [0]),
        ([1.0, 1.0, 1.0], [1, 1, 1]),
        ([1.0, 3.0, 2.0], [2, 0, 1]),
        ([0.0, 5.0, 0.0, -1.0], [1.5, 0, 1.5, 3]),
        ([-np.float32(3e38), np.float32(3e38)], [1, 0]),
    ],
)
def test_a_value_is_told_by_the_rank_alone(scores: list[float], ranks: list[float]) -> None:
    values = reciprocal_ranks(np.array(scores, np.float32))

    np.testing.assert_allclose(values, 1 / (1 + np.array(ranks, np.float32)), rtol=1e-6)
    assert values.dtype == np.float32


class Fixed(Record):
    """A side that gives every query the same scores."""

    scores: Floats

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def score(self, query: Query, features: FeatureValues | None = None, items: Indices | None = None) -> Floats:
        return self.scores if items is None else self.scores[items]


def mixed(by_content: list[float], collaborative: list[float], weight: float = 0.4) -> Hybrid:
    sides = (Fixed(np.array(scores, np.float32)) for scores in (by_content, collaborative))
    return Hybrid(*sides, np.array([weight, 1 - weight], np.float32))  # type: ignore[arg-type]


LONG = [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    ("history", "best"),
    [(LONG, 0), (LONG[:4], 2), ([0], 2), ([], 2)],
    ids=["five events", "four events", "one event", "a guest"],
)
def test_content_leads_with_fewer_than_five_events(history: list[int], best: int) -> None:
    scorer = mixed([0.0, 0.5, 1.0], [9.0, 5.0, 0.0])

    scores = scorer.score(query(history))

    assert scores.argmax() == best
    share = 0.4 if len(history) >= 5 else 0.6
    values = 1 / (1 + np.arange(3))
    np.testing.assert_allclose(scores, share * values[::-1] + (1 - share) * values, rtol=1e-6)


def test_a_side_that_knows_nothing_leaves_the_order_to_the_other() -> None:
    for history in (LONG, [0]):
        assert np.argsort(-mixed([0, 0, 0], [1, 3, 2]).score(query(history))).tolist() == [1, 2, 0]
        assert np.argsort(-mixed([1, 3, 2], [0, 0, 0]).score(query(history))).tolist() == [1, 2, 0]
        assert np.unique(mixed([0, 0, 0], [1, 1, 1]).score(query(history))).size == 1
        assert mixed([0.3], [7.0]).score(query(history)).tolist() == [1.0]


@pytest.mark.parametrize("weight", [0.0, 1.0, 0.7])
def test_the_larger_weight_of_content_stays_as_it_is(weight: float) -> None:
    content_weight, other = mixed([0], [0], weight).weights_of(5)
    assert (content_weight, other) == pytest.approx((weight, 1 - weight))
    assert mixed([0], [0], weight).weights_of(0)[0] == pytest.approx(max(weight, 1 - weight))


def test_the_collaborative_side_is_ease_of_the_features_or_has_its_own_weights() -> None:
    starts, nothing = np.array([0, 1, 1]), np.zeros(0, np.float32)
    neighbours = Neighbours(starts, np.array([1], np.int32), np.array([2.0], np.float32))
    tie_break = np.array([0, 1e-6], np.float32)
    arrays = {name: getattr(neighbours, name) for name in ("starts", "neighbours", "similarities")}
    baselines = {"ease": {**arrays, "tie_break": tie_break}, "item_cf": {**arrays, "tie_break": tie_break}}
    features = type("Only", (), {"ease": neighbours})()

    for name, is_own in (("ease", False), ("item_cf", True)):
        kept = hybrid(baselines, None, 0.4, name)
        assert ("similarities" in kept) == is_own
        scorer = Hybrid.from_arrays(kept, features)
        assert isinstance(scorer.collaborative, NeighbourScorer)
        assert scorer.score(query([0] * 5)).argmax() == 1
    assert nothing.size == 0
