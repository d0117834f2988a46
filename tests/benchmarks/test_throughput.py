"""benchmarks/throughput.py: figures by hand, two programs that train the same network on the same samples."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import throughput
from benchmarks.throughput import pairs
from recsys.networks.base import UserBatch
from recsys.networks.fit import NETWORKS, shapes


def test_medians_and_ratios() -> None:
    timed = {"ours": [100.0, 300.0, 200.0], "keras": [10.0, 10.0, 40.0]}

    found = throughput.figures(timed, {"ours": {"first_run_s": 2.0}, "keras": {"drawing_s_an_epoch": 5.0}}, epoch=50)

    assert found["samples_an_epoch"] == 50
    assert found["sides"]["ours"] == {"samples_per_s": 200.0, "least": 100.0, "most": 300.0, "first_run_s": 2.0}
    assert found["sides"]["keras"] == {
        "samples_per_s": 10.0,
        "least": 10.0,
        "most": 40.0,
        "drawing_s_an_epoch": 5.0,
        "samples_per_s_with_drawing": 5.0,  # 50 samples in 5 s, and 5 s for the draws
        "ratio_of_medians": 20.0,
        "median_of_ratios": 10.0,  # of 10, 30 and 5
    }


def test_an_epoch_holds_every_event_and_four_items_against_it() -> None:
    data = throughput.synthetic(1000)

    users, items, labels = throughput.drawn(np.random.default_rng(1), data, negatives=4)

    assert len(users) == len(items) == len(labels) == 5000
    assert (np.bincount(users) == 5 * np.bincount(data.users)).all()
    events = labels == 1
    assert sorted(zip(users[events], items[events], strict=True)) == sorted(zip(data.users, data.items, strict=True))
    assert (labels[~events] == 0).all()
    assert 0 <= items.min() and items.max() < data.n_items
    assert abs(items[~events].mean() / data.n_items - 0.5) < 0.02  # uniform: four standard errors are 0.018
    assert np.mean(labels[:500]) == pytest.approx(0.2, abs=0.1)  # shuffled


def test_keras_trains_the_network_that_we_train() -> None:
    """The weights of ours, put into the layers of theirs, make the same logits."""
    data, rng = throughput.synthetic(100), np.random.default_rng(2)
    ours = NETWORKS["NeuMF"](shapes(data, throughput.OPTIONS), 3)
    arrays = {name: value + rng.normal(0, 0.3, value.shape).astype(np.float32) for name, value in ours.arrays().items()}
    ours.assign_arrays(arrays)
    theirs = throughput.keras_neumf(data.n_users, data.n_items, throughput.OPTIONS.dim)
    for name in ("user_factors", "item_factors", "mlp_users", "mlp_items"):
        theirs.get_layer(name).set_weights([arrays[name]])
    theirs.get_layer("item_bias").set_weights([arrays["item_bias"][:, None]])
    for n in range(3):
        theirs.get_layer(f"mlp_{n}").set_weights([arrays[f"mlp_kernel_{n}"], arrays[f"mlp_bias_{n}"]])
    output = np.concatenate([arrays["dot_output"], arrays["mlp_output"]])
    theirs.get_layer("output").set_weights([output[:, None], arrays["bias"][None]])

    cut = pairs(data)
    past = UserBatch(cut.users, cut.items, cut.weights, cut.history_end, cut.contexts, np.ones((100, 1), np.float32))
    logits = ours(UserBatch(*map(tf.constant, past)), tf.constant(cut.targets[:, None]))

    np.testing.assert_allclose(logits[:, 0], theirs([data.users, data.items]), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_both_sides_run_and_are_tabulated() -> None:
    result = throughput.measure(throughput.synthetic(300), rounds=1, steps=1)

    assert result["samples_an_epoch"] == 1500
    assert set(result["sides"]) == set(throughput.LABELS)
    assert all(side["samples_per_s"] > 0 for side in result["sides"].values())
    assert throughput.table(result).row_count == 3
