"""Networks that add nothing to the linear sum of the features end early: successive halving on validation.

After the epochs of each rung, every network is added to the sum on a sample of validation cases. The better half goes
on if it adds anything, and the others only if what they add is more than its standard error. A network that is nearly
as good as the whole sum, and still rises, goes on in any case: on ml-1m, all four add nothing after half a pass over
the events, and 2 to 5 % after some more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from recsys.evaluation.metrics import standard_error
from recsys.evaluation.protocol import EvaluationSet
from recsys.features.features import N_FEATURES, Features
from recsys.training.candidates import NetworkScore
from recsys.training.ensemble import searches

RUNGS = (1, 3)  # epochs after which networks may end
LEAST_CASES = 100  # with fewer, a difference says nothing, and every network is trained to its end
MOST_CASES = 400
NEARLY = 0.7  # share of the sum's MAP@10 from which a network may still catch up
RISE = 1.05  # by how much it has to rise from rung to rung to go on for that
PENALTY = 0.01  # of squared standardised weights


@dataclass(frozen=True)
class Gain:
    """What a network adds to the MAP@10 of the linear sum.

    Attributes:
        mean: The mean difference over cases; each case is ranked by weights that were fitted on other cases.
        error: The standard error of the mean.
        alone_share: The MAP@10 of the network alone, as a share of that of the sum.
        goes_on: Whether the network is trained further.
    """

    mean: float
    error: float
    alone_share: float = 0.0
    goes_on: bool = True


def gains(
    features: Features,
    networks: Mapping[str, NetworkScore],
    evaluation_set: EvaluationSet,
    seed: int,
    before: Mapping[str, float] | None = None,
) -> dict[str, Gain]:
    """Return what each network adds, and which of them go on; nothing with too few cases.

    Args:
        features: Features of the events before the validation cut.
        networks: The function that scores all items, `(n_items,)` float32, of each network by its name.
        evaluation_set: The validation set; some of its known users are used.
        seed: Of the sampled cases and candidates.
        before: `alone_share` of each network at the rung before; a network that is missing has risen.
    """
    known = np.flatnonzero(evaluation_set.known)
    picked = np.sort(np.random.default_rng(seed).permutation(known)[:MOST_CASES])
    some = replace(evaluation_set, cases=tuple(evaluation_set.cases[n] for n in picked))
    search = searches(features, networks, {"": some}, seed)[""]
    if search is None or len(search.batch) < LEAST_CASES:
        return {}
    alone = search.sum_of(search.frame(search.features), search.features, PENALTY)
    found = {}
    for column, name in enumerate(networks, N_FEATURES):
        terms = search.features | (np.arange(len(search.deviations)) == column)
        frame = search.frame(terms)
        difference = search.sum_of(frame, terms, PENALTY).places.map10 - alone.places.map10
        is_constant = not search.deviations[column]
        share = 0.0 if is_constant else search.single(frame, column).map10 / max(alone.map10, 1e-9)
        found[name] = Gain(float(difference.mean()), standard_error(difference), share)
    return halved(found, before or {})


def halved(found: Mapping[str, Gain], before: Mapping[str, float]) -> dict[str, Gain]:
    """Return the gains with the verdict.

    Args:
        found: What each network adds.
        before: `alone_share` of each network at the rung before.
    """
    by_gain = sorted(found, key=lambda name: -found[name].mean)
    better = by_gain[: -(-len(by_gain) // 2)]

    def goes_on(name: str, gain: Gain) -> bool:
        rises = gain.alone_share >= NEARLY and gain.alone_share >= RISE * before.get(name, 0.0)
        return rises or gain.mean > (0.0 if name in better else gain.error)

    return {name: replace(gain, goes_on=goes_on(name, gain)) for name, gain in found.items()}
