"""The weights of the sum of signals, by listwise maximum likelihood: what was chosen against everything that could have been."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.wording import listed
from recsys.evaluation.metrics import average_precision_at_k
from recsys.evaluation.protocol import Exam, K, Question, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.features.features import DENSE, N_SIGNALS, NAMES, POPULARITIES, Signals
from recsys.features.query import Query

MAX_QUESTIONS = 2_000
BEST_OF_EACH = 50  # candidates by each of the signals that rank a whole catalogue
BY_CHANCE = 300  # candidates that stand for all the rest
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)  # strongest first: it wins ties
RESTS = (1.0, 0.0)  # a sampled item stands for all the items it was drawn from, or for itself: then only what is near the top counts
MAX_ITERATIONS = 200
NETWORK = "network"  # what the last weight is called
TIE_BREAK = 1e-6  # of popularity where it has no say: an order for those of whom nothing else is known, and below every other difference
RANKING = tuple(NAMES.index(name) for name in (*DENSE, "popularity_15d"))
FALLBACK: Mapping[str, float] = {"popularity_15d": 0.5, "own_count": 1.0, NETWORK: 1.0}  # without anything to fit on
OwnScore = Callable[[Query], NDArray[np.float32]]


@dataclass(frozen=True)
class Blending:
    """Fitted weights.

    Attributes:
        weights: `(N_SIGNALS + 1,)` float32 for signals as they are; the last one is the network's.
        log_likelihood: Mean over the questions, without the penalty; None where nothing was fitted.
        n_questions: Questions with a relevant item that may be answered; without any the weights are `FALLBACK`.
        trials: The ways of fitting that were tried and what the optimiser said, for the report.
    """

    weights: NDArray[np.float32]
    log_likelihood: float | None
    n_questions: int
    trials: Mapping[str, Any]

    @property
    def fitted(self) -> bool:
        """Whether the weights were fitted; otherwise they are `FALLBACK`."""
        return self.n_questions > 0


@dataclass(frozen=True)
class Way:
    """How the likelihood is maximised.

    Attributes:
        penalty: See `maximise`.
        rest: The power to which the number of items is taken that a sampled one stands for.
        popularity: Whether popularity may have a weight. The likelihood always gives it one, for what it tells of items far below the top.
    """

    penalty: float = PENALTIES[0]
    rest: float = RESTS[0]
    popularity: bool = True


@dataclass(frozen=True)
class Cases:
    """The candidates of all questions, those that were chosen apart from the others.

    Attributes:
        chosen: `(n_chosen, n_features)` floats, question after question; every question has at least one.
        chosen_of: `(n_chosen,)` int64, the question of each, ascending from 0.
        others: `(n_others, n_features)` floats likewise.
        others_of: `(n_others,)` int64; every question has at least one.
        log_odds: `(n_others,)` float64, the log of the number of items that each of the others stands for.
    """

    chosen: NDArray[np.floating]
    chosen_of: NDArray[np.int64]
    others: NDArray[np.floating]
    others_of: NDArray[np.int64]
    log_odds: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.chosen_of[-1]) + 1 if len(self.chosen_of) else 0

    @property
    def parts(self) -> tuple[tuple[NDArray[np.floating], NDArray[np.int64]], ...]:
        """The features and the questions of the chosen, then those of the others."""
        return (self.chosen, self.chosen_of), (self.others, self.others_of)

    def with_rest(self, weight: float) -> Cases:
        """Return the same candidates, the number of items that each one stands for taken to a power."""
        return replace(self, log_odds=self.log_odds * weight)

    def take(self, mask: NDArray[np.bool_]) -> Cases:
        """Return the questions that a mask `(len(self),)` selects."""
        numbers, chosen, others = np.cumsum(mask) - 1, mask[self.chosen_of], mask[self.others_of]
        return Cases(
            self.chosen[chosen],
            numbers[self.chosen_of[chosen]],
            self.others[others],
            numbers[self.others_of[others]],
            self.log_odds[others],
        )


def fit_blend(signals: Signals, own: OwnScore | None, exam: Exam, rng: np.random.Generator, allowed: Sequence[str] = NAMES) -> Blending:
    """Return the weights of the signals and of one network, or of the signals alone; see `fit_blends`."""
    return fit_blends(signals, {NETWORK: own}, exam, rng, allowed)[NETWORK]


def fit_blends(
    signals: Signals,
    networks: Mapping[str, OwnScore | None],
    exam: Exam,
    rng: np.random.Generator,
    allowed: Sequence[str] = NAMES,
) -> dict[str, Blending]:
    """Return, for each network, the weights under which the relevant items of an exam are likeliest.

    Args:
        signals: Of the events before the exam's cut.
        networks: Each one's own scores `(n_items,)` by its name; None fits the signals alone and gives the network weight 0. All of them
            compete on the same candidates.
        exam: Of the validation part.
        rng: Draws the questions of a large exam, the candidates and the halves that choose the penalty.
        allowed: The signals that may have a weight; the others get 0.

    Raises:
        ValueError: A score is not finite, or `allowed` names something else than signals.
    """
    if unknown := set(allowed) - set(NAMES):
        raise ValueError(f"`allowed` should be some of {listed(NAMES)}. Received: {listed(sorted(unknown))}.")
    owns = {name: own for name, own in networks.items() if own is not None}
    cases = make_cases(signals, owns, exam, rng)
    used = np.array([name in allowed for name in NAMES])
    return {name: _blending(cases, np.array([*used, *(other == name for other in owns)], bool), rng) for name in networks}


def fallback(used: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return `(N_SIGNALS + 1,)` float32: `FALLBACK` where a mask of that length allows it."""
    return (np.array([FALLBACK.get(name, 0.0) for name in (*NAMES, NETWORK)]) * used).astype(np.float32)


