"""Windows: in training, a target sees the events strictly before its own second, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.features.query import Query
from recsys.networks.base import Network, Shapes, UserBatch
from recsys.networks.fit import NETWORKS
from recsys.networks.windows import Windows, by_width, windows
from recsys.scorers.layers import UserRepresentation
from tests.helpers.datasets import taken

N_USERS, N_ITEMS, DIM = 7, 30, 4
SIZES = (3, 2)
LENGTHS = (1, 2, 3, 5, 8, 64)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Users with 0, 1, 2, 6, 13, 3 and 40 events; some share a second, in a basket larger than a window, too."""
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
    """Return one user's events with the items 1, 2, 3 …"""
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
    """Return a network with random weights, large enough that different histories have different logits."""
    network = NETWORKS[name](Shapes(N_USERS, N_ITEMS, SIZES, DIM, window, 0.9, 0.5), seed=2)
    rng = np.random.default_rng(8)
    for variable in network.tables.values():
        if variable.trainable:
            variable.assign(rng.normal(size=variable.shape).astype(np.float32))
    return network


def user_batch_of(batch: Windows, known: float = 1.0) -> UserBatch:
    columns = (
        tf.constant(column) for column in (batch.users, batch.items, batch.weights, batch.history_end, batch.contexts)
    )
    return UserBatch(*columns, user_known=tf.fill(batch.history_end.shape, known))


def source_rows(data: Dataset, batch: Windows) -> NDArray[np.int64]:
    """Return the event of each target, `(w, length)`, as windows follow the order of events; -1 for padding."""
    rows = np.full(batch.targets.shape, -1)
    rows[batch.confidences != 0] = np.arange(len(data))
    return rows


def events_before(data: Dataset, row: int) -> list[int]:
    """Return the history of an event: the same user's events in earlier seconds."""
    return [
        other
        for other in range(len(data))
        if data.users[other] == data.users[row] and data.timestamps[other] < data.timestamps[row]
    ]


@pytest.mark.parametrize("length", LENGTHS)
def test_each_event_is_a_target_exactly_once(data: Dataset, length: int) -> None:
    batch = windows(data, length)
    valid = batch.confidences != 0

    assert batch.targets[valid].tolist() == data.items.tolist()
    assert batch.confidences[valid].tolist() == data.confidences.tolist()
    assert batch.contexts[valid].tolist() == data.contexts.tolist()
    assert np.repeat(batch.users, valid.sum(1)).tolist() == data.users.tolist()
    assert valid[:, 0].all(), "no window should be empty"


@pytest.mark.parametrize("length", LENGTHS)
def test_a_target_sees_the_newest_events_strictly_before_its_second(data: Dataset, length: int) -> None:
    batch = windows(data, length)
    rows = source_rows(data, batch)
    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        history = events_before(data, rows[window, column])
        seen = slice(0, batch.history_end[window, column] + 1)
        real = batch.weights[window, seen] != 0
        newest = history[len(history) - int(real.sum()) :]

        assert real.sum() >= min(len(history), length - length // 2)
        assert batch.items[window, seen][real].tolist() == data.items[newest].tolist()
        assert batch.weights[window, seen][real].tolist() == data.weights[newest].tolist()
        assert not real.size or real[-1], "the newest event should not be padding"
        assert not np.diff(real.astype(int)).clip(max=0).any(), "there should be no gap between events"


@pytest.mark.parametrize("length", LENGTHS)
def test_padding_has_weight_0(data: Dataset, length: int) -> None:
    batch = windows(data, length)
    padding = batch.confidences == 0

    assert (batch.history_end[padding] == -1).all()
    assert not batch.targets[padding].any()
    assert not batch.items[batch.weights == 0].any()


def test_a_basket_larger_than_the_window_keeps_its_history() -> None:
    """Two events, then seven in one second, then one, in windows of three."""
    data = history_of(1, 2, 3, 3, 3, 3, 3, 3, 3, 4)
    batch = windows(data, 3)

    assert [row[row > 0].tolist() for row in batch.targets] == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]
    assert batch.items[0].tolist() == [0, 0, 0, 1, 2, 3]
    assert batch.history_end[0].tolist() == [-1, 3, 4]
    assert batch.items[1].tolist() == [1, 2, 3, 4, 5, 6]  # one event of the basket is in the history, unseen
    assert batch.history_end[1].tolist() == [1, 1, 1]
    assert batch.items[2].tolist() == [0, 1, 2, 7, 8, 9]  # four events of the basket are left out
    assert batch.history_end[2].tolist() == [2, 2, 2]
    assert batch.items[3].tolist() == [7, 8, 9, 10, 0, 0]
    assert batch.history_end[3].tolist() == [2, -1, -1]


