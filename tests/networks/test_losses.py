"""Losses of a few targets by hand, and where sampled items come from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from recsys.networks import NETWORKS, UserBatch
from recsys.networks.losses import Negatives, dropout, loss_of
from recsys.networks.windows import windows
from recsys.settings import Training
from recsys.training.stages import TrainedModels
from tests.helpers.checkerboard import FAST

LOGITS = np.array([[0.5, -1.0, 2.0, 0.1], [1.5, 0.3, -0.7, 0.0]], np.float32)  # of two targets, four items
PLAIN = Training(dropout=0.0, negatives=3, shared_negatives=3)


@dataclass
class Written:
    """A network whose logits are written down; it remembers against how many items each target was held."""

    per_example_negatives: bool
    logits: NDArray[np.float32] = field(default_factory=LOGITS.copy)
    asked: list[tuple[str, list[int]]] = field(default_factory=list)

    def encode(self, user_batch: object, drop: object) -> Sequence[tf.Tensor]:
        return [tf.reshape(tf.range(len(self.logits)), (-1, 1, 1))]  # (b, 1, 1): the row of each target

    def score(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        self.asked.append(("match", items.shape.as_list()))
        return tf.gather(tf.gather(tf.constant(self.logits), state[0][:, 0]), items, batch_dims=1)

    def score_shared_candidates(self, state: Sequence[tf.Tensor], items: tf.Tensor) -> tf.Tensor:
        self.asked.append(("against", items.shape.as_list()))
        return tf.gather(tf.gather(tf.constant(self.logits), state[0][:, 0]), items, axis=1)


@dataclass(frozen=True)
class Drawn(Negatives):
    """Sampled items that are known: 0, 2, 1 for every target."""

    def sample(self, random: tf.random.Generator, shape: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(tf.constant([0, 2, 1]), shape)


DRAWN = Drawn(None, None, 4)


def loss(
    network: Written,
    targets: list[int],
    confidences: list[float],
    options: Training = PLAIN,
    negatives: Negatives = DRAWN,
    seed: int = 1,
) -> float:
    """Return the loss of one target a customer."""
    columns = tf.constant(targets)[:, None], tf.constant(confidences)[:, None]
    return float(loss_of(network, None, *columns, negatives, options, tf.random.Generator.from_seed(seed)))


def softmax(chosen: float, *others: float) -> float:
    return math.log(sum(math.exp(z) for z in (chosen, *others))) - chosen


def softplus(z: float) -> float:
    return math.log(1 + math.exp(z))


@pytest.mark.parametrize("per_example_negatives", [True, False])
def test_a_softmax_of_the_target_and_the_others_without_itself(per_example_negatives: bool) -> None:
    """Of 0, 2, 1 the first target, item 1, leaves 0 and 2; item 3 leaves all. Each counts by its confidence."""
    first, second = softmax(-1.0, 0.5, 2.0), softmax(0.0, 1.5, -0.7, 0.3)

    assert loss(Written(per_example_negatives), [1, 3], [1.0, 0.3]) == pytest.approx(
        (first + 0.3 * second) / 1.3, rel=1e-5
    )


@pytest.mark.parametrize("confidence", [-0.5, 0.0], ids=["disliked", "padding"])
def test_a_softmax_has_no_use_for_dislikes_and_padding(confidence: float) -> None:
    assert loss(Written(True), [1, 3], [1.0, confidence]) == pytest.approx(softmax(-1.0, 0.5, 2.0), rel=1e-5)


@pytest.mark.parametrize("per_example_negatives", [True, False])
def test_a_batch_without_anything_liked_has_no_loss(per_example_negatives: bool) -> None:
    assert loss(Written(per_example_negatives), [1, 3], [-1.0, 0.0]) == 0.0


@pytest.mark.parametrize("per_example_negatives", [True, False])
def test_cross_entropy_one_by_one(per_example_negatives: bool) -> None:
    """The target is a 1, the mean of the three sampled ones a 0; the target among them is worth nothing."""
    options = replace(PLAIN, loss="bce")
    first = softplus(1.0) + (softplus(0.5) + softplus(2.0)) / 3
    second = softplus(-0.0) + (softplus(1.5) + softplus(-0.7) + softplus(0.3)) / 3

    assert loss(Written(per_example_negatives), [1, 3], [1.0, 0.3], options) == pytest.approx(
        (first + 0.3 * second) / 1.3, rel=1e-5
    )


def test_cross_entropy_of_a_dislike_is_that_of_a_zero_and_samples_nothing() -> None:
    """Padding is left out."""
    options = replace(PLAIN, loss="bce")

    assert loss(Written(True), [2, 3], [-0.5, 0.0], options) == pytest.approx(softplus(2.0), rel=1e-5)
    liked = softplus(0.7) + (softplus(1.5) + softplus(0.3)) / 3
    assert loss(Written(True), [2, 2], [-0.5, 1.0], options) == pytest.approx(
        (0.5 * softplus(2.0) + liked) / 1.5, rel=1e-5
    )


@pytest.mark.parametrize("kind", ["softmax", "bce"])
def test_what_is_sampled_often_has_no_advantage(kind: str) -> None:
    """log(p · n) is taken off every logit in training, the target's own too."""
    options, correction = replace(PLAIN, loss=kind), np.array([0.2, -0.4, 0.9, 0.0], np.float32)
    corrected = Written(True, LOGITS - correction)

    expected = loss(corrected, [1, 3], [1.0, 0.3], options)
    assert loss(Written(True), [1, 3], [1.0, 0.3], options, replace(DRAWN, correction=correction)) == pytest.approx(
        expected, rel=1e-5
    )
    assert loss(Written(True), [1, 3], [1.0, 0.3], options) != pytest.approx(expected, rel=1e-3)


