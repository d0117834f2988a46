"""Shared by all data sets: read files into columns, columns into events, events into train data and evaluation sets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas
from numpy.typing import NDArray

from recsys.data.context import CLOCK_FEATURES
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Catalogue, Interactions, is_event
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, build_evaluation_set
from recsys.settings import Shop, Training

HOUR = 3600
NEWEST = 1_000_000_000  # seconds since 1970: the time of every user's newest event if a set has no times
NOW = NEWEST + HOUR  # the time of the test cases after it
MAX_VALIDATION_CASES = 3_000  # as many as a shop's own validation has
SEED = 0  # of sampled negatives and sampled users, so that every run has the same evaluation set
SHOP = Shop(sources=(), products="")
REPEAT_AFTER_DAYS = {"hide": math.inf, "allow": 0.0}


class BenchmarkError(Exception):
    """A benchmark that cannot run."""


@dataclass(frozen=True)
class Part:
    """Train data, and the evaluation sets after it.

    Attributes:
        encoders: Encoders of the events.
        data: The events.
        evaluation_sets: By repeat rule, `hide` and/or `allow`.
    """

    encoders: Encoders
    data: Dataset
    evaluation_sets: Mapping[str, EvaluationSet]


@dataclass(frozen=True)
class Parts:
    """A data set, cut twice.

    Attributes:
        validation: The train part without its end, and the evaluation set of that end, for all choices.
        test: The whole train part, and the evaluation set that is reported.
    """

    validation: Part
    test: Part


@dataclass(frozen=True)
class BenchmarkSet:
    """A public set and the protocol it is used under.

    Attributes:
        name: Name of the folder in DATA_DIR, and in every table.
        files: Files in that folder.
        origin: Where to get them.
        protocol: Train data, test cases and candidates, in a few sentences.
        rules: The repeat rules that are reported; each has choices of its own.
        references: By rule, scorers to compare the winner with, besides the best baseline.
        has_clock: Whether events have times; without them there is no time decay.
        read: Reads the parts from the folder.
    """

    name: str
    files: tuple[str, ...]
    origin: str
    protocol: str
    rules: tuple[str, ...]
    references: Mapping[str, tuple[str, ...]]
    has_clock: bool
    read: Callable[[Path], Parts]

    def load(self, data_dir: Path) -> Parts:
        """Return the set's parts.

        Args:
            data_dir: Holds a folder of the set's name.

        Raises:
            BenchmarkError: A file is missing, or is not what it should be.
        """
        self.check(data_dir)
        return self.read(data_dir / self.name)

    def check(self, data_dir: Path) -> None:
        """Check that the files are there.

        Raises:
            BenchmarkError: A file is missing; the message names it and where to get it.
        """
        for name in self.files:
            if not (data_dir / self.name / name).is_file():
                raise BenchmarkError(
                    f"DATA_DIR should hold {self.name}/{name}. Received: {data_dir}, which does not. {self.origin}"
                )

    def sha256(self, data_dir: Path) -> str:
        """Return the SHA-256 of the set's files, one after the other."""
        digest = hashlib.sha256()
        for name in self.files:
            digest.update((data_dir / self.name / name).read_bytes())
        return digest.hexdigest()


def columns(
    path: Path, names: Sequence[str] | None = None, *, delimiter: str = ",", text: bool = False
) -> dict[str, NDArray]:
    """Return the columns of a compressed text file, by name.

    Args:
        path: Path of the file.
        names: Names of the columns of a file without a header; None reads the header.
        delimiter: Separator of values.
        text: Whether to read every value as text, with "" for a missing one.

    Returns:
        Arrays `(n,)` of int64, float64, or object holding str.
    """
    table = pandas.read_csv(path, names=names, sep=delimiter, dtype=str if text else None, na_filter=not text)
    return {name: column.to_numpy(object if column.dtype == "str" else None) for name, column in table.items()}


def events(
    users: NDArray, items: NDArray, timestamps: NDArray[np.int64], event: str | NDArray = "purchase"
) -> Interactions:
    """Return events in the order of the arguments; no data set has a device type.

    Args:
        users: `(n,)` ids.
        items: `(n,)` ids.
        timestamps: `(n,)` seconds since 1970.
        event: One name for all events, or `(n,)` names.
    """
    names, kinds = np.unique(np.broadcast_to(np.asarray(event, dtype=str), len(users)), return_inverse=True)
    return Interactions(
        users,
        items,
        kinds.astype(np.int16),
        np.asarray(timestamps, np.int64),
        np.arange(len(users)),
        tuple(names.tolist()),
        {"device_type": np.full(len(users), None)},
    )


