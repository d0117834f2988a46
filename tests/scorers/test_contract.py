"""The contract of all scorers in the registry, on a shop with a known right answer. New scorers are covered, too."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from recsys.artifacts import Draft, open_version
from recsys.data.dataset import Dataset
from recsys.features.features import CONTENT, N_FEATURES
from recsys.features.query import MAX_HISTORY, Query
from recsys.recommending.explain import ensemble_effects
from recsys.scorers.base import Scorer
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.training.fitting import FittedModels, fit_models, load_features
from recsys.training.publishing import write_models
from tests.helpers.checkerboard import (
    CUT,
    DAY,
    FAST,
    N_ITEMS,
    N_USERS,
    START,
    eagerly,
    hyperparameters,
    other_cluster,
    own_cluster,
    query_at_cut,
    withheld,
)

PERSONAL = [name for name, spec in REGISTRY.items() if spec.source != "popularity"]  # scorers that know the clusters
SAMPLE_USERS = (0, 1, 22, 63)


@pytest.fixture(params=REGISTRY)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scorer(name: str, board: FittedModels) -> Scorer:
    return board.scorers[name]


@pytest.fixture(params=PERSONAL)
def personal(request: pytest.FixtureRequest, board: FittedModels) -> Scorer:
    return board.scorers[request.param]


@pytest.fixture(scope="module")
def reopened(board: FittedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scorer]]:
    """All scorers, published and opened again with memory-mapped arrays, which are read-only."""
    models_dir = tmp_path_factory.mktemp("models")
    with Draft.create(models_dir, CUT) as draft:
        write_models(draft, board, hyperparameters().ensemble_weights["blend"])
        version_name = draft.publish({})
    with open_version(models_dir, version_name) as version:
        arrays = {name: dict(version.arrays(f"{name}.h5")) for name in (*board.baselines, "blend")}
        for name in board.networks:
            weights = version.arrays(f"{name.lower()}_model.weights.h5")
            arrays[name] = {key.removeprefix("vars/"): array for key, array in weights.items()}
            if REGISTRY[name].precompute:
                arrays[name] |= version.arrays(f"{name.lower()}_derived.h5")
        features = load_features(arrays, version.arrays("signals.h5"))
        yield {name: REGISTRY[name].build(arrays[name], features) for name in REGISTRY}


def guest(n_users: int = N_USERS, n_features: int = 4) -> Query:
    nothing = np.zeros(0, np.int32)
    unknown = np.array([4, 4, 2, 3], np.int32)[:n_features]
    return Query(n_users, nothing, nothing.astype(np.float32), nothing.astype(np.int64), unknown, CUT)


def test_the_whole_registry_is_fitted(board: FittedModels) -> None:
    assert list(board.scorers) == list(REGISTRY), "recsys.training.fitting should fit every entry of the registry"


@pytest.mark.parametrize("name", [*MODELS, "blend"])
def test_weights_from_before_there_was_content_serve_without_it(name: str, board: FittedModels) -> None:
    scorer = board.scorers[name]
    assert isinstance(scorer, LinearEnsemble)
    arrays = board.networks[name].arrays() if name in MODELS else {}
    precompute = REGISTRY[name].precompute
    arrays = {**arrays, **(precompute(arrays) if precompute else {})}
    old = {name: array for name, array in board.features.items() if not name.startswith("content/")}
    features = load_features(board.baselines, old)
    narrow = np.delete(scorer.weights, CONTENT, axis=1)
    again = REGISTRY[name].build({**arrays, "signal_weights": narrow}, features)

    assert isinstance(again, LinearEnsemble)
    without = scorer.weights * (np.arange(N_FEATURES + 1) != CONTENT)
    np.testing.assert_array_equal(again.weights, without)
    for query in (query_at_cut(board, 0), query_at_cut(board, 1, repeats=True)):
        np.testing.assert_array_equal(again.score(query), replace(scorer, weights=without).score(query))
        assert not np.allclose(again.score(query), scorer.score(query))


def test_the_withheld_item_scores_above_the_other_cluster(personal: Scorer, board: FittedModels) -> None:
    for user in range(N_USERS):
        scores = personal.score(query_at_cut(board, user))

        assert scores[withheld(user)] > scores[other_cluster(user)].max(), f"user {user}"


def test_the_history_of_an_unseen_user_is_enough(personal: Scorer, board: FittedModels) -> None:
    for user in range(N_USERS):
        scores = personal.score(query_at_cut(board, user)._replace(user=N_USERS))

        assert scores[withheld(user)] > scores[other_cluster(user)].max(), f"user {user}"


def test_three_events_are_enough_to_tell_the_cluster(personal: Scorer, board: FittedModels) -> None:
    for user in (0, 1):
        query = query_at_cut(board, user)
        history = {name: getattr(query, name)[:3] for name in ("items", "weights", "timestamps")}
        short = query._replace(user=N_USERS, **history)
        scores = personal.score(short)
        others = np.setdiff1d(own_cluster(user), short.items)

        assert scores[others].mean() > scores[other_cluster(user)].mean()


def test_scores_are_one_finite_float32_for_each_item(scorer: Scorer, board: FittedModels) -> None:
    assert scorer.n_items == N_ITEMS
    for query in (
        query_at_cut(board, 0),
        query_at_cut(board, 1, repeats=True),
        query_at_cut(board, 0)._replace(user=N_USERS),
        guest(),
    ):
        scores = scorer.score(query)

        assert (scores.dtype, scores.shape) == (np.float32, (N_ITEMS,))
        assert np.isfinite(scores).all()


def test_chosen_items_score_as_in_the_whole_catalogue(scorer: Scorer, board: FittedModels) -> None:
    items = np.array([7, 0, 15, 7], np.int32)  # in any order, one repeated
    for query in (*(query_at_cut(board, user, repeats=True) for user in SAMPLE_USERS), guest()):
        np.testing.assert_allclose(scorer.score(query, None, items), scorer.score(query)[items], rtol=1e-5, atol=1e-6)
        assert scorer.score(query, None, items[:0]).shape == (0,)
        assert scorer.score(query, None, items).dtype == np.float32


def test_equal_queries_have_equal_scores(scorer: Scorer, board: FittedModels) -> None:
    first = scorer.score(query_at_cut(board, 5))
    scorer.score(query_at_cut(board, 6))

    np.testing.assert_array_equal(scorer.score(query_at_cut(board, 5)), first)


def test_scores_belong_to_the_caller(scorer: Scorer, board: FittedModels) -> None:
    first = scorer.score(guest())
    expected = first.copy()
    first[:] = -1.0

    np.testing.assert_array_equal(scorer.score(guest()), expected)


def test_scoring_does_not_change_the_query(scorer: Scorer, board: FittedModels) -> None:
    query = query_at_cut(board, 3, repeats=True)
    arrays = [value for value in query if isinstance(value, np.ndarray)]
    copies = [array.copy() for array in arrays]
    scorer.score(query)
    scorer.score(query, None, np.array([1, 2], np.int32))

    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_a_published_scorer_gives_the_same_scores(
    name: str, scorer: Scorer, reopened: dict[str, Scorer], board: FittedModels
) -> None:
    for query in (*(query_at_cut(board, user, repeats=True) for user in SAMPLE_USERS), guest()):
        np.testing.assert_array_equal(reopened[name].score(query), scorer.score(query))


def test_the_arrays_of_a_query_may_be_read_only(name: str, reopened: dict[str, Scorer], board: FittedModels) -> None:
    query = query_at_cut(board, 2, repeats=True)
    for value in query:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False

    assert np.isfinite(reopened[name].score(query)).all()


@pytest.fixture(scope="module")
def one_item(board: FittedModels) -> dict[str, Scorer]:
    """All scorers fitted on three users and one item."""
    data = Dataset(
        users=np.array([0, 1, 1, 2], np.int32),
        items=np.zeros(4, np.int32),
        weights=np.array([1.0, 0.3, 1.0, 0.7], np.float32),
        confidences=np.array([1.0, 0.3, 1.0, 0.7], np.float32),
        timestamps=np.array([START, START, START + DAY, START], np.int64),
        purchases=np.array([True, False, True, False]),
        contexts=np.zeros((4, 2), np.int32),
        n_users=3,
        n_items=1,
        context_sizes=(2, 1),
    )
    options = replace(FAST, epochs=1)
    with eagerly():
        return dict(fit_models(board.encoders, data, options, hyperparameters(options), lambda epoch: None).scorers)


def test_a_catalogue_of_one_item_is_ranked(name: str, one_item: dict[str, Scorer]) -> None:
    known = Query(
        1,
        np.zeros(2, np.int32),
        np.ones(2, np.float32),
        np.array([START, START + DAY]),
        np.zeros(2, np.int32),
        CUT,
        True,
    )
    for query in (known, guest(3, 2)._replace(context=np.array([1, 0], np.int32))):
        scores = one_item[name].score(query)

        assert scores.shape == (1,)
        assert np.isfinite(scores).all()


def test_a_query_without_an_item_lacks_all_its_events(board: FittedModels) -> None:
    for query in (query_at_cut(board, user, repeats=True) for user in SAMPLE_USERS):
        for item in query.items[:3].tolist():
            less = query.without(item)

            assert item not in less.items
            assert len(less.items) == len(less.weights) == len(less.timestamps) < len(query.items)


def test_features_that_are_given_are_those_that_a_scorer_computes(scorer: Scorer, board: FittedModels) -> None:
    ensemble = board.scorers["blend"]
    assert isinstance(ensemble, LinearEnsemble)
    for items in (None, np.array([3, 0, 7], np.int32)):
        query = query_at_cut(board, 3, repeats=True)
        shared = ensemble.features.compute(query, items)
        np.testing.assert_array_equal(scorer.score(query, shared, items), scorer.score(query, None, items))


HISTORIES = {
    "usual": [3, 1, 4, 1, 5, 9, 2, 6],
    "one item": [3],
    "one item twice": [3, 3],
    "longer than two windows": [n * n % 7 for n in range(60)],
    "as long as can be": [n * n % 7 for n in range(MAX_HISTORY)],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("moments", ["apart", "in baskets"])
@pytest.mark.parametrize("name", [*MODELS, "blend"])
def test_score_drops_equal_those_of_separate_queries(
    name: str, board: FittedModels, history: list[int], moments: str
) -> None:
    items, scored = np.array(history, np.int32), np.array([3, 0, 7, 3], np.int32)
    times = START + DAY * (np.arange(len(items)) // (1 if moments == "apart" else 3))
    weights = np.array([(1.0, 0.3, 0.0, 0.7, -0.4)[position % 5] for position in range(len(items))], np.float32)
    left_out = list(dict.fromkeys(history))[:4]
    for user in (0, N_USERS):
        context, now = query_at_cut(board, 0).context, int(times[-1]) + 5
        query = Query(user, items, weights, times.astype(np.int64), context, now, repeats=True)
        shortened = [query.without(item) for item in left_out]
        scorer = board.scorers[name]
        assert isinstance(scorer, LinearEnsemble)

        scores = np.stack([scorer.score(variant, None, scored) for variant in (query, *shortened)])
        _, drops = ensemble_effects(scorer, query, scored, left_out)
        others = np.array(left_out)[:, None] != scored  # what an item adds to its own score is left out
        np.testing.assert_allclose(drops[others], (scores[0] - scores[1:])[others], rtol=1e-4, atol=2e-5)
        if scorer.network is not None:
            expected = [scorer.network.score(variant, None, scored) for variant in (query, *shortened)]
            at_once = scorer.network.score(query, None, scored, np.append(-1, left_out)[:, None] != query.items)
            np.testing.assert_allclose(at_once, expected, rtol=1e-4, atol=1e-5)
