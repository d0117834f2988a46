"""What a target may see in training: everything strictly before its own second, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Query
from recsys.features.user_vector import pooled
from recsys.networks import NETWORKS, Network, Shapes, UserBatch
from recsys.networks.windows import Windows, windows

N_USERS, N_ITEMS, DIM = 7, 30, 4
SIZES = (3, 2)
LENGTHS = (1, 2, 3, 5, 8, 64)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Users with 0, 1, 2, 6, 13, 3 and 40 events; several in one second, also more of them than a window is long."""
    rng = np.random.default_rng(3)
    counts = (0, 1, 2, 6, 13, 3, 40)
    users = np.repeat(np.arange(N_USERS), counts).astype(np.int32)
    timestamps = np.concatenate([np.sort(rng.integers(0, max(count // 2, 1), count)) for count in counts]).astype(
        np.int64
    )
    timestamps[-9:] = timestamps[-9]  # a basket of nine
    n = len(users)
    return Dataset(
        users=users,
        items=rng.integers(0, N_ITEMS, n).astype(np.int32),
        weights=rng.choice(np.array([1.0, 0.7, 0.3, -0.5], np.float32), n),
        confidences=rng.choice(np.array([1.0, 0.4, -0.2], np.float32), n),
        timestamps=timestamps,
        purchases=np.ones(n, bool),
        contexts=np.stack([rng.integers(0, size, n) for size in SIZES], 1).astype(np.int32),
        n_users=N_USERS,
        n_items=N_ITEMS,
        context_sizes=SIZES,
    )


def history_of(*timestamps: int) -> Dataset:
    """Return one user's events on the items 1, 2, 3 …"""
    n = len(timestamps)
    return Dataset(
        users=np.zeros(n, np.int32),
        items=np.arange(1, n + 1, dtype=np.int32),
        weights=np.ones(n, np.float32),
        confidences=np.ones(n, np.float32),
        timestamps=np.array(timestamps, np.int64),
        purchases=np.ones(n, bool),
        contexts=np.zeros((n, 1), np.int32),
        n_users=1,
        n_items=n + 1,
        context_sizes=(1,),
    )


def network_of(name: str, window: int) -> Network:
    """Return a network with weights large enough to tell any two histories apart."""
    network = NETWORKS[name](Shapes(N_USERS, N_ITEMS, SIZES, DIM, window, 0.9, 0.5), seed=2)
    rng = np.random.default_rng(8)
    for table, variable in network.tables.items():
        if variable.trainable:
            network.tables[table].assign(rng.normal(size=variable.shape).astype(np.float32))
    return network


def past_of(cut: Windows, known: float = 1.0) -> UserBatch:
    columns = (tf.constant(column) for column in (cut.users, cut.items, cut.weights, cut.before, cut.contexts))
    return UserBatch(*columns, known=tf.fill(cut.before.shape, known))


def source_rows(data: Dataset, cut: Windows) -> NDArray[np.int64]:
    """Return `(w, length)` which event each target is, windows following one another as the events do; -1 for padding."""
    rows = np.full(cut.targets.shape, -1)
    rows[cut.confidences != 0] = np.arange(len(data))
    return rows


def events_before(data: Dataset, row: int) -> list[int]:
    """Return the rows that are history when an event is the target, by its user and its second."""
    return [
        other
        for other in range(len(data))
        if data.users[other] == data.users[row] and data.timestamps[other] < data.timestamps[row]
    ]


@pytest.mark.parametrize("length", LENGTHS)
def test_each_event_is_a_target_exactly_once(data: Dataset, length: int) -> None:
    cut = windows(data, length)
    valid = cut.confidences != 0

    assert cut.targets[valid].tolist() == data.items.tolist()
    assert cut.confidences[valid].tolist() == data.confidences.tolist()
    assert cut.contexts[valid].tolist() == data.contexts.tolist()
    assert np.repeat(cut.users, valid.sum(1)).tolist() == data.users.tolist()
    assert valid[:, 0].all(), "no window should be empty"


@pytest.mark.parametrize("length", LENGTHS)
def test_a_target_sees_the_newest_events_strictly_before_its_second(data: Dataset, length: int) -> None:
    cut = windows(data, length)
    rows = source_rows(data, cut)
    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        history = events_before(data, rows[window, column])
        seen = slice(0, cut.before[window, column] + 1)
        real = cut.weights[window, seen] != 0
        newest = history[len(history) - int(real.sum()) :]

        assert real.sum() >= min(len(history), length - length // 2)
        assert cut.items[window, seen][real].tolist() == data.items[newest].tolist()
        assert cut.weights[window, seen][real].tolist() == data.weights[newest].tolist()
        assert not real.size or real[-1], "age 0 should be an event"
        assert not np.diff(real.astype(int)).clip(max=0).any(), "there should be no gap between events"


@pytest.mark.parametrize("length", LENGTHS)
def test_padding_weighs_nothing(data: Dataset, length: int) -> None:
    cut = windows(data, length)
    padding = cut.confidences == 0

    assert (cut.before[padding] == -1).all()
    assert not cut.targets[padding].any()
    assert not cut.items[cut.weights == 0].any()


def test_a_basket_larger_than_the_window_keeps_its_history() -> None:
    """Two events, then seven in one second, then one, in windows of three."""
    data = history_of(1, 2, 3, 3, 3, 3, 3, 3, 3, 4)
    cut = windows(data, 3)

    assert [row[row > 0].tolist() for row in cut.targets] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert cut.items[0].tolist() == [0, 0, 0, 1, 2, 3]
    assert cut.before[0].tolist() == [-1, 3, 4]
    assert cut.items[1].tolist() == [1, 2, 3, 4, 5, 6]  # one of the basket's own is in the context, unseen
    assert cut.before[1].tolist() == [1, 1, 1]
    assert cut.items[2].tolist() == [0, 1, 2, 7, 8, 9]  # four of the basket's own are left out
    assert cut.before[2].tolist() == [2, 2, 2]
    assert cut.items[3].tolist() == [7, 8, 9, 10, 0, 0]
    assert cut.before[3].tolist() == [2, -1, -1]


def test_what_follows_a_large_basket_inside_a_window_starts_a_window_of_its_own() -> None:
    data = history_of(1, 3, 3, 3, 3, 4, 4)
    cut = windows(data, 3)

    assert [row[row > 0].tolist() for row in cut.targets] == [[1, 2, 3], [4, 5], [6], [7]]
    assert cut.items[1].tolist() == [0, 0, 1, 4, 5, 0]
    assert cut.before[1].tolist() == [2, 2, -1]
    assert cut.items[2].tolist() == [3, 4, 5, 6, 0, 0]
    assert cut.before[2].tolist() == [2, -1, -1]
    assert cut.items[3].tolist() == [4, 5, 6, 7, 0, 0]
    assert cut.before[3].tolist() == [1, -1, -1]


def test_no_events_make_no_windows(data: Dataset) -> None:
    nothing = data.take(np.zeros(len(data), bool))

    cut = windows(nothing, 5)

    assert len(cut) == 0
    assert (cut.items.shape, cut.before.shape, cut.contexts.shape) == ((0, 10), (0, 5), (0, 5, 2))


def naive_taste(network: Network, data: Dataset, user: int, history: list[int]) -> NDArray[np.float64]:
    """Return s_u = p_u + Σ_h Σ_j w(event_j)·γ_h^age(j)·a_j^h, written out; age 0 is the newest event of the history."""
    tables = {name: variable.numpy().astype(np.float64) for name, variable in network.tables.items()}
    user_representation = tables["user_factors"][user].copy()
    for vectors, decay in (("slow_items", 0.9), ("fast_items", 0.5)):
        for position, row in enumerate(history):
            age = len(history) - 1 - position
            user_representation += float(data.weights[row]) * decay**age * tables[vectors][data.items[row]]
    return user_representation


@pytest.mark.parametrize("length", LENGTHS)
def test_the_pooled_history_in_keras_equals_a_plain_loop(data: Dataset, length: int) -> None:
    cut, network = windows(data, length), network_of("BMF", length)
    tastes = network.user_representation(past_of(cut)).numpy()
    rows = source_rows(data, cut)
    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        row = rows[window, column]
        history, n_seen = (
            events_before(data, row),
            int((cut.weights[window, : cut.before[window, column] + 1] != 0).sum()),
        )
        expected = naive_taste(network, data, int(data.users[row]), history[len(history) - n_seen :])

        np.testing.assert_allclose(tastes[window, column], expected, rtol=1e-4, atol=1e-5)


def test_a_window_longer_than_all_histories_leaves_nothing_out(data: Dataset) -> None:
    cut = windows(data, 64)
    rows = source_rows(data, cut)

    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        n_seen = int((cut.weights[window, : cut.before[window, column] + 1] != 0).sum())

        assert n_seen == len(events_before(data, rows[window, column]))


def test_the_pooled_history_in_numpy_equals_a_plain_loop(data: Dataset) -> None:
    vectors = np.random.default_rng(4).normal(size=(N_ITEMS, DIM)).astype(np.float32)
    for user in range(N_USERS):
        asked = data.query(user, context=np.zeros(2, np.int32), now=100, repeats=False)
        expected = np.zeros(DIM)
        for age, row in enumerate(reversed(range(data.starts[user], data.starts[user + 1]))):
            expected += float(data.weights[row]) * 0.9**age * vectors[data.items[row]]

        np.testing.assert_allclose(pooled(asked, vectors, 0.9), expected, rtol=1e-5, atol=1e-5)


def test_a_pooled_history_by_hand() -> None:
    """0.5² × view of item 1, 0.5 × dislike of item 0, the newest: a purchase of item 1."""
    vectors = np.array([[10.0, 0.0], [0.0, 1.0]], np.float32)
    asked = Query(
        user=0,
        items=np.array([1, 0, 1], np.int32),
        weights=np.array([0.3, -0.5, 1.0], np.float32),
        timestamps=np.array([10, 20, 30]),
        context=np.zeros(0, np.int32),
        now=40,
    )

    assert pooled(asked, vectors, 0.5).tolist() == pytest.approx([0.5 * -0.5 * 10, 0.25 * 0.3 + 1.0])


@pytest.mark.parametrize("name", NETWORKS)
def test_later_events_leave_earlier_targets_alone(data: Dataset, name: str) -> None:
    """Everything from one second on is exchanged: targets up to that second score as before, some later ones don't."""
    length, user, candidates = 5, 6, tf.tile(tf.range(N_ITEMS)[None, None], (1, 5, 1))
    mine = np.arange(data.starts[user], data.starts[user + 1])
    moment = data.timestamps[mine[len(mine) // 2]]
    later = mine[data.timestamps[mine] >= moment]
    items, weights = data.items.copy(), data.weights.copy()
    items[later] = (items[later] + 11) % N_ITEMS
    weights[later] = 0.9
    network = network_of(name, length)
    logits = {}
    for label, events in (("before", data), ("after", replace(data, items=items, weights=weights))):
        cut = windows(events, length)
        logits[label] = network(past_of(cut), tf.repeat(candidates, len(cut), axis=0)).numpy()
    rows = source_rows(data, windows(data, length))
    early = (rows >= 0) & (data.timestamps[rows] <= moment)
    late = (rows >= 0) & ~early & (data.users[rows] == user)

    assert early.sum() > 20
    np.testing.assert_array_equal(logits["after"][early], logits["before"][early])
    assert (np.abs(logits["after"][late] - logits["before"][late]).max(-1) > 1e-3).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_other_customers_leave_a_customer_alone(data: Dataset, name: str) -> None:
    items = np.where(data.users == 4, data.items, (data.items + 7) % N_ITEMS).astype(np.int32)
    network, cut = network_of(name, 5), windows(data, 5)
    mine = cut.users == 4
    candidates = tf.tile(tf.range(N_ITEMS)[None, None], (len(cut), 5, 1))

    before = network(past_of(cut), candidates).numpy()
    after = network(past_of(windows(replace(data, items=items), 5)), candidates).numpy()

    valid = cut.confidences != 0
    np.testing.assert_array_equal(after[mine][valid[mine]], before[mine][valid[mine]])


def test_attention_reaches_back_one_window_a_block_and_no_further(data: Dataset) -> None:
    """The latent context after event 20 of a customer is made of events 12 … 20 where the window is 5 and there are two blocks."""
    network = network_of("LNCM", 5)
    network.tables["gate"].assign(-200.0)  # σ is 0 then, and the taste is left out
    mine = slice(data.starts[6], data.starts[7])

    def latent(items: NDArray[np.int32]) -> NDArray[np.float32]:
        history = tf.constant(items[None, mine]), tf.constant(data.weights[None, mine])
        nobody = tf.constant([N_USERS]), *history, tf.constant([[20]]), tf.zeros((1, 1, 2), tf.int32), tf.zeros((1, 1))
        return network.encode(UserBatch(*nobody))[0].numpy()[0, 0]

    changed = {}
    for position in range(24):
        items = data.items.copy()
        items[mine.start + position] = (items[mine.start + position] + 1) % N_ITEMS
        changed[position] = bool((latent(items) != latent(data.items)).any())

    assert [position for position, differs in changed.items() if differs] == list(range(12, 21))


def test_a_dropped_embedding_leaves_the_history_alone(data: Dataset) -> None:
    cut, network = windows(data, 5), network_of("BMF", 5)
    known, unknown = (network.user_representation(past_of(cut, share)).numpy() for share in (1.0, 0.0))
    own = network.tables["user_factors"].numpy()[cut.users]

    np.testing.assert_allclose(known - unknown, np.broadcast_to(own[:, None], known.shape), rtol=1e-4, atol=1e-5)