def hours_apart(users: NDArray, order: NDArray) -> NDArray[np.int64]:
    """Return times for a set with an order but no times: one hour between two events, every user's newest at one time.

    Args:
        users: `(n,)` ids in any order.
        order: `(n,)` numbers that increase with time for each user.

    Returns:
        `(n,)` seconds since 1970 that contain only the order within each user.

    >>> (hours_apart(np.array([1, 1, 2]), np.array([7, 8, 0])) - NEWEST).tolist()
    [-3600, 0, 0]
    """
    return NEWEST - HOUR * events_later(users, order)


def events_later(users: NDArray, order: NDArray) -> NDArray[np.int64]:
    """Return `(n,)` how many events each user has after this one; between equal numbers, later rows are later."""
    by_user = pandas.DataFrame({"user": users, "order": order}).sort_values("order", kind="stable").groupby("user")
    return by_user.cumcount(ascending=False).sort_index().to_numpy()


def quantile_cut(timestamps: NDArray[np.int64], quantile: float = 0.8) -> int:
    """Return the interpolated quantile of times, rounded up; whole seconds before it are the same without rounding."""
    return math.ceil(np.quantile(timestamps, quantile))


def make_part(
    train: Interactions,
    after: Interactions,
    *,
    cut: int,
    rules: Sequence[str],
    has_clock: bool = True,
    shop: Shop = SHOP,
    catalogue: Catalogue | None = None,
    max_cases: int | None = None,
) -> Part:
    """Return train data and the evaluation sets after it, on users and items of the train data.

    Args:
        train: Events before the cut.
        after: Events at or after the cut; users and items that are not in `train` are left out.
        cut: Seconds since 1970.
        rules: Repeat rules, an evaluation set for each.
        has_clock: Whether there are times; without them the time of day and the season are unknown.
        shop: Has the relevant events, the purchase events and the time zone.
        catalogue: Categories, if the set has them.
        max_cases: Most test cases; a larger set is sampled, and None keeps all.
    """
    encoders = Encoders.fit(train, catalogue or no_catalogue(), min_item_events=1)
    data = encode(train, encoders, shop, training(has_clock), cut)
    known = encoders.users.indices(after.users) < encoders.users.unknown
    known &= encoders.items.indices(after.items) < encoders.items.unknown
    evaluation_sets = {
        rule: build_evaluation_set(
            data,
            after.take(known),
            encoders,
            shop=shop,
            active=np.ones(data.n_items, bool),
            cut=cut,
            repeat_after_days=REPEAT_AFTER_DAYS[rule],
            rng=np.random.default_rng(SEED),
            max_users=max_cases or len(after) + 1,
        )
        for rule in rules
    }
    part = Part(encoders, data, evaluation_sets)
    return part if has_clock else without_clock(part)


def training(has_clock: bool) -> Training:
    """Return the options for encoding events: confidences decay only if there are times."""
    return Training(min_item_events=1) if has_clock else Training(min_item_events=1, half_life_days=0.0)


def without_clock(part: Part) -> Part:
    """Return a part in which the features of the clock are unknown, in events and in test cases."""
    n_clock = len(CLOCK_FEATURES)  # they stand first
    unknown = np.array(part.data.context_sizes[:n_clock], np.int32) - 1
    contexts = part.data.contexts.copy()
    contexts[:, :n_clock] = unknown

    def timeless(case: EvaluationCase) -> EvaluationCase:
        context = np.append(unknown, case.query.context[n_clock:]).astype(np.int32)
        return replace(case, query=case.query._replace(context=context))

    return Part(
        part.encoders,
        replace(part.data, contexts=contexts),
        {rule: map_cases(evaluation_set, timeless) for rule, evaluation_set in part.evaluation_sets.items()},
    )


def map_cases(evaluation_set: EvaluationSet, change: Callable[[EvaluationCase], EvaluationCase]) -> EvaluationSet:
    """Return the evaluation set with every test case changed."""
    return replace(evaluation_set, cases=tuple(change(case) for case in evaluation_set.cases))


def no_catalogue() -> Catalogue:
    """Return an empty catalogue."""
    nothing = np.zeros(0, object)
    return Catalogue(nothing, np.zeros(0, bool), nothing, nothing, np.zeros(0))


def rows_of_events(interactions: Interactions, *names: str) -> NDArray[np.bool_]:
    """Return `(n,)` which rows are events of one of the names."""
    return is_event(interactions, names)
