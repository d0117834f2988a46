"""The search for the sum of terms that ranks best: what is tried on folds of the test cases, and what is taken.

Each term alone, the sums and the sum without each term are tried. Among those that cannot be told from the best one the
simplest is taken, so that a sum is not below its best term.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors.records import Record
from recsys.evaluation.metrics import CERTAIN, standard_error
from recsys.features.features import N_FEATURES, NAMES, POPULARITIES
from recsys.features.query import Floats, Mask
from recsys.training.candidates import RANKING
from recsys.training.listwise import (
    Fit,
    ListwiseBatch,
    Places,
    Vector,
    covariances,
    maximise,
    places,
    weights_by_fold,
)

PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-3)  # strongest first: each fit starts from the one before it
# 1: a sampled negative represents all the items it was drawn from; 0: it counts as one, so that the top matters most
SAMPLING_CORRECTION_POWERS = (1.0, 0.0)
ALIKE = 0.999  # terms of a higher correlation within queries are one: without a clock, decays and trends mean nothing
# A sum of features has to be certainly above each feature alone, unless, with fewer cases than these, the feature alone
# is below it by more than this share: two errors are a lot then, and a sum that looks better by a seventh mostly is
FEW_CASES, SLIGHT = 1_000, 0.05
# A network has to add one standard error, and this share: where it changes two lists of a thousand, these alone are
# above the error
LEAST_GAIN = 0.01
MIN_CASES = 10  # with fewer, a term alone would be taken by chance
MANY_CASES = 200  # with fewer, one of many sums has two standard errors in Recall@10 by chance
CONTENDING = (1e-1, 1e-3)  # penalties of the sums whose best items are candidates; above, a sum ranks as its terms do
NETWORK = "network"  # the name of the last weight
# The weight of popularity if it may not have a fitted one: it orders items that are equal in every other feature
TIE_BREAK = 1e-6
# The weights `(N_FEATURES + 1,)` float32 of one ensemble, the last one for the network score; for the report, what was
# tried and the state of the optimiser
EnsembleFit = tuple[Floats, dict[str, Any]]


class Trial(Record, eq=False):
    """One way to add up terms, and how good it is.

    Attributes:
        what: For the report: the terms it is `only` or `without`, or nothing for the whole sum.
        terms: `(n_columns,)` bool, the columns that may have a fitted weight.
        penalty: The weight of the squared standardised weights in the loss; infinite for one term alone.
        sampling_correction_power: The exponent of a sampled negative's importance weight, 0 to 1.
        weights: `(n_columns,)` float64, fitted on all cases.
        places: Of each case under the weights without its fold.
        fit: The fit behind the weights, in the columns of its frame; None for one term alone.
    """

    what: Mapping[str, str]
    terms: Mask
    penalty: float
    sampling_correction_power: float
    weights: Vector
    places: Places
    fit: Fit | None = None

    @property
    def map10(self) -> float:
        """The mean of AP@10, 0 to 1."""
        return float(self.places.map10.mean())

    def to_json(self) -> dict[str, Any]:
        """Return what the report keeps of a trial."""
        alone = np.isinf(self.penalty)
        fitted = {"penalty": self.penalty, "sampling_correction_power": self.sampling_correction_power}
        return {**self.what, **({} if alone else fitted), "map10": self.map10}


class Frame(Record, eq=False):
    """The candidates in the columns that some fits may give a weight: they read no others, which saves half the time.

    Attributes:
        columns: `(m,)` int64, ascending.
        folds: The cases of each fold in these columns, by the power of the sampling correction.
        deviations: `(m,)` float64, the deviation of each of these columns within queries.
    """

    columns: NDArray[np.int64]
    folds: Mapping[float, Sequence[ListwiseBatch]]
    deviations: Vector


class Search(Record, eq=False):
    """The search for the best way to add up terms.

    Attributes:
        batch: The candidates, with one column for each network after the features.
        fold: `(n_cases,)` int64, the fold of each case, from 0.
    """

    batch: ListwiseBatch
    fold: NDArray[np.int64]

    @cached_property
    def powers(self) -> tuple[float, ...]:
        """The powers of the sampling correction to try; all items as candidates need but one."""
        return SAMPLING_CORRECTION_POWERS if self.batch.is_sampled else SAMPLING_CORRECTION_POWERS[:1]

    def frame(self, terms: Mask) -> Frame:
        """Return the candidates in some columns, `(n_columns,)` bool."""
        columns = np.flatnonzero(terms)
        folds = [self.batch.take(self.fold == n, columns) for n in range(int(self.fold.max()) + 1)]
        by_power = {
            power: [replace(fold, log_sampling_weight=fold.log_sampling_weight * power) for fold in folds]
            for power in self.powers
        }
        return Frame(columns, by_power, self.deviations[columns])

    @cached_property
    def _covariances(self) -> Vector:
        everything = np.arange(self.batch.negatives.shape[1])
        return covariances(self.batch.take(self.fold == n, everything) for n in range(int(self.fold.max()) + 1))

    @cached_property
    def deviations(self) -> Vector:
        """The deviation of each column within queries, `(n_columns,)` float64."""
        return np.sqrt(np.maximum(np.diag(self._covariances), 0))

    @cached_property
    def features(self) -> Mask:
        """The features that say something of their own, `(n_columns,)` bool."""
        kept = np.zeros(len(self.deviations), bool)
        for column in np.flatnonzero(self.deviations[:N_FEATURES]):
            product = self.deviations[column] * self.deviations[kept]
            kept[column] = not (self._covariances[column, kept] > ALIKE * product).any()
        return kept

    def contenders(self) -> Floats:
        """Return the weights of terms and sums whose best items have to be candidates, `(n, n_columns)` float32.

        These are the terms that choose no candidates alone, the sum of all features, this sum without each term, and
        the sum of all features and each network.
        """
        columns = np.arange(len(self.deviations))
        found = [np.eye(len(columns))[self.features & ~np.isin(columns, RANKING)]]
        for network in (None, *columns[N_FEATURES:]):
            terms = self.features | (columns == network)
            frame = self.frame(terms)
            for power in self.powers:
                fit = None
                for penalty in CONTENDING:
                    fit = self._fitted(frame, terms, penalty, power, fit)
                    found.append(self._everywhere(frame, fit.weights[None]))
                if network is None:
                    less = [terms & (columns != column) for column in frame.columns]
                    fits = [self._fitted(frame, kept, min(CONTENDING), power, fit) for kept in less]
                    found.append(self._everywhere(frame, np.array([without.weights for without in fits])))
        return np.concatenate(found).astype(np.float32)

    def features_alone(self) -> tuple[Trial, list[Trial]]:
        """Return the chosen sum of features, and all that were tried."""
        columns = np.flatnonzero(self.features).tolist()
        frame = self.frame(self.features)
        single = [self.single(frame, column) for column in columns]
        sums = list(self.sums(frame, self.features, self.powers))
        best = best_of(sums)
        less = [self.without(frame, best, {NAMES[column]: column}) for column in columns]
        popular = {name: NAMES.index(name) for name in POPULARITIES if self.features[NAMES.index(name)]}
        if len(popular) > 1:
            less.append(self.without(frame, best, popular))
        tried = [*single, *sums, *less]
        if len(self.batch) < MIN_CASES:
            return sums[0], tried
        return simplest_of_the_best(tried, errors_alone=CERTAIN), tried

    def with_network(self, column: int, alone: Trial, best: Trial) -> tuple[Trial, list[Trial]]:
        """Return the chosen sum of features and a network, and all that were tried.

        A sum with the network has to add something to both sums of features, see `adds`. Where none does, the network
        has no weight.

        Args:
            column: The network's.
            alone: The chosen sum of features.
            best: The best sum of features, which may be less simple.
        """
        if not self.deviations[column]:
            return alone, [alone]
        network = np.arange(len(self.deviations)) == column
        frame = self.frame(self.features | network)
        powers = tuple(dict.fromkeys((alone.sampling_correction_power, best.sampling_correction_power)))
        sums = list(self.sums(frame, self.features | network, powers))
        if (alone.terms != self.features).any():
            what = {"without": ", ".join(self.names(self.features & ~alone.terms))}
            sums += self.sums(frame, alone.terms | network, powers, what)
        tried = [self.single(frame, column), *sums]
        if len(self.batch) < MIN_CASES:
            return sums[0], tried
        better = [trial for trial in tried if adds(trial, alone) and adds(trial, best)]
        return simplest_of_the_best(better) if better else alone, [*tried, alone]

    def single(self, frame: Frame, column: int) -> Trial:
        """Return the trial of one term alone; it has a deviation of 1, and popularity breaks ties."""
        terms = np.arange(len(self.deviations)) == column
        weights = self._with_tie_break(terms / np.where(terms, self.deviations, 1), terms)
        places_of = self._places(frame, np.tile(weights, (int(self.fold.max()) + 1, 1)))
        return Trial({"only": self.names(terms)[0]}, terms, np.inf, max(self.powers), weights, places_of)

    def sum_of(self, frame: Frame, terms: Mask, penalty: float) -> Trial:
        """Return the sum of some terms of a frame; a sampled negative stands for all the items that it represents."""
        return self._sum(frame, {}, terms, penalty, max(self.powers), None)

    def sums(
        self, frame: Frame, terms: Mask, powers: Sequence[float], what: Mapping[str, str] | None = None
    ) -> Iterator[Trial]:
        """Yield the sum of some terms of a frame under each power and each penalty."""
        for power in powers:
            start = None
            for penalty in PENALTIES:
                trial = self._sum(frame, what or {}, terms, penalty, power, start)
                start = trial.fit
                yield trial

    def without(self, frame: Frame, best: Trial, left_out: Mapping[str, int]) -> Trial:
        """Return the best sum of a frame, fitted without some terms."""
        terms = best.terms.copy()
        terms[list(left_out.values())] = False
        what = {"without": ", ".join(left_out)}
        return self._sum(frame, what, terms, best.penalty, best.sampling_correction_power, best.fit)

    def _sum(
        self, frame: Frame, what: Mapping[str, str], terms: Mask, penalty: float, power: float, start: Fit | None
    ) -> Trial:
        folds, used = frame.folds[power], terms[frame.columns]
        fit = self._fitted(frame, terms, penalty, power, start)
        by_fold = weights_by_fold(fit, folds, used, penalty, frame.deviations) if len(folds) > 1 else fit.weights[None]
        everywhere = self._everywhere(frame, np.array([fit.weights, *by_fold]))
        weights, *of_folds = (self._with_tie_break(row, terms) for row in everywhere)
        return Trial(what, terms, penalty, power, weights, self._places(frame, np.array(of_folds)), fit)

    def _fitted(self, frame: Frame, terms: Mask, penalty: float, power: float, start: Fit | None) -> Fit:
        """Return the fit of some terms of a frame on all cases, in the columns of the frame."""
        return maximise(frame.folds[power], terms[frame.columns], penalty, frame.deviations, start)

    def _everywhere(self, frame: Frame, weights: Vector) -> Vector:
        """Return weights `(n, m)` in the columns of a frame as weights of all columns, `(n, n_columns)` float64."""
        found = np.zeros((len(weights), len(self.deviations)))
        found[:, frame.columns] = weights
        return found

    def _places(self, frame: Frame, by_fold: Vector) -> Places:
        """Return what the places of each case are worth under the weights of its fold.

        The likelihood cannot choose well: it also rewards a good order far below the top 10.
        """
        found = Places(*np.zeros((len(Places._fields), len(self.batch))))
        for n, (weights, fold) in enumerate(zip(by_fold, frame.folds[min(self.powers)], strict=True)):
            for whole, of_fold in zip(found, places(weights[frame.columns], fold), strict=True):
                whole[self.fold == n] = of_fold
        return found

    def _with_tie_break(self, weights: Vector, terms: Mask) -> Vector:
        """Return weights in which popularity without any fitted weight breaks ties."""
        popular = np.isin([*NAMES, *[NETWORK] * (len(terms) - N_FEATURES)], POPULARITIES)
        return weights if (terms & popular).any() else np.where(popular, TIE_BREAK, weights)

    def names(self, terms: Mask) -> list[str]:
        """Return the names of some terms."""
        return [NAMES[column] if column < N_FEATURES else NETWORK for column in np.flatnonzero(terms)]

    def result(self, winner: Trial, tried: Sequence[Trial], network: int | None) -> EnsembleFit:
        """Return the weights of a trial as they serve, and what the report says of them.

        Args:
            winner: The trial.
            tried: All trials.
            network: The network's column; None for features alone.
        """
        network_weight = 0.0 if network is None else winner.weights[network]
        report = {
            "fallback": False,
            "candidates": len(self.batch.positives) + len(self.batch.negatives),
            "terms": self.names(winner.terms),
            "alike": self.names(~self.features & (self.deviations > 0) & (np.arange(len(self.features)) < N_FEATURES)),
            **winner.to_json(),
            "tried": [trial.to_json() for trial in tried],
            "iterations": 0 if winner.fit is None else winner.fit.iterations,
            "converged": winner.fit is None or winner.fit.converged,
        }
        return np.append(winner.weights[:N_FEATURES], network_weight).astype(np.float32), report


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest MAP@10; among equals, the first one."""
    return max(trials, key=lambda trial: trial.map10)