def test_events_after_a_large_basket_start_a_new_window() -> None:
    data = history_of(1, 3, 3, 3, 3, 4, 4)
    batch = windows(data, 3)

    assert [row[row > 0].tolist() for row in batch.targets] == [[1, 2, 3], [4, 5], [6], [7]]
    assert batch.items[1].tolist() == [0, 0, 1, 4, 5, 0]
    assert batch.history_end[1].tolist() == [2, 2, -1]
    assert batch.items[2].tolist() == [3, 4, 5, 6, 0, 0]
    assert batch.history_end[2].tolist() == [2, -1, -1]
    assert batch.items[3].tolist() == [4, 5, 6, 7, 0, 0]
    assert batch.history_end[3].tolist() == [1, -1, -1]


def test_no_events_make_no_windows(data: Dataset) -> None:
    nothing = taken(data, np.zeros(len(data), bool))

    batch = windows(nothing, 5)

    assert len(batch) == 0
    assert (batch.items.shape, batch.history_end.shape, batch.contexts.shape) == ((0, 10), (0, 5), (0, 5, 2))


def naive_user_representation(network: Network, data: Dataset, user: int, history: list[int]) -> NDArray[np.float64]:
    """Return s_u = p_u + Σ_h Σ_j w_j·γ_h^age(j)·a_j^h by a loop; the newest event has age 0."""
    tables = {name: variable.numpy().astype(np.float64) for name, variable in network.tables.items()}
    user_representation = tables["user_factors"][user].copy()
    for vectors, decay in (("slow_items", 0.9), ("fast_items", 0.5)):
        for position, row in enumerate(history):
            age = len(history) - 1 - position
            user_representation += float(data.weights[row]) * decay**age * tables[vectors][data.items[row]]
    return user_representation


@pytest.mark.parametrize("length", LENGTHS)
def test_the_pooled_history_in_keras_equals_a_plain_loop(data: Dataset, length: int) -> None:
    batch, network = windows(data, length), network_of("BMF", length)
    representations = network.user_representation(user_batch_of(batch)).numpy()
    rows = source_rows(data, batch)
    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        row = rows[window, column]
        history = events_before(data, row)
        n_seen = int((batch.weights[window, : batch.history_end[window, column] + 1] != 0).sum())
        expected = naive_user_representation(network, data, int(data.users[row]), history[len(history) - n_seen :])

        np.testing.assert_allclose(representations[window, column], expected, rtol=1e-4, atol=1e-5)


def test_a_window_longer_than_all_histories_leaves_nothing_out(data: Dataset) -> None:
    batch = windows(data, 64)
    rows = source_rows(data, batch)

    for window, column in zip(*np.nonzero(rows >= 0), strict=True):
        n_seen = int((batch.weights[window, : batch.history_end[window, column] + 1] != 0).sum())

        assert n_seen == len(events_before(data, rows[window, column]))


def pooled(query: Query, vectors: np.ndarray, decay: float) -> np.ndarray:
    """Return the history of a guest, pooled once: the other decay adds zeros."""
    nobody, nothing = np.zeros((0, vectors.shape[1]), np.float32), np.zeros_like(vectors)
    return UserRepresentation(nobody, vectors, nothing, np.array([decay, 0.5], np.float32)).of(query)


def test_the_pooled_history_in_numpy_equals_a_plain_loop(data: Dataset) -> None:
    vectors = np.random.default_rng(4).normal(size=(N_ITEMS, DIM)).astype(np.float32)
    for user in range(N_USERS):
        query = data.query(user, context=np.zeros(2, np.int32), now=100, repeats=False)
        expected = np.zeros(DIM)
        for age, row in enumerate(reversed(range(data.starts[user], data.starts[user + 1]))):
            expected += float(data.weights[row]) * 0.9**age * vectors[data.items[row]]

        np.testing.assert_allclose(pooled(query, vectors, 0.9), expected, rtol=1e-5, atol=1e-5)


def test_a_pooled_history_by_hand() -> None:
    """A view of item 1 counts 0.5², a negative event of item 0 counts 0.5, the newest purchase of item 1 counts 1."""
    vectors = np.array([[10.0, 0.0], [0.0, 1.0]], np.float32)
    query = Query(
        user=0,
        items=np.array([1, 0, 1], np.int32),
        weights=np.array([0.3, -0.5, 1.0], np.float32),
        timestamps=np.array([10, 20, 30]),
        context=np.zeros(0, np.int32),
        now=40,
    )

    assert pooled(query, vectors, 0.5).tolist() == pytest.approx([0.5 * -0.5 * 10, 0.25 * 0.3 + 1.0])


