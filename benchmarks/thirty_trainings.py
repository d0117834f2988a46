"""Thirty real trainings, one a week, of a shop that grows and drifts: is what serves ever worse than a baseline?

    python benchmarks/thirty_trainings.py --json benchmarks/results/thirty_trainings.json
    python benchmarks/thirty_trainings.py --markdown docs/METRICS.md
    python benchmarks/thirty_trainings.py --markdown docs/METRICS.md --check

Each training is `train.py` in a process of its own, with one epoch, on the sixty customers of
benchmarks/drifting_shop.py and all that they have done so far. Three of them get a damaged export. After each one, the
version that is active then is compared with every baseline, fitted anew, twice: as the gate does it, by the evaluation
fits on the newest fifth of the events; and by the fits that serve, on what the customers do in the next four weeks. The
best baseline is named afterwards, by the same users. An interval holds for all trainings together, at 95 %.

The first criterion was stricter: on the next four weeks, with each interval for itself. The page says whether it holds,
and after which trainings it does not.

The command ends with 1 if the active version is below the best baseline by more than the interval where the gate looks,
if a damaged export is published, or if a training fails. It takes about ten minutes of one processor. --markdown writes
the kept figures into the page; with --check it only compares, and exits with 1 if the page differs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as train.py does
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import pages  # noqa: E402
from benchmarks.drifting_shop import CUSTOMERS, DAMAGES, WEEK, DriftingShop  # noqa: E402
from benchmarks.measuring import tables  # noqa: E402
from recsys.artifacts import current, current_name, history  # noqa: E402
from recsys.data.cleaning import clean  # noqa: E402
from recsys.data.encoding import Encoders, encode  # noqa: E402
from recsys.data.ids import IdMap  # noqa: E402
from recsys.data.interactions import Catalogue, Interactions  # noqa: E402
from recsys.data.splitting import cut_time, split_at  # noqa: E402
from recsys.evaluation.metrics import bootstrap_interval  # noqa: E402
from recsys.lifecycle.choice import ALL  # noqa: E402
from recsys.lifecycle.comparison import (  # noqa: E402
    EvaluationFit,
    LaterEvents,
    SharedCases,
    average_precisions,
    shared_cases,
    stored_fit,
)
from recsys.recommending.loading import load  # noqa: E402
from recsys.scorers.registry import BASELINES, REGISTRY  # noqa: E402
from recsys.settings import Settings, load_settings  # noqa: E402
from recsys.store import connect, migrate, read_catalogue, read_interactions  # noqa: E402
from recsys.training.closed_form.choose import fit_baselines  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

NAME = "thirty trainings"
KEPT = Path("benchmarks/results/thirty_trainings.json")
TRAININGS, FIRST_WEEKS, LATER_WEEKS = 30, 12, 4
GATE, FUTURE = "gate", "future"  # the two comparisons
OPTIONS = ("--epochs", "1", "--dim", "8", "--factors", "8")
SEED = 7
LEVEL, RESAMPLES = 0.95, 10_000  # of all intervals together; a level of one in thirty needs many resamples
L2 = 50.0  # of EASE, in users: about as many as there are
DAMAGED = dict(zip((8, 16, 24), DAMAGES, strict=True))  # by the number of the training
PUBLISHED, REFUSED = 0, 3  # exit statuses of train.py

err = console(stderr=True)


@dataclass(frozen=True)
class Moment:
    """What is known at a moment, and what happens afterwards.

    Attributes:
        settings: Of the shop.
        events: The events before and after it, with the products.
        cases: The customers known before who choose something after it.
    """

    settings: Settings
    events: LaterEvents
    cases: SharedCases


def main(argv: list[str], root: Path = ROOT) -> int:
    """Measure, or write the page; returns the exit status."""
    flags = _parser().parse_args(argv)
    if flags.markdown:
        return write_page(flags.markdown, root / KEPT, check=flags.check)
    began, processor = time.monotonic(), _processor_s()
    with tempfile.TemporaryDirectory(prefix="recsys-thirty-") as folder:
        rows = train_often(Path(folder), flags.trainings, flags.seed)
    figures = {
        "trainings": rows,
        "seed": flags.seed,
        "options": list(OPTIONS),
        "minutes": (time.monotonic() - began) / 60,
        "processor_minutes": (_processor_s() - processor) / 60,
        "commit": _commit(),
    }
    if flags.json:
        pages.keep(flags.json, figures)
    console().print(rendered(figures))
    return int(bool(faults(rows)))


def train_often(folder: Path, trainings: int, seed: int) -> list[dict[str, Any]]:
    """Return the figures of each training.

    Args:
        folder: Empty; it gets the shop and its versions.
        trainings: How many.
        seed: Of the shop.
    """
    settings, future = _settings(folder / "shop.sqlite"), _settings(folder / "future.sqlite")
    shop, ahead = (DriftingShop(np.random.default_rng(seed)) for _ in range(2))
    for made in (settings, future):
        with connect(made.database_url, create=True) as db:
            migrate(db)
    with connect(future.database_url) as db:
        for _ in range(FIRST_WEEKS + trainings + LATER_WEEKS):
            ahead.pass_week(db)
        all_events = read_interactions(db, future.shop)[0]
    rows = []
    for number in range(1, trainings + 1):
        with connect(settings.database_url) as db:
            for _ in range(FIRST_WEEKS if number == 1 else 1):
                shop.pass_week(db)
            recorded, catalogue = read_interactions(db, settings.shop)[0], read_catalogue(db, settings.shop)
        damage, began = DAMAGED.get(number), _processor_s()
        status, said = run_training(folder, damage)
        cut = cut_time(recorded.timestamps, settings.training.test_quantile)
        later = split_at(all_events, shop.moment + LATER_WEEKS * WEEK)[0]
        level = 1 - (1 - LEVEL) / trainings
        row = {
            "number": number,
            "until": shop.moment,
            "events": len(recorded),
            "damage": damage,
            "status": status,
            "said": said,
            "version": current_name(settings.models_dir),
            "processor_s": _processor_s() - began,
        }
        with current(settings.models_dir) as version:
            row["scorer"] = version.manifest["winner"]
            row[GATE] = compare(stored_fit(version, catalogue), moment_of(settings, recorded, catalogue, cut), level)
            ahead_of = moment_of(settings, later, catalogue, shop.moment)
            row[FUTURE] = compare(serving_fit(settings, catalogue), ahead_of, level)
        differences = [f"{row[side]['difference']:+.4f} (at most {row[side]['high']:+.4f})" for side in (GATE, FUTURE)]
        err.print(f"{number:2}  {said}  {', '.join(differences)}", soft_wrap=True)
        rows.append(row)
    if len(history(settings.models_dir)) < trainings:
        raise SystemExit(f"The history should have {trainings} runs. Received: {len(history(settings.models_dir))}.")
    return rows


def run_training(folder: Path, damage: str | None) -> tuple[int, str]:
    """Train on the shop, or on a damaged copy of its tables; returns the exit status and what training said at last."""
    database = folder / "shop.sqlite"
    if damage:
        database = Path(shutil.copy(database, folder / "damaged.sqlite"))
        with connect(_settings(database).database_url) as db:
            DAMAGES[damage](db)
    command = [sys.executable, str(ROOT / "train.py"), *OPTIONS]
    run = subprocess.run(command, env={**os.environ, **_environ(database)}, capture_output=True, text=True, check=False)
    lines = (run.stdout if run.returncode == PUBLISHED else run.stderr).strip().splitlines()
    return run.returncode, " ".join(lines[-1:] if run.returncode == PUBLISHED else lines[-4:])[-300:]


def moment_of(settings: Settings, recorded: Interactions, catalogue: Catalogue, moment: int) -> Moment:
    """Return what is known at a moment, and what the customers who are known choose after it.

    Args:
        settings: Of the shop.
        recorded: Events before and after it, not cleaned.
        catalogue: The products.
        moment: Seconds since 1970.
    """
    shop, options = settings.shop, settings.training
    before, after = (
        clean(part, shop=shop, training=options, now=int(recorded.timestamps.max()) + 1)[0]
        for part in split_at(recorded, moment)
    )
    events = LaterEvents(before, after, moment, catalogue, shop, options)
    contexts = Encoders.fit(before, catalogue, options.min_item_events).contexts
    return Moment(settings, events, shared_cases(events, contexts))


def compare(active: EvaluationFit | None, moment: Moment, level: float) -> dict[str, Any]:
    """Return the MAP@10 of a fit and of the best baseline, and their mean difference with its paired interval.

    Args:
        active: A fit of the active version.
        moment: When the baselines are fitted anew, and the cases.
        level: Of the interval.
    """
    if active is None:
        raise SystemExit("The active version should hold its evaluation fit. Received: none.")
    ours, theirs = average_precisions(active, moment.cases, moment.events), baselines(moment)
    best = max(theirs, key=lambda name: float(theirs[name].mean()))
    differences = ours - theirs[best]
    low, high = bootstrap_interval(differences, np.random.default_rng(SEED), n=RESAMPLES, level=level)
    single = bootstrap_interval(differences, np.random.default_rng(SEED), n=RESAMPLES, level=LEVEL)
    return {
        "users": len(ours),
        "map10": float(ours.mean()),
        "best": best,
        "map10_of_best": float(theirs[best].mean()),
        "difference": float(differences.mean()),
        "low": low,
        "high": high,
        "single": list(single),
    }


def serving_fit(settings: Settings, catalogue: Catalogue) -> EvaluationFit:
    """Return the fit of the active version that serves, as a comparison takes it."""
    bundle = load(settings.models_dir)
    users, items = (IdMap(bundle.version.arrays("encoders.h5")[name]) for name in ("users", "items"))
    categories = np.append(catalogue.categories, np.array([None]))[catalogue.rows_of(items.ids)]
    encoders = Encoders(users, items, bundle.contexts, bundle.contexts.column("category", [*categories, None]))
    return EvaluationFit(encoders, bundle.scorers, bundle.version.manifest["serves"])


def baselines(moment: Moment) -> dict[str, NDArray[np.float64]]:
    """Return the AP@10 of each baseline, fitted anew on all events before a moment, one for each user of the cases."""
    events = moment.events
    encoders = Encoders.fit(events.before, events.catalogue, events.training.min_item_events)
    data = encode(events.before, encoders, events.shop, events.training, events.moment)
    arrays: dict[str, Any] = fit_baselines(data, L2)
    no_features: Any = None  # only ensembles read them
    scorers = {name: REGISTRY[name].build(arrays[name], no_features) for name in BASELINES if name in arrays}
    fits = {name: EvaluationFit(encoders, {name: scorer}, {ALL: name}) for name, scorer in scorers.items()}
    return {name: average_precisions(fit, moment.cases, events) for name, fit in fits.items()}


def faults(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what should not have happened, one sentence each."""
    found = []
    for row in rows:
        if row[GATE]["high"] < 0:
            found.append(f"After training {row['number']} the active version is surely below {row[GATE]['best']}.")
        if row["damage"] and row["status"] != REFUSED:
            found.append(f"Training {row['number']} should be refused. Received: status {row['status']}.")
        if row["status"] not in (PUBLISHED, REFUSED):
            found.append(f"Training {row['number']} failed: {row['said']}")
    return found