def _blending(cases: Cases, used: NDArray[np.bool_], rng: np.random.Generator) -> Blending:
    """Return the weights of the signals and of the one network that a mask over the features of cases allows."""

    def of_one(values: NDArray) -> NDArray:
        return np.append(values[:N_SIGNALS], values[N_SIGNALS:][used[N_SIGNALS:]].sum(dtype=values.dtype))

    if not len(cases):
        return Blending(fallback(of_one(used)), None, 0, {"fallback": True})
    way, tried = choose_way(cases, used, rng)
    weights, said = fit_in(way, cases, used)
    trials = {
        "fallback": False,
        "candidates": len(cases.chosen) + len(cases.others),
        **asdict(way),
        "tried": tried,
        **said,
    }
    return Blending(of_one(weights).astype(np.float32), log_likelihood(weights, cases)[0], len(cases), trials)


def choose_way(cases: Cases, used: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Way, list[dict[str, Any]]]:
    """Return the way whose fit on one half of the questions reaches the highest MAP@10 on the other.

    The likelihood alone would not choose well: it spends weights on what is far below the top 10, the more of the catalogue it counts.

    Args:
        cases: Of the exam; with a single question there are no halves, and the default is taken.
        used: See `maximise`.
        rng: Draws the halves.

    Returns:
        The way; each one that was tried and its `map10`.
    """
    if len(cases) < 2:
        return Way(), []
    first = rng.permutation(len(cases)) % 2 == 0
    halves = [cases.take(first), cases.take(~first)]
    popularity = (True, False) if (used & is_popularity(used)).any() else (True,)
    rests = RESTS if cases.log_odds.any() else RESTS[:1]
    ways = [Way(penalty, rest, popular) for popular, rest, penalty in product(popularity, rests, PENALTIES)]
    marks = [_mark(way, halves, used) for way in ways]
    return ways[int(np.argmax(marks))], [{**asdict(way), "map10": mark} for way, mark in zip(ways, marks, strict=True)]


def fit_in(way: Way, cases: Cases, used: NDArray[np.bool_]) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the weights of a way `(n_features,)` float64, and what the optimiser said; see `maximise`."""
    if way.popularity:
        return maximise(cases.with_rest(way.rest), used, way.penalty)
    silenced = used & is_popularity(used)
    weights, said = maximise(cases.with_rest(way.rest), used & ~silenced, way.penalty)
    return np.where(silenced, TIE_BREAK, weights), said


def is_popularity(used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which features are popularities, a mask as long as `used`."""
    return np.isin([*NAMES, *[NETWORK] * (len(used) - N_SIGNALS)], POPULARITIES)


