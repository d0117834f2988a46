"""Keras and NumPy give the same scores from the same files, and features equal sums over single events."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.artifacts import Draft, open_version
from recsys.evaluation.ranking import top_k
from recsys.features.features import NAMES
from recsys.features.query import Arrays, Query
from recsys.networks.base import Network, UserBatch
from recsys.networks.fit import NETWORKS
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.lncm import BLOCKS
from recsys.scorers.registry import REGISTRY
from recsys.training.fitting import FittedModels, load_features
from tests.helpers.checkerboard import CUT, DAY, ENSEMBLE_WEIGHTS, FAST, N_ITEMS, N_USERS, query_at_cut

TOLERANCE = 1e-5
UNKNOWN = (4, 4, 2, 3)  # time_of_day, season, device_type, category
READS_CONTEXT = {  # one row for each model
    "ENCM": True,
    "LNCM": False,
    "NeuMF": False,
    "BMF": False,
}
HALF_LIVES = {"popularity": math.inf, "popularity_60d": 60, "popularity_15d": 15, "popularity_7d": 7}  # days


@dataclass(frozen=True)
class Pair:
    """A trained network, read from its file by Keras and by NumPy."""

    network: Network
    scorer: LinearEnsemble
    path: Path


@pytest.fixture(scope="module")
def pairs(board: FittedModels, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Pair]:
    models_dir = tmp_path_factory.mktemp("models")
    with Draft.create(models_dir, CUT) as draft:
        for name, network in board.networks.items():
            network.save_weights(draft.path(f"{name}.weights.h5"))
        draft.write_arrays("ease.h5", board.baselines["ease"])
        draft.write_arrays("signals.h5", board.features)
        version_name = draft.publish({})
    pairs = {}
    with open_version(models_dir, version_name) as version:
        features = load_features({"ease": version.arrays("ease.h5")}, version.arrays("signals.h5"))
        for name, network in board.networks.items():
            fresh = NETWORKS[name](network.shapes, seed=99)
            fresh.load_weights(version.file(f"{name}.weights.h5"))
            arrays = version.arrays(f"{name}.weights.h5")
            scorer = REGISTRY[name].build({key.removeprefix("vars/"): array for key, array in arrays.items()}, features)
            assert isinstance(scorer, LinearEnsemble)
            pairs[name] = Pair(fresh, scorer, version.file(f"{name}.weights.h5"))
    return pairs


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest, pairs: Mapping[str, Pair]) -> Pair:
    return pairs[request.param]


def keras_logits(network: Network, query: Query) -> NDArray[np.float64]:
    """Return the logits of the network alone for the whole catalogue, by Keras."""
    n_events = max(len(query.items), 1)  # the window of an empty history has one padding event
    user_batch = UserBatch(
        users=tf.constant([query.user], tf.int32),
        items=tf.constant(np.resize(query.items, (1, n_events)) if len(query.items) else [[0]], tf.int32),
        weights=tf.constant(np.resize(query.weights, (1, n_events)) if len(query.items) else [[0.0]], tf.float32),
        history_end=tf.constant([[len(query.items) - 1]], tf.int32),
        contexts=tf.constant(query.context[None, None], tf.int32),
        user_known=tf.ones((1, 1)),
    )
    candidates = np.arange(N_ITEMS, dtype=np.int32)[None, None]
    return network(user_batch, tf.constant(candidates)).numpy()[0, 0].astype(np.float64)


def features_by_hand(board: FittedModels, query: Query) -> NDArray[np.float64]:
    """Return the features `NAMES`, `(13, n_items)`, computed event by event."""
    features = {name: np.zeros(N_ITEMS) for name in NAMES}
    ease, transitions = dense(board.baselines["ease"], ""), dense(board.features, "transitions/")
    content = dense(board.features, "content/")
    sums: dict[int, list[float]] = {}
    for item, weight, moment in zip(
        query.items.tolist(), query.weights.tolist(), query.timestamps.tolist(), strict=True
    ):
        age, days = len({later for later in query.timestamps.tolist() if later > moment}), (query.now - moment) / DAY
        liked = max(weight, 0.0)
        features["neighbours_recent"] += liked * 0.9**age * ease[item]
        features["transitions"] += liked * 0.8**age * transitions[item]
        features["content"] += liked * 0.9**age * content[item]
        item_sums = sums.setdefault(item, [0.0, 0.0, 0.0])
        for n, half_life in enumerate((math.inf, 60, 15)):
            item_sums[n] += liked * 0.5 ** (days / half_life)
    for item, (count, count_60d, count_15d) in sums.items():
        features["neighbours"] += min(count, 1) * ease[item]
        features["own"][item] = count > 0
        features["own_count"][item], features["own_60d"][item] = math.log(1 + count), math.log(1 + count_60d)
        features["own_15d"][item] = math.log(1 + count_15d)
    if query.user < N_USERS:
        item_factors = board.features["item_factors"].astype(np.float64)
        features["factors"] += item_factors @ board.features["user_factors"][query.user]
    for name, half_life in HALF_LIVES.items():
        sold = np.zeros(N_ITEMS)
        for item, weight, moment in zip(board.data.items, board.data.weights, board.data.timestamps, strict=True):
            sold[item] += max(weight, 0.0) * 0.5 ** ((board.data.timestamps.max() - moment) / DAY / half_life)
        features[name] += np.log(1 + sold)
    return np.stack([features[name] for name in NAMES])


def dense(arrays: Arrays, prefix: str) -> NDArray[np.float64]:
    """Return the arrays of `Neighbours` as a dense matrix, `(n_items, n_items)`."""
    matrix, starts = np.zeros((N_ITEMS, N_ITEMS)), arrays[f"{prefix}starts"]
    for item in range(N_ITEMS):
        span = slice(starts[item], starts[item + 1])
        matrix[item, arrays[f"{prefix}neighbours"][span]] = arrays[f"{prefix}similarities"][span]
    return matrix


def total(pair: Pair, board: FittedModels, query: Query) -> NDArray[np.float64]:
    """Return the expected scores: features by hand and logits of Keras, weighted by the row of the repeat rule."""
    *weights, network_weight = (
        pair.network.tables["signal_weights"].numpy().astype(np.float64)[1 if query.repeats else 0]
    )
    return np.array(weights) @ features_by_hand(board, query) + network_weight * keras_logits(pair.network, query)


def long_history(n_events: int) -> Query:
    """Return a query with views, carts, purchases and bad ratings of repeated items, one event an hour."""
    rng = np.random.default_rng(5)
    return Query(
        user=9,
        items=rng.integers(0, N_ITEMS, n_events).astype(np.int32),
        weights=rng.choice(np.array([1.0, 0.7, 0.3, -0.5], np.float32), n_events),
        timestamps=CUT - 3600 * np.arange(n_events, 0, -1),
        context=np.array([1, 2, 0, 1], np.int32),
        now=CUT,
        repeats=True,
    )


def in_baskets(query: Query) -> Query:
    """Return the query with three events at each moment."""
    return query._replace(timestamps=query.timestamps[np.arange(len(query.items)) // 3 * 3])


def known(board: FittedModels) -> Query:
    return query_at_cut(board, 6, context=(0, 3, 1, 2))


def guest() -> Query:
    nothing = np.zeros(0, np.int32)
    return Query(
        N_USERS, nothing, nothing.astype(np.float32), nothing.astype(np.int64), np.array([2, 1, 0, 0], np.int32), CUT
    )


def again(board: FittedModels) -> Query:
    """Return the query of a user with three recent events that repeat items."""
    query = known(board)
    return query._replace(
        items=np.append(query.items, query.items[:3]),
        weights=np.append(query.weights, query.weights[:3]),
        timestamps=np.append(query.timestamps, CUT - np.array([180, 120, 60])),
    )


def first_event(board: FittedModels) -> Query:
    query = known(board)
    return query._replace(items=query.items[:1], weights=query.weights[:1], timestamps=query.timestamps[:1])


CASES: dict[str, Callable[[FittedModels], Query]] = {
    "with history": known,
    "a guest without history": lambda board: guest(),
    "a known user without history": lambda board: guest()._replace(user=6),
    "an unseen user with history": lambda board: known(board)._replace(user=N_USERS),
    "unknown context": lambda board: known(board)._replace(context=np.array(UNKNOWN, np.int32)),
    "a guest in unknown context": lambda board: guest()._replace(context=np.array(UNKNOWN, np.int32)),
    "repeated items, purchases hidden": again,
    "repeated items, repeats allowed": lambda board: again(board)._replace(repeats=True),
    "one event": first_event,
    "as long as the window": lambda board: long_history(FAST.window),
    "longer than the window": lambda board: long_history(FAST.window + 1),
    "as long as both blocks see": lambda board: long_history(BLOCKS * FAST.window),
    "longer than both blocks see": lambda board: long_history(BLOCKS * FAST.window + 1),
    "much longer than both blocks see": lambda board: long_history(5 * FAST.window),
    "the longest history": lambda board: long_history(500),
    "baskets of three": lambda board: in_baskets(long_history(30)),
    "negative events only": lambda board: long_history(20)._replace(weights=np.full(20, -0.5, np.float32)),
}


@pytest.mark.parametrize("case", CASES)
def test_keras_and_numpy_agree(pair: Pair, board: FittedModels, case: str) -> None:
    query = CASES[case](board)
    expected, scores = total(pair, board, query), pair.scorer.score(query)

    np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert top_k(scores, N_ITEMS).tolist() == top_k(expected, N_ITEMS).tolist()


@pytest.mark.parametrize("case", CASES)
def test_the_network_score_agrees_without_the_features(pair: Pair, board: FittedModels, case: str) -> None:
    """Large features might hide a difference between networks in the total."""
    query = CASES[case](board)
    assert pair.scorer.network is not None

    scores = pair.scorer.network.score(query)
    np.testing.assert_allclose(scores, keras_logits(pair.network, query), rtol=TOLERANCE, atol=TOLERANCE)


def test_shared_candidates_score_as_candidates_of_one_user(pair: Pair) -> None:
    """In training, the users of a batch may share the sampled items."""
    rng = np.random.default_rng(3)
    user_batch = UserBatch(
        users=tf.constant([0, 9, N_USERS], tf.int32),
        items=tf.constant(rng.integers(0, N_ITEMS, (3, 6)), tf.int32),
        weights=tf.constant(rng.choice([1.0, 0.3, -0.5], (3, 6)), tf.float32),
        history_end=tf.constant([[5], [2], [-1]], tf.int32),
        contexts=tf.constant(rng.integers(0, 2, (3, 1, 4)), tf.int32),
        user_known=tf.ones((3, 1)),
    )
    shared = tf.constant([7, 0, 3, 7], tf.int32)
    state = [part[:, 0] for part in pair.network.encode(user_batch)]

    np.testing.assert_allclose(
        pair.network.score(state, shared),
        pair.network.score(state, tf.tile(shared[None], (3, 1))),
        rtol=TOLERANCE,
        atol=TOLERANCE,
    )


def test_the_cases_have_different_scores(pair: Pair, board: FittedModels) -> None:
    """Parity of scores that are always the same would prove nothing."""
    history, hidden = (pair.scorer.score(case(board)) for case in (known, again))

    assert not np.allclose(history, pair.scorer.score(guest()._replace(context=known(board).context)), atol=0.1)
    assert not np.allclose(history, hidden, atol=0.1)
    assert not np.allclose(hidden, pair.scorer.score(again(board)._replace(repeats=True)), atol=0.1)


def test_context_changes_the_scores_of_the_models_that_read_it(pairs: Mapping[str, Pair], board: FittedModels) -> None:
    query, unknown = known(board), known(board)._replace(context=np.array(UNKNOWN, np.int32))
    scorers = {name: pair.scorer for name, pair in pairs.items()}
    moved = {name: float(np.abs(one.score(query) - one.score(unknown)).max()) for name, one in scorers.items()}

    assert {name: largest > 0.05 for name, largest in moved.items()} == READS_CONTEXT
    assert {largest for name, largest in moved.items() if not READS_CONTEXT[name]} == {0.0}


def test_each_repeat_rule_has_its_row_of_ensemble_weights(pair: Pair, board: FittedModels) -> None:
    """One event of weight 1, a day ago, gives the `USER_ITEM` features 1, ln 2 and ln(1 + 0.5^(1 / 60 or 15))."""
    query = known(board)._replace(
        timestamps=np.array([CUT - DAY]), items=np.array([3], np.int32), weights=np.ones(1, np.float32)
    )
    is_user_item = np.array([*(name.startswith("own") for name in NAMES), False])
    scorer = replace(pair.scorer, weights=pair.scorer.weights * is_user_item, network=None)
    gain = scorer.score(query._replace(repeats=True))[3] - scorer.score(query)[3]
    hidden, allowed = np.transpose([ENSEMBLE_WEIGHTS[name] for name in ("own", "own_count", "own_60d", "own_15d")])
    values = [1, math.log(2), math.log(1 + 0.5 ** (1 / 60)), math.log(1 + 0.5 ** (1 / 15))]

    assert gain == pytest.approx((allowed - hidden) @ values, abs=1e-5)


def test_the_file_has_each_weight_once_by_its_name(pair: Pair) -> None:
    with h5py.File(pair.path, "r") as file:
        stored = dict(file["vars"].items())

        assert set(stored) == set(pair.network.tables)
        for name, dataset in stored.items():
            assert dataset.chunks is None, f"{name} should be contiguous, so that it can be memory-mapped"
            assert dataset.compression is None
            assert dataset.dtype == np.float32
            if dataset.size > 1:
                assert dataset.id.get_offset() is not None


def test_weights_of_another_shape_are_refused_by_keras(pair: Pair) -> None:
    smaller = type(pair.network)(replace(pair.network.shapes, n_items=N_ITEMS - 1), seed=1)

    with pytest.raises(ValueError, match="shape"):
        smaller.load_weights(pair.path)