def rendered(figures: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    rows = figures["trainings"]
    lines = [
        [
            str(row["number"]),
            f"{row['events']:,}",
            _outcome(row),
            row["scorer"],
            *_cells(row[GATE]),
            *_cells(row[FUTURE]),
        ]
        for row in rows
    ]
    refused = [str(row["number"]) for row in rows if row["status"] == REFUSED]
    users = [row[side]["users"] for row in rows for side in (GATE, FUTURE)]
    notes = faults(rows) or [
        f"Where the gate looks, the active version is after none of the {len(rows)} trainings surely below the best "
        "baseline."
    ]
    notes += [
        first_criterion(rows),
        _summary("On the newest fifth of the events", [row[GATE] for row in rows]),
        _summary(f"In the {LATER_WEEKS} weeks that follow", [row[FUTURE] for row in rows]),
        f"Refused: {', '.join(refused) or 'none'}. The version before served on.",
        f"{CUSTOMERS} customers at a time; a comparison has {min(users)} to {max(users)} of them. The best baseline is "
        "named afterwards, by the same users, which favours it.",
        f"{figures['processor_minutes']:.0f} minutes of one processor, {figures['minutes']:.0f} by the clock; "
        f"`train.py {' '.join(figures['options'])}`, seed {figures['seed']}, commit {str(figures['commit'])[:8]}.",
    ]
    titles = ["", "events", "training", "serves", "newest fifth: MAP@10", "best baseline", "difference"]
    titles += ["next weeks: MAP@10", "best baseline", "difference"]
    return tables.grid(titles, lines, n_left=0) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def first_criterion(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return whether the active version is never surely below the best baseline in the weeks that follow.

    The criterion takes each interval for itself, as if there were one training.
    """
    missed = [str(row["number"]) for row in rows if row[FUTURE]["single"][1] < 0]
    words = f"below the best baseline in the {LATER_WEEKS} weeks that follow, each 95 % interval for itself"
    if not missed:
        return f"**The first criterion held**: after none of the {len(rows)} trainings surely {words}."
    return (
        f"**The first criterion failed**: after {len(missed)} of the {len(rows)} trainings ({', '.join(missed)}) the "
        f"active version is surely {words}."
    )


def _outcome(row: Mapping[str, Any]) -> str:
    outcome = {PUBLISHED: "published", REFUSED: "refused"}.get(row["status"], "failed")
    return f"{outcome}: {row['damage']}" if row["damage"] else outcome


def _cells(side: Mapping[str, Any]) -> list[str]:
    best = f"{side['best']} {side['map10_of_best']:.3f}"
    return [f"{side['map10']:.3f}", best, f"{side['difference']:+.3f} ({side['low']:+.3f} to {side['high']:+.3f})"]


def _summary(where: str, sides: Sequence[Mapping[str, Any]]) -> str:
    """Return how often what serves is surely below the best baseline, and the mean difference."""
    together, alone = (sum(side["high"] < 0 for side in sides), sum(side["single"][1] < 0 for side in sides))
    mean = float(np.mean([side["difference"] for side in sides]))
    return (
        f"{where}, it is surely below {together} times by the intervals that hold together, {alone} times by those "
        f"that hold alone. The mean difference is {mean:+.4f}."
    )


def write_page(page: Path, kept: Path, *, check: bool) -> int:
    """Write the kept figures between their markers, or compare; returns the exit status."""
    block = rendered(json.loads(kept.read_text(encoding="utf-8"))) if kept.exists() else pages.NOT_TAKEN
    text = pages.replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return pages.settled(page, text, "benchmarks/thirty_trainings.py", check=check)


def _environ(database: Path) -> dict[str, str]:
    folder = database.parent
    toml = folder / "recsys.toml"
    toml.touch()
    return {
        "DATABASE_URL": f"sqlite:///{database}",
        "MODELS_DIR": str(folder / "models"),
        "RECSYS_TOML": str(toml),
    }


def _settings(database: Path) -> Settings:
    return load_settings(_environ(database), database.parent)


def _processor_s() -> float:
    """Return the seconds of processor time of this process and of those that it has started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _commit() -> str | None:
    from recsys.training.publishing import git_commit  # it imports TensorFlow

    return git_commit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=pages.positive, default=TRAININGS, metavar="N", help="default 30")
    parser.add_argument("--seed", type=pages.positive, default=SEED, metavar="N", help="of the shop; default 7")
    pages.add_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
