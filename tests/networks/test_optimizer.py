"""Lazy Adam: steps by hand, against Keras' Adam for dense gradients, and rows that must not change."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.networks.optimizer import RowAdam, summed

FOREVER = 10**9  # steps, so that the cosine stays near 1 and the warm-up is as long as `warm_up` says
RNG = np.random.default_rng(0)
START = RNG.normal(size=(6, 3)).astype(np.float32)


def row_gradient(indices: list[int], values: NDArray | list) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values, tf.float32), tf.constant(indices, tf.int32), tf.constant(START.shape))


def steady(variable: tf.Variable, rate: float = 0.1, **options: float) -> RowAdam:
    """Return an optimizer with a constant step size."""
    return RowAdam([variable], rate, FOREVER, warm_up=1, **options)


def test_two_steps_by_hand() -> None:
    """m = 0.1·g₁, then 0.09·g₁ + 0.1·g₂; v = 0.001·g₁², then 0.000999·g₁² + 0.001·g₂²; both corrected for bias."""
    weight = tf.Variable([1.0])
    adam = steady(weight)

    adam.apply([tf.constant([2.0])])
    assert weight.numpy() == pytest.approx([1.0 - 0.1], rel=1e-5)  # m̂ = 2, √v̂ = 2
    adam.apply([tf.constant([-1.0])])

    mean, scale = (0.09 * 2 - 0.1) / (1 - 0.81), math.sqrt((0.000999 * 4 + 0.001) / (1 - 0.998001))
    assert weight.numpy() == pytest.approx([0.9 - 0.1 * mean / scale], rel=1e-5)


def test_the_step_size_warms_up_and_falls_along_a_cosine() -> None:
    adam = RowAdam([tf.Variable(0.0)], 0.2, total_steps=40, warm_up=100)  # a tenth of 40 steps at most: 4

    seen = []
    for _ in range(42):
        seen.append(float(adam.rate()))
        adam.apply([tf.constant(1.0)])

    falling = [0.2 * (1 + math.cos(math.pi * step / 40)) / 2 for step in range(40)]
    assert seen[:4] == pytest.approx([falling[0] / 4, falling[1] / 2, falling[2] * 3 / 4, falling[3]])
    assert seen[4:40] == pytest.approx(falling[4:], abs=1e-7)
    assert seen[20] == pytest.approx(0.1)
    assert seen[40:] == pytest.approx([0.0, 0.0], abs=1e-7)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_dense_gradients_give_the_steps_of_keras(weight_decay: float) -> None:
    ours, theirs = tf.Variable(START), keras.Variable(START)
    adam = steady(ours, 0.01, weight_decay=weight_decay)
    other = keras.optimizers.AdamW(0.01, weight_decay=weight_decay) if weight_decay else keras.optimizers.Adam(0.01)

    for gradient in RNG.normal(size=(5, *START.shape)).astype(np.float32):
        adam.apply([tf.constant(gradient)])
        other.apply([tf.constant(gradient)], [theirs])

    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_gradients_of_all_rows_give_the_steps_of_a_dense_gradient(weight_decay: float) -> None:
    by_row, dense = tf.Variable(START), tf.Variable(START)
    one, other = steady(by_row, weight_decay=weight_decay), steady(dense, weight_decay=weight_decay)

    for gradient in RNG.normal(size=(3, *START.shape)).astype(np.float32):
        shuffled = [3, 0, 5, 1, 4, 2]
        one.apply([row_gradient(shuffled, gradient[shuffled])])
        other.apply([tf.constant(gradient)])

    np.testing.assert_allclose(by_row.numpy(), dense.numpy(), rtol=1e-6)


def test_rows_outside_the_batch_do_not_change_a_bit() -> None:
    table = tf.Variable(START)
    adam = steady(table, weight_decay=0.5)
    adam.apply([row_gradient([0, 1, 2, 3, 4, 5], np.ones_like(START))])  # all rows have moments now
    before = table.numpy()

    adam.apply([row_gradient([4, 1], [[1, 2, 3], [4, 5, 6]])])

    after = table.numpy()
    np.testing.assert_array_equal(after[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    assert (after[[1, 4]] != before[[1, 4]]).all()


def test_a_row_continues_from_its_moments() -> None:
    """Row 0 has two steps of gradient 1, with a step of row 1 between, which does not change m = 0.19, v = 0.001999."""
    table = tf.Variable([[0.0], [0.0]])
    adam = steady(table)
    for row in (0, 1, 0):
        adam.apply([tf.IndexedSlices(tf.ones((1, 1)), tf.constant([row]), tf.constant([2, 1]))])

    first = -0.1
    third = -0.1 * (0.19 / (1 - 0.9**3)) / math.sqrt(0.001999 / (1 - 0.999**3))
    assert table.numpy()[0] == pytest.approx([first + third], rel=1e-4)


def test_repeated_rows_are_summed() -> None:
    gradient = summed(row_gradient([4, 1, 4], [[1, 2, 3], [4, 5, 6], [10, 20, 30]]))

    assert gradient.indices.numpy().tolist() == [4, 1]
    assert gradient.values.numpy().tolist() == [[11, 22, 33], [4, 5, 6]]


def test_a_bias_has_rows_of_one_value() -> None:
    bias = tf.Variable([1.0, 2.0, 3.0])
    steady(bias).apply([tf.IndexedSlices(tf.constant([1.0, -3.0]), tf.constant([2, 2], tf.int64), tf.constant([3]))])

    assert bias.numpy() == pytest.approx([1.0, 2.0, 3.1])


def test_a_gradient_of_none_changes_nothing() -> None:
    one, other = tf.Variable([1.0]), tf.Variable([1.0])
    RowAdam([one, other], 0.1, FOREVER, weight_decay=0.1, warm_up=1).apply([None, tf.constant([1.0])])

    assert one.numpy() == [1.0]
    assert other.numpy() == pytest.approx([1.0 - 0.1 - 0.01], rel=1e-5)


def test_a_gradient_of_nan_makes_its_weights_nan() -> None:
    table, bias = tf.Variable(START), tf.Variable([1.0, 2.0])
    RowAdam([table, bias], 0.1, FOREVER).apply([row_gradient([2], [[1, np.nan, 1]]), tf.constant([1.0, np.nan])])

    assert np.argwhere(np.isnan(table.numpy())).tolist() == [[2, 1]]
    assert np.isnan(bias.numpy()).tolist() == [False, True]


def test_a_keras_variable_can_be_trained_in_a_loop_of_a_graph() -> None:
    looped, stepped = keras.Variable(START), tf.Variable(START)
    adam, other = RowAdam([looped], 0.1, 20), RowAdam([stepped], 0.1, 20)

    @tf.function
    def train(steps: tf.Tensor) -> tf.Tensor:
        total = tf.constant(0.0)
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.gather(looped, [step, step, 5]) ** 2)
            adam.apply(tape.gradient(loss, [looped]))
            total += loss
        return total

    train(tf.constant(4))
    for step in range(4):
        other.apply([row_gradient([step, step, 5], 2 * stepped.numpy()[[step, step, 5]])])

    np.testing.assert_allclose(looped.numpy(), stepped.numpy(), rtol=1e-5)


def test_equal_steps_give_equal_bits() -> None:
    tf.config.experimental.enable_op_determinism()  # as `fit` does
    indices, values = RNG.integers(0, 50, 20_000), RNG.normal(size=(20_000, 8)).astype(np.float32)

    def train() -> NDArray:
        table = tf.Variable(tf.ones((50, 8)))
        adam = RowAdam([table], 0.1, 20)
        gradient = tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant([50, 8]))
        step = tf.function(lambda: adam.apply([gradient]))
        for _ in range(3):
            step()
        return table.numpy()

    np.testing.assert_array_equal(train(), train())


def test_a_total_of_0_steps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`total_steps` should be a positive integer. Received: 0."):
        RowAdam([], 0.1, 0)