def _mark(way: Way, halves: Sequence[Cases], used: NDArray[np.bool_]) -> float:
    fits = [fit_in(way, half, used)[0] for half in halves]
    return float(np.concatenate([_precisions(weights, other) for weights, other in zip(fits, halves[::-1], strict=True)]).mean())


def _precisions(weights: NDArray[np.float64], cases: Cases) -> NDArray[np.float64]:
    """Return the average precision at 10 of each question, among its candidates."""
    precisions = []
    scores = [_by_question(rows @ weights.astype(rows.dtype), of) for rows, of in cases.parts]
    for chosen, others in zip(*scores, strict=True):
        top = top_k(np.concatenate([others, chosen]), K)  # the others win ties
        relevant = np.arange(len(others), len(others) + len(chosen), dtype=np.int32)
        precisions.append(average_precision_at_k(top, relevant, k=K, n_relevant=len(chosen)))
    return np.array(precisions)


def _by_question(values: NDArray, of: NDArray[np.int64]) -> list[NDArray]:
    return np.split(values, np.flatnonzero(np.diff(of)) + 1)


def maximise(cases: Cases, used: NDArray[np.bool_], penalty: float) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return the weights of the highest likelihood less `penalty·Σ (weight·deviation)²`, by L-BFGS-B.

    Args:
        cases: At least one.
        used: `(n_features,)` bool, which features may have a weight; those that are alike for all candidates get 0 too.
        penalty: 0 or above.

    Returns:
        `(n_features,)` float64; what the optimiser said.
    """
    from scipy.optimize import minimize  # fitting only: serving never pays for it

    deviations = _deviations(cases)
    free = used & (deviations > 0)

    def weights_of(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = np.zeros(len(used))
        weights[free] = standardised / deviations[free]
        return weights

    def loss(standardised: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = log_likelihood(weights_of(standardised), cases)
        return penalty * float(standardised @ standardised) - value, 2 * penalty * standardised - gradient[free] / deviations[free]

    if not free.any():
        return np.zeros(len(used)), {"iterations": 0, "converged": True}
    found = minimize(loss, np.zeros(int(free.sum())), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS})
    return weights_of(found.x), {"iterations": int(found.nit), "converged": bool(found.success)}


def log_likelihood(weights: NDArray[np.float64], cases: Cases) -> tuple[float, NDArray[np.float64]]:
    """Return the mean over the questions of the mean log p(chosen item), and its gradient.

    p is the softmax over one chosen item and all that were not chosen: items chosen together do not compete with each other.

    Args:
        weights: `(n_features,)` float64.
        cases: At least one.
    """
    n, dtype = len(cases), cases.others.dtype
    chosen = (cases.chosen @ weights.astype(dtype)).astype(np.float64)
    others = (cases.others @ weights.astype(dtype)) + cases.log_odds
    starts = np.searchsorted(cases.others_of, np.arange(n))
    highest = np.maximum.reduceat(others, starts)
    odds = np.exp(others - highest[cases.others_of])
    sums = np.add.reduceat(odds, starts)
    log_p = chosen - np.logaddexp(chosen, (highest + np.log(sums))[cases.chosen_of])
    shares = 1 / (n * np.bincount(cases.chosen_of))[cases.chosen_of]
    surprise = -np.expm1(log_p) * shares
    pull = (np.bincount(cases.chosen_of, surprise) / sums)[cases.others_of] * odds
    gradient = surprise.astype(dtype) @ cases.chosen - pull.astype(dtype) @ cases.others
    return float(log_p @ shares), gradient.astype(np.float64)


def _deviations(cases: Cases) -> NDArray[np.float64]:
    """Return `(n_features,)` the standard deviation of each feature within the questions; exactly 0 where all candidates are alike.

    What differs between questions only cannot change a ranking, so each question's mean is taken off.
    """
    n = len(cases)
    firsts = cases.others[np.searchsorted(cases.others_of, np.arange(n))]
    counts = np.bincount(cases.chosen_of) + np.bincount(cases.others_of)
    deviations = []
    for column, first in enumerate(firsts.T):
        sums, squares = np.zeros(n), 0.0
        for rows, of in cases.parts:
            differences = rows[:, column].astype(np.float64) - first[of]
            sums += np.bincount(of, differences, n)
            squares += differences @ differences
        deviations.append(np.sqrt(max(squares - sums @ (sums / counts), 0) / counts.sum()))
    return np.array(deviations)


def make_cases(signals: Signals, owns: Mapping[str, OwnScore], exam: Exam, rng: np.random.Generator) -> Cases:
    """Return the candidates of each question that has some to choose and some to leave; at most 2,000 questions.

    Args:
        signals: See `fit_blends`, as the others.
        owns: The networks' scores; a column each, after the signals.
        exam: Of the validation part.
        rng: Draws questions and candidates.
    """
    numbers = np.arange(len(exam))
    if len(exam) > MAX_QUESTIONS:
        numbers = np.sort(rng.choice(len(exam), MAX_QUESTIONS, replace=False))
    nothing = np.zeros((0, N_SIGNALS + len(owns)), np.float32)
    chosen, others, log_odds = [nothing], [nothing], [np.zeros(0)]
    for question in (exam.questions[n] for n in numbers):
        allowed = allowed_items(question, exam.active)
        relevant = question.relevant[allowed[question.relevant]]
        allowed[relevant] = False
        if len(relevant) and allowed.any():
            features = _features(signals, owns, replace(question.query))  # a copy: the exam shall not keep every answer
            left, odds = candidates(question, features, allowed, rng)
            chosen.append(features[:, relevant].T)
            others.append(features[:, left].T)
            log_odds.append(odds)
    chosen_of, others_of = (np.repeat(np.arange(len(rows) - 1), [len(row) for row in rows[1:]]) for rows in (chosen, others))
    return Cases(np.concatenate(chosen), chosen_of, np.concatenate(others), others_of, np.concatenate(log_odds))


def _features(signals: Signals, owns: Mapping[str, OwnScore], query: Query) -> NDArray[np.float32]:
    """Return `(N_SIGNALS + n_networks, n_items)` float32, the networks' scores last."""
    features = np.concatenate([signals.of(query), *(own(query)[None] for own in owns.values())], dtype=np.float32)
    for name, row in zip((*NAMES, *owns), features, strict=True):
        if not np.isfinite(row).all():
            raise ValueError(f"`{name}` should be finite scores. Received: {row[~np.isfinite(row)][0]} for user {query.user}.")
    return features