@pytest.mark.parametrize("name", NETWORKS)
def test_later_events_do_not_change_earlier_targets(data: Dataset, name: str) -> None:
    """All events from one second on are changed. Logits of targets up to that second stay; later ones change."""
    length, user, candidates = 5, 6, tf.tile(tf.range(N_ITEMS)[None, None], (1, 5, 1))
    user_events = np.arange(data.starts[user], data.starts[user + 1])
    moment = data.timestamps[user_events[len(user_events) // 2]]
    later = user_events[data.timestamps[user_events] >= moment]
    items, weights = data.items.copy(), data.weights.copy()
    items[later] = (items[later] + 11) % N_ITEMS
    weights[later] = 0.9
    network = network_of(name, length)
    logits = {}
    for label, events in (("before", data), ("after", replace(data, items=items, weights=weights))):
        batch = windows(events, length)
        logits[label] = network(user_batch_of(batch), tf.repeat(candidates, len(batch), axis=0)).numpy()
    rows = source_rows(data, windows(data, length))
    early = (rows >= 0) & (data.timestamps[rows] <= moment)
    late = (rows >= 0) & ~early & (data.users[rows] == user)

    assert early.sum() > 20
    np.testing.assert_array_equal(logits["after"][early], logits["before"][early])
    assert (np.abs(logits["after"][late] - logits["before"][late]).max(-1) > 1e-3).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_other_users_do_not_change_a_users_logits(data: Dataset, name: str) -> None:
    items = np.where(data.users == 4, data.items, (data.items + 7) % N_ITEMS).astype(np.int32)
    network, batch = network_of(name, 5), windows(data, 5)
    user_events = batch.users == 4
    candidates = tf.tile(tf.range(N_ITEMS)[None, None], (len(batch), 5, 1))

    before = network(user_batch_of(batch), candidates).numpy()
    after = network(user_batch_of(windows(replace(data, items=items), 5)), candidates).numpy()

    valid = batch.confidences != 0
    np.testing.assert_array_equal(after[user_events][valid[user_events]], before[user_events][valid[user_events]])


def test_attention_reaches_back_one_window_for_each_block(data: Dataset) -> None:
    """With a window of 5 and two blocks, the latent context after event 20 depends on events 12 to 20."""
    network = network_of("LNCM", 5)
    network.tables["gate"].assign(-200.0)  # σ is 0, so the user representation does not count
    user_events = slice(data.starts[6], data.starts[7])

    def latent(items: NDArray[np.int32]) -> NDArray[np.float32]:
        history = tf.constant(items[None, user_events]), tf.constant(data.weights[None, user_events])
        guest = tf.constant([N_USERS]), *history, tf.constant([[20]]), tf.zeros((1, 1, 2), tf.int32), tf.zeros((1, 1))
        return network.encode(UserBatch(*guest))[0].numpy()[0, 0]

    changed = {}
    for position in range(24):
        items = data.items.copy()
        items[user_events.start + position] = (items[user_events.start + position] + 1) % N_ITEMS
        changed[position] = bool((latent(items) != latent(data.items)).any())

    assert [position for position, differs in changed.items() if differs] == list(range(12, 21))


def test_a_dropped_embedding_does_not_change_the_pooled_history(data: Dataset) -> None:
    batch, network = windows(data, 5), network_of("BMF", 5)
    with_embedding, without = (network.user_representation(user_batch_of(batch, share)).numpy() for share in (1.0, 0.0))
    embedded = network.tables["user_factors"].numpy()[batch.users]

    expected = np.broadcast_to(embedded[:, None], without.shape)
    np.testing.assert_allclose(with_embedding - without, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("n_events", "least", "expected"),
    [
        ((10,), 1, [(0, 10)]),
        ((11,), 1, [(0, 20)]),
        ((3, 15, 30, 60), 1, [(0, 10), (0, 20), (0, 50), (50, 50)]),
        ((3, 3, 15, 30, 60), 2, [(0, 10), (0, 50), (50, 50)]),  # one window of 20 targets joins the next group
        ((3, 15, 30), 9, [(50, 50)]),
    ],
)
def test_windows_are_grouped_by_width_and_lose_nothing(
    n_events: tuple[int, ...], least: int, expected: list[tuple[int, int]]
):
    each = history_of(*range(sum(n_events)))
    users = np.repeat(np.arange(len(n_events)), n_events).astype(np.int32)
    data = replace(each, users=users, n_users=len(n_events))
    all_windows, groups = windows(data, 50), by_width(data, 50, least)
    assert [(group.width - group.targets.shape[1], group.targets.shape[1]) for group in groups] == expected
    targets = np.concatenate([group.targets[group.confidences != 0] for group in groups])
    assert sorted(targets) == sorted(each.items)
    weights = np.concatenate([group.weights[group.weights != 0] for group in groups])
    assert len(weights) == (all_windows.weights != 0).sum()