def test_each_target_has_samples_of_its_own_or_all_share_some() -> None:
    own, shared = Written(True), Written(False)
    options, negatives = replace(PLAIN, negatives=5, shared_negatives=7), Negatives(None, None, 4)
    for network in (own, shared):
        loss(network, [1, 3], [1.0, 1.0], options, negatives)

    assert own.asked == [("match", [2, 1 + 5])]
    assert shared.asked == [("match", [2, 1]), ("against", [7])]


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


def test_what_nobody_bought_is_sampled_too_if_hardly_ever() -> None:
    negatives = Negatives.of(np.array([1.0, 0.0], np.float32), Training(negative_power=1.0))

    assert negatives.correction is not None
    assert negatives.correction.tolist() == pytest.approx([math.log(2 / 1.001), math.log(0.002 / 1.001)], rel=1e-5)


def test_dropout_zeroes_a_share_and_scales_the_rest() -> None:
    activations = dropout(0.25, tf.random.Generator.from_seed(1))(tf.ones((100, 200))).numpy()

    assert np.unique(activations).tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (activations == 0).mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 20_000))


@pytest.mark.parametrize("name", NETWORKS)
def test_without_dropout_the_loss_depends_on_the_samples_alone(name: str, board: TrainedModels) -> None:
    network, cut = board.networks[name], windows(board.data, FAST.window)
    known = tf.ones(cut.before.shape)
    user_batch = UserBatch(
        *(tf.constant(column) for column in (cut.users, cut.items, cut.weights, cut.before, cut.contexts)), known
    )
    columns = tf.constant(cut.targets), tf.constant(cut.confidences)

    def losses(rate: float) -> list[float]:
        options = replace(FAST, dropout=rate, negatives=3, shared_negatives=3)
        negatives = Drawn(None, None, board.data.n_items)
        return [
            float(loss_of(network, user_batch, *columns, negatives, options, tf.random.Generator.from_seed(seed)))
            for seed in (1, 2)
        ]

    plain, dropped = losses(0.0), losses(0.5)
    assert plain[0] == plain[1]
    assert dropped[0] != dropped[1]
    assert dropped[0] > plain[0]
