"""The losses of a few targets by hand, and the distribution of negatives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.networks.base import UserBatch
from recsys.networks.fit import NETWORKS
from recsys.networks.losses import Negatives, dropout, loss_of
from recsys.networks.windows import windows
from recsys.settings import Training
from recsys.training.fitting import FittedModels
from tests.helpers.checkerboard import FAST

LOGITS = np.array([[0.5, -1.0, 2.0, 0.1], [1.5, 0.3, -0.7, 0.0]], np.float32)  # of two targets, four items
PLAIN = Training(dropout=0.0, negatives=3, shared_negatives=3)


@dataclass
class FixedLogits:
    """A network with fixed logits, which records the shapes of the items that it scores."""

    per_example_negatives: bool
    logits: NDArray[np.float32] = field(default_factory=LOGITS.copy)
    calls: list[list[int]] = field(default_factory=list)

    def encode(self, user_batch: object, dropout: object) -> Sequence[tf.Tensor]:
        return [tf.reshape(tf.range(len(self.logits)), (-1, 1, 1))]  # (b, 1, 1): the row of each target

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        self.calls.append(items.shape.as_list())
        logits = tf.gather(tf.constant(self.logits), state[0][:, 0])
        return tf.gather(logits, items, axis=1, batch_dims=len(items.shape) - 1)


@dataclass(frozen=True)
class FixedNegatives(Negatives):
    """Fixed negatives: the items 0, 2, 1 for each target."""

    def sample(self, random: tf.random.Generator, shape: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(tf.constant([0, 2, 1]), shape)


FIXED_NEGATIVES = FixedNegatives(None, None, 4)


def loss(
    network: FixedLogits,
    targets: list[int],
    confidences: list[float],
    options: Training = PLAIN,
    negatives: Negatives = FIXED_NEGATIVES,
    seed: int = 1,
) -> float:
    """Return the loss of one target for each user."""
    columns = tf.constant(targets)[:, None], tf.constant(confidences)[:, None]
    return float(loss_of(network, None, *columns, negatives, options, tf.random.Generator.from_seed(seed)))


def softmax(positive: float, *negatives: float) -> float:
    return math.log(sum(math.exp(z) for z in (positive, *negatives))) - positive


def softplus(z: float) -> float:
    return math.log(1 + math.exp(z))


@pytest.mark.parametrize("shared", [False, True])
def test_softmax_leaves_out_a_negative_that_is_the_target(shared: bool) -> None:
    """The first target, item 1, has the negatives 0 and 2; item 3 has 0, 2 and 1. Losses weigh by confidence."""
    first, second = softmax(-1.0, 0.5, 2.0), softmax(0.0, 1.5, -0.7, 0.3)

    assert loss(FixedLogits(not shared), [1, 3], [1.0, 0.3]) == pytest.approx((first + 0.3 * second) / 1.3, rel=1e-5)


@pytest.mark.parametrize("confidence", [-0.5, 0.0], ids=["disliked", "padding"])
def test_softmax_ignores_disliked_items_and_padding(confidence: float) -> None:
    assert loss(FixedLogits(True), [1, 3], [1.0, confidence]) == pytest.approx(softmax(-1.0, 0.5, 2.0), rel=1e-5)


@pytest.mark.parametrize("shared", [False, True])
def test_softmax_of_a_batch_without_liked_items_is_0(shared: bool) -> None:
    assert loss(FixedLogits(not shared), [1, 3], [-1.0, 0.0]) == 0.0


@pytest.mark.parametrize("shared", [False, True])
def test_binary_cross_entropy_of_a_target_and_its_negatives(shared: bool) -> None:
    """The target has label 1, the three negatives label 0, as a mean; a negative that is the target adds 0."""
    options = replace(PLAIN, loss="bce")
    first = softplus(1.0) + (softplus(0.5) + softplus(2.0)) / 3
    second = softplus(-0.0) + (softplus(1.5) + softplus(-0.7) + softplus(0.3)) / 3

    assert loss(FixedLogits(not shared), [1, 3], [1.0, 0.3], options) == pytest.approx(
        (first + 0.3 * second) / 1.3, rel=1e-5
    )


def test_binary_cross_entropy_of_a_disliked_item_has_label_0_and_no_negatives() -> None:
    """Padding does not count."""
    options = replace(PLAIN, loss="bce")

    assert loss(FixedLogits(True), [2, 3], [-0.5, 0.0], options) == pytest.approx(softplus(2.0), rel=1e-5)
    liked = softplus(0.7) + (softplus(1.5) + softplus(0.3)) / 3
    assert loss(FixedLogits(True), [2, 2], [-0.5, 1.0], options) == pytest.approx(
        (0.5 * softplus(2.0) + liked) / 1.5, rel=1e-5
    )


@pytest.mark.parametrize("name", ["softmax", "bce"])
def test_logits_are_corrected_for_the_sampling_probability(name: str) -> None:
    """In training, log(p · n) is subtracted from all logits, including the target's."""
    options, correction = replace(PLAIN, loss=name), np.array([0.2, -0.4, 0.9, 0.0], np.float32)
    corrected = FixedLogits(True, LOGITS - correction)

    expected = loss(corrected, [1, 3], [1.0, 0.3], options)
    assert loss(
        FixedLogits(True), [1, 3], [1.0, 0.3], options, replace(FIXED_NEGATIVES, correction=correction)
    ) == pytest.approx(expected, rel=1e-5)
    assert loss(FixedLogits(True), [1, 3], [1.0, 0.3], options) != pytest.approx(expected, rel=1e-3)


