"""What Keras trained is what NumPy serves: the same scores from the same file, read both ways."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
from checkerboard import CUT, DAY, N_ITEMS, N_USERS, question
from numpy.typing import NDArray

from recsys.artifacts import Draft, open_version
from recsys.networks import NETWORKS, Network, Past
from recsys.ranking import top_k
from recsys.scorers import REGISTRY, Query, Scorer
from recsys.training.stages import Stage

OWN_WEIGHTS = np.array([[0.5, 2.0], [4.0, 1.0]], np.float32)  # repeats hidden, repeats allowed
TOLERANCE = 1e-5
UNKNOWN = (4, 4, 2, 3)  # time_of_day, season, device_type, category


@dataclass(frozen=True)
class Pair:
    """One trained network, read from its file by Keras and by NumPy."""

    network: Network
    scorer: Scorer
    path: Path


@pytest.fixture(scope="module")
def pairs(board: Stage, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Pair]:
    models_dir = tmp_path_factory.mktemp("models")
    with Draft.create(models_dir, CUT) as draft:
        for name, network in board.networks.items():
            copy = NETWORKS[name](network.shapes, seed=1)
            for table, values in network.arrays().items():
                copy.tables[table].assign(values)
            copy.tables["own_weights"].assign(OWN_WEIGHTS)
            copy.save_weights(draft.path(f"{name}.weights.h5"))
        version_name = draft.publish({})
    pairs = {}
    with open_version(models_dir, version_name) as version:
        for name, network in board.networks.items():
            fresh = NETWORKS[name](network.shapes, seed=99)
            fresh.load_weights(version.file(f"{name}.weights.h5"))
            arrays = version.arrays(f"{name}.weights.h5", memory_map=True)
            scorer = REGISTRY[name].load({key.removeprefix("vars/"): array for key, array in arrays.items()})
            pairs[name] = Pair(fresh, scorer, version.file(f"{name}.weights.h5"))
    return pairs


@pytest.fixture(params=NETWORKS)
def pair(request: pytest.FixtureRequest, pairs: Mapping[str, Pair]) -> Pair:
    return pairs[request.param]


def keras_scores(network: Network, asked: Query) -> NDArray[np.float32]:
    """Return what the network says of the whole catalogue, the own-count terms written out by hand."""
    n_events = max(len(asked.items), 1)  # a guest's row holds one padding event
    past = Past(
        users=tf.constant([asked.user], tf.int32),
        items=tf.constant(np.resize(asked.items, (1, n_events)) if len(asked.items) else [[0]], tf.int32),
        weights=tf.constant(np.resize(asked.weights, (1, n_events)) if len(asked.items) else [[0.0]], tf.float32),
        before=tf.constant([[len(asked.items) - 1]], tf.int32),
        contexts=tf.constant(asked.context[None, None], tf.int32),
        known=tf.ones((1, 1)),
    )
    counted, fading = network.tables["own_weights"].numpy()[1 if asked.repeats else 0]
    own = np.zeros((1, 1, N_ITEMS), np.float32)
    for item in set(asked.items.tolist()):
        mine = [n for n, other in enumerate(asked.items) if other == item]
        count = sum(max(asked.weights[n], 0.0) for n in mine)
        decayed = sum(max(asked.weights[n], 0.0) * 0.5 ** ((asked.now - asked.timestamps[n]) / DAY / 60) for n in mine)
        own[0, 0, item] = counted * math.log(1 + count) + fading * decayed
    candidates = np.arange(N_ITEMS, dtype=np.int32)[None, None]
    return network(past, tf.constant(candidates), tf.constant(own)).numpy()[0, 0]


def long_history(n_events: int) -> Query:
    """Return a question with views, carts, purchases and bad ratings, one an hour, items coming again and again."""
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


def known(board: Stage) -> Query:
    return question(board, 6, context=(0, 3, 1, 2))


def guest() -> Query:
    nothing = np.zeros(0, np.int32)
    return Query(N_USERS, nothing, nothing.astype(np.float32), nothing.astype(np.int64), np.array([2, 1, 0, 0], np.int32), CUT)


def again(board: Stage) -> Query:
    """Return a question of a customer who had three of her items again lately."""
    asked = known(board)
    return replace(
        asked,
        items=np.append(asked.items, asked.items[:3]),
        weights=np.append(asked.weights, asked.weights[:3]),
        timestamps=np.append(asked.timestamps, CUT - np.array([3 * DAY, 2 * DAY, DAY])),
    )


def first_event(board: Stage) -> Query:
    asked = known(board)
    return replace(asked, items=asked.items[:1], weights=asked.weights[:1], timestamps=asked.timestamps[:1])


CASES: dict[str, Callable[[Stage], Query]] = {
    "with history": known,
    "a guest without history": lambda board: guest(),
    "a known user without history": lambda board: replace(guest(), user=6),
    "an unseen user with history": lambda board: replace(known(board), user=N_USERS),
    "unknown context": lambda board: replace(known(board), context=np.array(UNKNOWN, np.int32)),
    "a guest in unknown context": lambda board: replace(guest(), context=np.array(UNKNOWN, np.int32)),
    "had again, repeats hidden": again,
    "had again, repeats allowed": lambda board: replace(again(board), repeats=True),
    "one event": first_event,
    "as long as the window": lambda board: long_history(8),
    "longer than the window": lambda board: long_history(9),
    "the longest history": lambda board: long_history(500),
    "nothing but dislikes": lambda board: replace(long_history(20), weights=np.full(20, -0.5, np.float32)),
}


@pytest.mark.parametrize("case", CASES)
def test_keras_and_numpy_agree(pair: Pair, board: Stage, case: str) -> None:
    asked = CASES[case](board)
    expected, scores = keras_scores(pair.network, asked), pair.scorer.score(asked)

    np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)
    assert top_k(scores, N_ITEMS).tolist() == top_k(expected, N_ITEMS).tolist()


def test_what_the_cases_vary_changes_the_scores(pair: Pair, board: Stage) -> None:
    """Parity of what never changes would prove nothing."""
    history, hidden = (pair.scorer.score(ask(board)) for ask in (known, again))

    assert not np.allclose(history, pair.scorer.score(replace(guest(), context=known(board).context)), atol=0.1)
    assert not np.allclose(history, hidden, atol=0.1)
    assert not np.allclose(hidden, pair.scorer.score(replace(again(board), repeats=True)), atol=0.1)


def test_context_matters_to_encm_alone(pairs: Mapping[str, Pair], board: Stage) -> None:
    asked, unknown = known(board), replace(known(board), context=np.array(UNKNOWN, np.int32))
    moved = {name: float(np.abs(pair.scorer.score(asked) - pair.scorer.score(unknown)).max()) for name, pair in pairs.items()}

    assert moved.pop("ENCM") > 0.05
    assert moved == {"LNCM": 0.0, "NeuMF": 0.0, "BMF": 0.0}


def test_both_rules_read_their_own_row_of_the_own_weights(pair: Pair, board: Stage) -> None:
    """λ₁·log(1 + count) + λ₂·decayed count, rows hidden and allowed, on an item had once, a day ago, with weight 1."""
    asked = replace(known(board), timestamps=np.array([CUT - DAY]), items=np.array([3], np.int32), weights=np.ones(1, np.float32))
    gain = pair.scorer.score(replace(asked, repeats=True))[3] - pair.scorer.score(asked)[3]

    assert gain == pytest.approx((4.0 - 0.5) * math.log(2) + (1.0 - 2.0) * 0.5 ** (1 / 60), abs=1e-4)


def test_the_file_holds_each_weight_once_under_our_own_names(pair: Pair) -> None:
    with h5py.File(pair.path, "r") as file:
        stored = dict(file["vars"].items())

        assert set(stored) == set(pair.network.tables)
        for name, dataset in stored.items():
            assert dataset.chunks is None, f"{name} should lie contiguous, so that it can be memory-mapped"
            assert dataset.compression is None
            assert dataset.dtype == np.float32
            if dataset.size > 1:
                assert dataset.id.get_offset() is not None


def test_weights_of_another_shape_are_refused_by_keras(pair: Pair) -> None:
    smaller = type(pair.network)(replace(pair.network.shapes, n_items=N_ITEMS - 1), seed=1)

    with pytest.raises(ValueError, match="shape"):
        smaller.load_weights(pair.path)
