"""Does choosing a model for each user pay? Chosen on the first half of what came after the cut, reported on the second.

    python benchmarks/per_request_choice.py DATA_DIR --json benchmarks/results/per_request_choice.json
    python benchmarks/per_request_choice.py --markdown docs/MODELS.md
    python benchmarks/per_request_choice.py --markdown docs/MODELS.md --check

DATA_DIR has one folder for each data set. The figures go to stdout, progress to stderr. --markdown writes the kept
figures into the page; with --check it only compares, and exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import pages  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from benchmarks.measuring.results import evaluate_scorers  # noqa: E402
from benchmarks.measuring.runs import Watch  # noqa: E402
from benchmarks.sets import BenchmarkError  # noqa: E402
from benchmarks.sets.base import REPEAT_AFTER_DAYS, SEED, SHOP, Part, quantile_cut, training  # noqa: E402
from benchmarks.sets.online_retail import FILE, ONLINE_RETAIL, purchases  # noqa: E402
from recsys.data.dataset import Dataset  # noqa: E402
from recsys.data.encoding import encode  # noqa: E402
from recsys.data.interactions import Interactions  # noqa: E402
from recsys.data.splitting import split_at  # noqa: E402
from recsys.evaluation.metrics import bootstrap_interval, paired_lower_bound  # noqa: E402
from recsys.evaluation.protocol import EvaluationSet, build_evaluation_set  # noqa: E402
from recsys.evaluation.selection import fit_priors  # noqa: E402
from recsys.recommending.runs import Evidence, choose  # noqa: E402
from recsys.scorers.registry import MODELS, REGISTRY  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

if TYPE_CHECKING:
    from recsys.training.fitting import FittedModels

NAME = "per-request choice"
KEPT = Path("benchmarks/results/per_request_choice.json")
RULE = "allow"
LEAST_SWITCHED = 0.02  # of the users: with fewer, the choice changes nothing
MOST_LOST = 0.005  # of the best model's MAP@10, which the lower bound may lose


@dataclass(frozen=True)
class Half:
    """The metrics of every candidate on one half of the window, one row for each user.

    Attributes:
        users: `(n,)` int64, indices of the users.
        n_relevant: `(n,)` int64, the number of relevant items of each.
        average_precision: `(n,)` AP@10 of each candidate.
        precision: `(n,)` P@10 of each candidate.
    """

    users: NDArray[np.int64]
    n_relevant: NDArray[np.int64]
    average_precision: Mapping[str, NDArray[np.float64]]
    precision: Mapping[str, NDArray[np.float64]]


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        if flags.markdown:
            return write_page(flags.markdown, root / KEPT, check=flags.check)
        if flags.data_dir is None:
            raise BenchmarkError("DATA_DIR should name the folder of the sets. Received: nothing.")
        figures = measure(flags.data_dir, flags.seed, options(flags))
    except BenchmarkError as error:
        console(stderr=True).print(f"per_request_choice: {error}")
        return 1
    if flags.json:
        pages.keep(flags.json, figures)
    console().print(rendered(figures))
    return 0


def options(flags: argparse.Namespace) -> dict[str, int]:
    """Return the options of training that the command line changes."""
    return {name: value for name in ("epochs", "dim") if (value := getattr(flags, name)) is not None}


def measure(data_dir: Path, seed: int, changed: Mapping[str, int]) -> dict[str, Any]:
    """Return the figures of the choice on Online Retail, with repeats allowed.

    All models are fitted once, on the events before the cut. What validation chose is the best model for all users. In
    the second half of the window each user's history goes on to its start, as a served one does.

    Args:
        data_dir: Holds the folder of the set.
        seed: Seed of the fits.
        changed: Options of training that differ from the defaults.

    Raises:
        BenchmarkError: A file is missing.
    """
    from recsys.training.fitting import choose as choose_hyperparameters  # these import TensorFlow
    from recsys.training.fitting import fit_models
    from recsys.training.publishing import git_commit

    watch = Watch(console(stderr=True).print)
    parts = ONLINE_RETAIL.load(data_dir)
    trained = replace(training(has_clock=True), seed=seed, **changed)
    validation, test = parts.validation, parts.test
    choices = choose_hyperparameters(validation.data, validation.evaluation_sets, RULE, trained, watch.epoch)
    watch.lap("chose on validation")
    models = fit_models(test.encoders, test.data, trained, choices, watch.epoch)
    watch.lap("fitted before the cut")
    first, second = evaluation_halves(purchases(data_dir / ONLINE_RETAIL.name / FILE), test)
    names = [name for name in REGISTRY if name in models.scorers and name in {*MODELS, choices.winner}]
    evidence, reported = (half_of(models, names, half) for half in (first, second))
    watch.lap("evaluated both halves")
    return {
        **compare(choices.winner, evidence, reported),
        "set": ONLINE_RETAIL.name,
        "seed": seed,
        "options": dict(changed),
        "commit": git_commit(),
        "data_sha256": ONLINE_RETAIL.sha256(data_dir),
    }


def evaluation_halves(rows: Interactions, test: Part) -> tuple[EvaluationSet, EvaluationSet]:
    """Return the evaluation sets of the two halves of the time after the cut, on the items and users known before it.

    Args:
        rows: All events of the set.
        test: The events before the cut, encoded.
    """
    encoders, cut = test.encoders, quantile_cut(rows.timestamps)
    before, after = split_at(rows, cut)
    middle = (cut + int(after.timestamps.max()) + 1) // 2
    known = encoders.users.indices(after.users) < encoders.users.unknown
    known &= encoders.items.indices(after.items) < encoders.items.unknown
    first, second = split_at(after.take(known), middle)
    until_middle = encode(split_at(rows, middle)[0], encoders, SHOP, training(has_clock=True), middle)

    def after_moment(past: Dataset, later: Interactions, moment: int) -> EvaluationSet:
        return build_evaluation_set(
            past,
            later,
            encoders,
            shop=SHOP,
            active=np.ones(past.n_items, bool),
            cut=moment,
            repeat_after_days=REPEAT_AFTER_DAYS[RULE],
            rng=np.random.default_rng(SEED),
            max_users=len(later) + 1,
        )

    return after_moment(test.data, first, cut), after_moment(until_middle, second, middle)


def half_of(models: FittedModels, names: list[str], evaluation_set: EvaluationSet) -> Half:
    """Return the metrics of some scorers on one half.

    Args:
        models: Fitted before the cut.
        names: The candidates.
        evaluation_set: The users of this half.
    """
    results = evaluate_scorers({name: models.scorers[name] for name in names}, evaluation_set)
    return Half(
        users=np.array([case.query.user for case in evaluation_set.cases], np.int64),
        n_relevant=evaluation_set.n_relevant,
        average_precision={name: result.per_user["map10"] for name, result in results.items()},
        precision={name: result.per_user["p10"] for name, result in results.items()},
    )


def compare(best: str, evidence: Half, reported: Half) -> dict[str, Any]:
    """Return what choosing on one half gains on the other.

    Args:
        best: The model that is best over all users, which validation chose.
        evidence: The half that chooses; it also gives the priors.
        reported: The half that is reported.

    Returns:
        Counts of users; MAP@10 of the best model and of the choice; their mean difference, its one-sided 95 % lower
        bound and 95 % interval; how often each model answered; MAP@10 of each candidate.
    """
    priors = fit_priors(best, evidence.average_precision, evidence.n_relevant)
    rows = {int(user): row for row, user in enumerate(evidence.users)}
    names = list(reported.average_precision)

    def chosen(user: int) -> str:
        row = rows.get(user)
        return choose(priors, None if row is None else evidence_of(evidence, row), names)

    answers = [chosen(int(user)) for user in reported.users]
    ours = np.array([reported.average_precision[name][row] for row, name in enumerate(answers)])
    theirs = reported.average_precision[best]
    low, high = bootstrap_interval(ours - theirs, np.random.default_rng(SEED))
    return {
        "best": best,
        "users": len(answers),
        "with_evidence": sum(int(user) in rows for user in reported.users),
        "switched": sum(name != best for name in answers),
        "answers": {name: answers.count(name) for name in names},
        "map10": {name: float(reported.average_precision[name].mean()) for name in names},
        "map10_of_best": float(theirs.mean()),
        "map10_of_choice": float(ours.mean()),
        "difference": float((ours - theirs).mean()),
        "lower_bound": paired_lower_bound(ours, theirs, np.random.default_rng(SEED)),
        "low": low,
        "high": high,
    }


def evidence_of(half: Half, row: int) -> Evidence:
    """Return one user's metrics as serving passes them to the choice."""
    average_precision = {name: float(values[row]) for name, values in half.average_precision.items()}
    precision = {name: float(values[row]) for name, values in half.precision.items()}
    return Evidence(average_precision, int(half.n_relevant[row]), precision)