def test_targets_have_negatives_of_their_own_or_share_them() -> None:
    separate, shared = FixedLogits(True), FixedLogits(False)
    options, negatives = replace(PLAIN, negatives=5, shared_negatives=2), Negatives(None, None, 4)
    for network in (separate, shared):
        loss(network, [1, 3], [1.0, 1.0], options, negatives)

    assert separate.calls == [[2, 1 + 5]]
    assert shared.calls == [[2, 1], [2]]


@pytest.mark.parametrize("n_shared", [4, 512])
def test_a_small_catalogue_is_compared_whole(n_shared: int) -> None:
    """No sample is taken, so that its distribution corrects nothing."""
    options = replace(PLAIN, shared_negatives=n_shared)
    negatives = Negatives.of(np.array([9.0, 1.0, 2.0, 5.0], np.float32), replace(options, negative_power=1.0))
    first, second = softmax(-1.0, 0.5, 2.0, 0.1), softmax(0.0, 1.5, 0.3, -0.7)

    found = loss(FixedLogits(False), [1, 3], [1.0, 0.3], options, negatives)

    assert found == pytest.approx((first + 0.3 * second) / 1.3, rel=1e-5)


def test_samples_are_uniform_without_a_power() -> None:
    negatives = Negatives.of(np.array([100.0, 1.0, 0.0, 5.0], np.float32), Training(negative_power=0.0))
    items = negatives.sample(tf.random.Generator.from_seed(1), tf.constant([200, 100])).numpy()

    assert (negatives.steps, negatives.correction) == (None, None)
    assert items.shape == (200, 100)
    assert np.bincount(items.ravel(), minlength=4) / 20_000 == pytest.approx(
        [0.25] * 4, abs=4 * math.sqrt(0.25 * 0.75 / 20_000)
    )


@pytest.mark.parametrize(
    ("power", "shares"), [(1.0, [9 / 12, 1 / 12, 2 / 12]), (0.5, np.array([3, 1, math.sqrt(2)]) / (4 + math.sqrt(2)))]
)
def test_samples_follow_popularity_to_a_power(power: float, shares: Sequence[float]) -> None:
    negatives = Negatives.of(np.array([9.0, 1.0, 2.0], np.float32), Training(negative_power=power))
    items = negatives.sample(tf.random.Generator.from_seed(1), tf.constant([20_000])).numpy()
    logits = tf.constant([[1.0, 1.0, 1.0]])

    assert items.dtype == np.int32
    assert np.bincount(items, minlength=3) / 20_000 == pytest.approx(np.array(shares), abs=4 * math.sqrt(0.25 / 20_000))
    expected = [1 - math.log(3 * share) for share in shares]
    assert negatives.corrected(logits, tf.constant([[0, 1, 2]])).numpy()[0].tolist() == pytest.approx(
        expected, rel=1e-5
    )


def test_items_without_events_are_sampled_rarely() -> None:
    negatives = Negatives.of(np.array([1.0, 0.0], np.float32), Training(negative_power=1.0))

    assert negatives.correction is not None
    assert negatives.correction.tolist() == pytest.approx([math.log(2 / 1.001), math.log(0.002 / 1.001)], rel=1e-5)


def test_dropout_zeroes_a_share_and_scales_the_rest() -> None:
    activations = dropout(0.25, tf.random.Generator.from_seed(1))(tf.ones((100, 200))).numpy()

    assert np.unique(activations).tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (activations == 0).mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 20_000))


@pytest.mark.parametrize("name", NETWORKS)
def test_without_dropout_the_loss_depends_only_on_the_negatives(name: str, board: FittedModels) -> None:
    network, batch = board.networks[name].to_keras(), windows(board.data, FAST.window)
    columns = batch.users, batch.items, batch.weights, batch.history_end, batch.contexts
    user_batch = UserBatch(*map(tf.constant, columns), tf.ones(batch.history_end.shape))
    targets = tf.constant(batch.targets), tf.constant(batch.confidences)

    def losses(rate: float) -> list[float]:
        options = replace(FAST, dropout=rate, negatives=3, shared_negatives=3)
        negatives = FixedNegatives(None, None, board.data.n_items)
        generators = [tf.random.Generator.from_seed(seed) for seed in (1, 2)]
        return [float(loss_of(network, user_batch, *targets, negatives, options, random)) for random in generators]

    plain, dropped = losses(0.0), losses(0.5)
    assert plain[0] == plain[1]
    assert len({plain[0], *dropped}) == 3
