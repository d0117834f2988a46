"""LNCM's latent context: a block of histories of any length has what each of them has alone."""

from __future__ import annotations

import numpy as np
import pytest

from recsys.features.query import Mask, Query
from recsys.scorers import lncm
from recsys.scorers.lncm import BLOCKS, SequenceEncoder

N_ITEMS, DIM, WINDOW = 12, 8, 5
HISTORIES = {
    "empty": [],
    "one event": [1.0],
    "one event of no weight": [0.0],
    "only events of no weight": [0.0] * 4,
    "the newest of no weight": [1.0, 0.3, 0.0],
    "an old event of no weight": [0.0, 1.0, 0.7, -0.5],
    "as long as the window": [0.7] * WINDOW,
    "the last one that counts": [1.0] * (2 * WINDOW - 1),
    "far longer than the window": [1.0, -0.5, 0.3] * (2 * WINDOW),
    "the window has no weight": [1.0, *[0.0] * (3 * WINDOW)],
}


@pytest.fixture(scope="module")
def encoder() -> SequenceEncoder:
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, DIM**-0.5, shape).astype(np.float32)

    kernels = {name: normal(BLOCKS, DIM, DIM) for name in ("query", "key", "value", "out")}
    return SequenceEncoder(
        item_factors=normal(N_ITEMS, DIM),
        strength=normal(DIM),
        age_bias=normal(BLOCKS, WINDOW),
        **{f"attention_{name}": kernel for name, kernel in kernels.items()},
        gains=1 + normal(BLOCKS, 2, DIM),
        feed_in=normal(BLOCKS, DIM, DIM),
        feed_in_bias=normal(BLOCKS, DIM),
        feed_out=normal(BLOCKS, DIM, DIM),
        feed_out_bias=normal(BLOCKS, DIM),
        last_gain=1 + normal(DIM),
    )


def query_of(weights: list[float]) -> Query:
    n = len(weights)
    items = (5 * np.arange(n) % N_ITEMS).astype(np.int32)
    nothing = np.zeros(0, np.int32)
    return Query(0, items, np.array(weights, np.float32), np.arange(n, dtype=np.int64), nothing, now=n)


def variants(query: Query) -> Mask:
    """Return the masks of the whole history, and without its newest, its oldest and another item."""
    left_out = [-1, *query.items[[-1, 0, len(query.items) // 2]].tolist()] if len(query.items) else [-1] * 4
    return np.array(left_out)[:, None] != query.items


@pytest.mark.parametrize("group", [1, 30, 10_000])
def test_a_block_has_what_each_history_has_alone(
    encoder: SequenceEncoder, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = [query_of(weights) for weights in HISTORIES.values()]
    masks = [variants(query) for query in queries]
    alone = np.concatenate([encoder.encode([query]) for query in queries])
    variants_alone = np.concatenate(
        [encoder.encode([query], [mask]) for query, mask in zip(queries, masks, strict=True)]
    )
    monkeypatch.setattr(lncm, "GROUP", group)

    np.testing.assert_allclose(encoder.encode(queries), alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(queries, masks), variants_alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", HISTORIES)
def test_a_variant_has_what_a_history_without_the_item_has(encoder: SequenceEncoder, name: str) -> None:
    query = query_of(HISTORIES[name])
    masks = variants(query)
    without = [query._replace(items=query.items[mask], weights=query.weights[mask]) for mask in masks]

    np.testing.assert_allclose(encoder.encode([query], [masks])[0], encoder.encode(without), rtol=0, atol=1e-5)
    assert np.isfinite(encoder.encode(without)).all()


def test_an_empty_history_has_zeros_and_others_have_none(encoder: SequenceEncoder) -> None:
    latent = encoder.encode([query_of(weights) for weights in HISTORIES.values()])

    assert (latent.any(1) == [bool(weights) for weights in HISTORIES.values()]).all()


def test_events_beyond_both_windows_are_not_seen(encoder: SequenceEncoder) -> None:
    """Each block looks back one window, from the newest event and from the oldest that the newest one sees."""
    query = query_of([1.0] * 20)
    reach = 2 * WINDOW - 1
    changed = [query.items.copy() for _ in range(2)]
    changed[0][-reach - 1], changed[1][-reach] = 11 - changed[0][-reach - 1], 11 - changed[1][-reach]
    whole, beyond, within = encoder.encode([query, *(query._replace(items=items) for items in changed)])

    np.testing.assert_allclose(beyond, whole, rtol=0, atol=1e-5)
    assert np.abs(within - whole).max() > 1e-4


def test_no_histories_are_no_error(encoder: SequenceEncoder) -> None:
    assert encoder.encode([]).shape == (0, DIM)
