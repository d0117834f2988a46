"""How fast this machine trains a network now."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

VECTORS, PAIRS, DIM, ROUNDS = 20_000, 65_536, 64, 5


def pace() -> float:
    """Return the seconds that a computation like that of a network takes on this machine now, the least of some rounds.

    It looks up vectors, multiplies matrices and adds vectors up. What a machine does fast with wide instructions alone,
    such as sorting, says nothing about the training of a network: a product and a sort took a fifth of the reference
    where training took 1.6 times as long.
    """
    rng = np.random.default_rng(0)
    table = tf.constant(rng.normal(size=(VECTORS, DIM)), tf.float32)
    layer = tf.constant(rng.normal(size=(DIM, DIM)), tf.float32)
    pairs = tf.constant(rng.integers(VECTORS, size=PAIRS))
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        hidden = tf.tanh(tf.gather(table, pairs) @ layer)
        tf.math.unsorted_segment_sum(tf.nn.softmax(hidden), pairs, VECTORS).numpy()
        taken.append(time.perf_counter() - started)
    return min(taken)
