"""The record of a training run, and the interface that receives its progress."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from recsys.data.cleaning import CleanReport
from recsys.data.interactions import Catalogue, Interactions
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import EvaluationResult
from recsys.evaluation.shown import ShownLists
from recsys.lifecycle.choice import ALL
from recsys.lifecycle.gate import Verdict
from recsys.networks.fit import Epoch
from recsys.settings import Settings
from recsys.training.chain import Learned
from recsys.training.fitting import FittedModels, Hyperparameters
from recsys.training.hooks import Hooks

UNSET: Any = None  # of a field that a later step fills


READ = "Read the shop's tables"
CHOOSE = "Fit before the validation cut, and choose"
REFIT = "Fit before the test cut"
EVALUATE = "Evaluate on what came after"
FINAL = "Fit on all events; this fit serves"
PUBLISH = "Publish the version"
STEPS = (READ, CHOOSE, REFIT, EVALUATE, FINAL, PUBLISH)  # of a run, by their titles


class Progress(Protocol):
    """Receives the progress of a run, such as a terminal."""

    def rows(self, n_rows: int) -> None:
        """Report the number of rows read so far."""

    def cleaned(self, report: CleanReport) -> None:
        """Report that the events are cleaned."""

    def stage(self, title: str) -> None:
        """Report that a part of the run begins, such as one of `STEPS`."""

    def planned(self, seconds: Mapping[str, float]) -> None:
        """Report how long each of `STEPS` may take on this machine."""

    def step(self, text: str) -> None:
        """Report what begins now, so that no minute is silent, such as the compilation of a graph."""

    def epoch(self, epoch: Epoch) -> None:
        """Report that an epoch has ended."""

    def note(self, text: str) -> None:
        """Report something unusual, such as a network that could not be fitted."""

    def decided(self, run: TrainingRun) -> None:
        """Report the results of the evaluation and the gate's verdict."""


@dataclass(frozen=True)
class TrainingRun:
    """All that a training run knows; each step returns a copy with more of it.

    `read_shop` fills the fields up to `cleaning`, `validate` the hyperparameters, `evaluate` those up to
    `context_lift`, `fit_to_serve` the final models, `pass_gate` the verdict, and `publish` the version.

    Attributes:
        settings: Where the shop is, how it is mapped and how to train.
        protocol: `time` cuts at one moment; `loo99` ranks each user's last item among 99 sampled ones.
        now: Seconds since 1970.
        recorded: Events as the shop's tables hold them, not cleaned.
        events: Cleaned events, ordered by time.
        catalogue: The shop's products.
        cleaning: How many rows were dropped, for each reason.
        hyperparameters: Chosen on validation, without the networks that failed in a later fit.
        shown: What the scorers showed on validation; None before it.
        evaluated: The models fitted before the test cut.
        rows: One row of the report for each repeat rule and each scorer.
        evaluations: The results of each scorer on the test under the repeat rule in force.
        evaluation_set: The evaluation set behind `evaluations`.
        context_lift: What ENCM gains from the true context of each event; None where there is no event to measure it
            on.
        final: The models fitted on all events, which serve.
        cut: The test cut, in seconds since 1970.
        verdict: The gate's verdict; None before it.
        force: Whether to publish what the gate refuses.
        version: The published version's name; None for a dry run.
        hooks: The shop's own step before cleaning; None for none.
        active: What the fits of the active version have learned, `evaluation` and `final`; empty unless they are to go
            on.
    """

    settings: Settings
    protocol: str
    now: int
    recorded: Interactions
    events: Interactions
    catalogue: Catalogue
    cleaning: CleanReport
    hyperparameters: Hyperparameters = UNSET
    shown: ShownLists | None = None
    evaluated: FittedModels = UNSET
    rows: Mapping[str, Mapping[str, Mapping[str, Any]]] = UNSET
    evaluations: Mapping[str, EvaluationResult] = UNSET
    evaluation_set: EvaluationSet = UNSET
    context_lift: Mapping[str, float] | None = None
    final: FittedModels = UNSET
    cut: int = UNSET
    verdict: Verdict | None = None
    force: bool = False
    version: str | None = None
    hooks: Hooks | None = None
    active: Mapping[str, Learned] = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Whether a fit goes on from the fit before it."""
        return bool(self.active) or self.settings.training.saves_time(len(self.events))

    @property
    def active_evaluation(self) -> Learned | None:
        """The active version's evaluation fit, which others may go on from.

        With each user's last item held out there is none: its events are not separated from later ones by a moment.
        """
        return self.active.get("evaluation") if self.protocol == "time" else None

    @property
    def rule(self) -> str:
        """The repeat rule that serves, `hide` or `allow`; a rule of some days counts as `allow`."""
        repeats = self.protocol == "loo99" or self.settings.shop.repeat_after_days < math.inf
        return "allow" if repeats else "hide"

    @property
    def winner(self) -> str:
        """The registry name of the scorer that serves by default."""
        return self.serves[ALL]

    @property
    def serves(self) -> Mapping[str, str]:
        """The registry name of the scorer of `all`, and of each segment of users that has another one."""
        return {ALL: self.hyperparameters.winner} if self.verdict is None else self.verdict.scorers