def adds(trial: Trial, other: Trial) -> bool:
    """Return whether a trial is above another one by more than chance, and by so much that a network is worth it.

    It is if its MAP@10 is. With one relevant item a user, MAP@10 mostly says what is in first place, and is uncertain.
    So with many cases a trial adds something, too, if its NDCG@10 is above by so much, if its ten places certainly hold
    more relevant items, and if MAP@10 is not below by more than chance.
    """
    precise, ranked, found = (ours - theirs for ours, theirs in zip(trial.places, other.places, strict=True))
    error = standard_error(precise)
    if precise.mean() > max(error, LEAST_GAIN * other.map10):
        return True
    is_worth_it = len(found) >= MANY_CASES and ranked.mean() > LEAST_GAIN * other.places.ndcg10.mean()
    return bool(is_worth_it and precise.mean() >= -error and found.mean() > CERTAIN * standard_error(found))


def simplest_of_the_best(trials: Sequence[Trial], errors_alone: float = 1.0) -> Trial:
    """Return the simplest trial within one paired standard error of the best.

    The number of terms says how simple a trial is, then the penalty, then MAP@10.

    Args:
        trials: At least one.
        errors_alone: How many standard errors a single term may be below the best; with few cases only if it is
            slightly below.
    """
    best = best_of(trials)

    def is_equal(trial: Trial) -> bool:
        differences = best.places.map10 - trial.places.map10
        errors = 1.0
        if np.isinf(trial.penalty) and (len(differences) >= FEW_CASES or differences.mean() <= SLIGHT * best.map10):
            errors = errors_alone
        return bool(differences.mean() <= errors * standard_error(differences))

    by_simplicity = sorted(trials, key=lambda trial: (trial.terms.sum(), -trial.penalty, -trial.map10))
    return next(trial for trial in by_simplicity if trial is best or is_equal(trial))