def is_worth_it(figures: Mapping[str, Any]) -> bool:
    """Return whether the choice switches enough users and surely loses next to nothing."""
    enough = figures["switched"] >= LEAST_SWITCHED * figures["users"]
    return bool(enough and figures["lower_bound"] > -MOST_LOST * figures["map10_of_best"])


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    users, best, alone = figures["users"], figures["best"], figures["map10_of_best"]
    rows = [
        [f"**{name}** ★" if name == best else name, f"{map10:.4f}", f"{map10 - alone:+.4f}", f"{answers:,}"]
        for name, answers in figures["answers"].items()
        for map10 in [figures["map10"][name]]
    ]
    changed = "".join(f", `--{name} {value}`" for name, value in figures["options"].items())
    commit, data = str(figures["commit"])[:8], figures["data_sha256"][:8]
    interval = f"{figures['low']:+.5f} to {figures['high']:+.5f}"
    switched, verdict = figures["switched"], "It is" if is_worth_it(figures) else "It is not"
    notes = [
        f"{users:,} users in the second half; {figures['with_evidence']:,} of them have metrics of the first.",
        f"{switched:,} users ({switched / users:.1%}) get another model than {best}, which validation chose for all.",
        f"MAP@10 is {figures['map10_of_choice']:.4f} with the choice and {alone:.4f} without: "
        f"{figures['difference']:+.5f} ({interval}).",
        f"The lower bound is {figures['lower_bound']:+.5f}, {figures['lower_bound'] / alone:+.2%} of {best}'s MAP@10.",
        f"{verdict} worth it: at least {LEAST_SWITCHED:.0%} of the users have to be switched, and the lower bound "
        f"has to be above −{MOST_LOST:.1%}.",
        f"Seed {figures['seed']}{changed}; commit {commit}, data {data}.",
    ]
    titles = ["model", "MAP@10", "to the best", "users whom it answers"]
    return tables.grid(titles, rows, n_left=1) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between their markers, or compare; returns the exit status."""
    if not page.is_file():
        raise BenchmarkError(f"--markdown should name a page. Received: {page}, which is not there.")
    block = rendered(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/per_request_choice.py", check=check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DATA_DIR", help="holds a folder a set")
    parser.add_argument("--seed", type=pages.positive, default=7, metavar="N", help="of the fits (7)")
    parser.add_argument("--epochs", type=pages.positive, metavar="N", help="epochs at most, as for train.py")
    parser.add_argument("--dim", type=pages.positive, metavar="N", help="width of embeddings, as for train.py")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