def candidates(
    question: Question, features: NDArray[np.float32], allowed: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return what the chosen items compete with: the user's own and the best by anything, and a sample that stands for the rest.

    Left as they are, the sampled ones would be too few against the best by each signal, and the signals would look bad.

    Args:
        question: One user's; if it has candidates, these are taken.
        features: `(N_SIGNALS + n_networks, n_items)`.
        allowed: `(n_items,)` bool, what may be answered and is not relevant; at least one.
        rng: Draws the sample.

    Returns:
        `(k,)` distinct indices; `(k,)` float64 the log of the number of items that each stands for.
    """
    if question.candidates is not None:
        left = np.flatnonzero(allowed)
        return left, np.zeros(len(left))
    near = np.zeros(len(allowed), bool)
    near[question.query.items] = True
    for row in (*RANKING, *range(N_SIGNALS, len(features))):
        near[top_k(features[row], BEST_OF_EACH, allowed)] = True
    near &= allowed
    rest = np.flatnonzero(allowed & ~near)
    sample = rng.choice(rest, min(BY_CHANCE, len(rest)), replace=False)
    each = np.log(len(rest) / len(sample)) if len(sample) else 0.0
    return np.concatenate([np.flatnonzero(near), sample]), np.repeat([0.0, each], [near.sum(), len(sample)])
