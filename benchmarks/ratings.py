"""How far predicted stars are from given ones, and what the bulk upsert of suggestions saves.

    python benchmarks/ratings.py folds DATA_DIR         five folds of ml-100k; DATA_DIR holds ml-100k/ratings.csv.gz
    python benchmarks/ratings.py folds DATA_DIR --cornac    and Cornac's MF beside it, where it is installed
    python benchmarks/ratings.py upserts                a million suggestions, and the old loop on a tenth of them
    python benchmarks/ratings.py upserts --rows 100000
    python benchmarks/ratings.py upserts --loop 2000    fewer rows in the loop, where the disk is slow
    python benchmarks/ratings.py upserts --database mariadb     on a server of localhost

`folds` draws the folds once, by seed 7. The rates of the fit were chosen inside of the first fold's training part.
`upserts` measures wall and CPU time per row; every second pair exists before. SQLite is in a temporary folder. On
PostgreSQL and MariaDB, the rows are in a database of their own, which is dropped at the end. CPU time is that of this
process: on a server it counts the client alone, so that the bound there concerns wall time.

The exit status is 1 where a bound is missed: an RMSE of 0.935 in the mean, below the biases alone in every fold; 30
times as fast by either clock, on a server by wall time.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.pages import positive  # noqa: E402
from recsys.ratings.fitting import EPOCHS, FACTORS, fit_biases, fit_factors, mean_models  # noqa: E402
from recsys.ratings.model import Stars  # noqa: E402
from recsys.ratings.ratings import Ratings, clean_ratings  # noqa: E402
from recsys.ratings.training import Errors  # noqa: E402
from recsys.training.terminal import console  # noqa: E402
from tests.helpers.django_site import DATABASES, SERVERS, database  # noqa: E402

N_FOLDS, SEED = 5, 7
MOST_RMSE = 0.935
LEAST_RATIO = 30.0
BIASES, OURS = "biases alone", "biased factorisation (Surprise's SVD)"
MODEL = "20260101T000000Z-00000000"
N_FILMS = 500  # of the upserts; the users are as many as the rows need
Fit = Callable[[Ratings, Ratings], Stars]


def folds(data_dir: Path, *, cornac: bool) -> bool:
    """Print the errors of every prediction on five folds; returns whether the bounds hold."""
    with gzip.open(data_dir / "ml-100k" / "ratings.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    users, items = ([int(row[name]) for row in rows] for name in ("user_id", "item_id"))
    ratings, _ = clean_ratings(users, items, [row["rating"] for row in rows], [row["timestamp"] for row in rows])
    of_row = np.random.default_rng(SEED).permutation(len(ratings)) % N_FOLDS
    fits: dict[str, Fit] = {
        "global mean": lambda train, test: mean_models(train)["global mean"].predict(test.users, test.items),
        BIASES: lambda train, test: fit_biases(train).predict(test.users, test.items),
        OURS: lambda train, test: fit_factors(train).predict(test.users, test.items),
    }
    if cornac:
        fits["Cornac's MF, default rates"] = lambda train, test: _cornac(train, test, 0.01, 0.02)
        fits["Cornac's MF, our rates"] = lambda train, test: _cornac(train, test, 0.015, 0.1)
    errors: dict[str, list[Errors]] = {name: [] for name in fits}
    seconds: dict[str, list[float]] = {name: [] for name in fits}
    for fold in range(N_FOLDS):
        train, test = ratings.take(of_row != fold), ratings.take(of_row == fold)
        for name, fit in fits.items():
            began = time.process_time()
            errors[name].append(Errors.of(fit(train, test), test.values))
            seconds[name].append(time.process_time() - began)
    table = Table("prediction", "RMSE", "of the folds", "MAE", "CPU s")
    for name, of_folds in errors.items():
        each = " ".join(f"{one.rmse:.4f}" for one in of_folds)
        means = (np.mean([one.rmse for one in of_folds]), np.mean([one.mae for one in of_folds]))
        table.add_row(name, f"{means[0]:.4f}", each, f"{means[1]:.4f}", f"{np.median(seconds[name]):.2f}")
    console(log_width=140).print(table)
    ours, biases = ([one.rmse for one in errors[name]] for name in (OURS, BIASES))
    return bool(np.mean(ours) <= MOST_RMSE and all(a < b for a, b in zip(ours, biases, strict=True)))


def _cornac(train: Ratings, test: Ratings, rate: float, regularisation: float) -> Stars:
    from cornac.data import Dataset
    from cornac.models import MF

    rows = zip(train.users.tolist(), train.items.tolist(), train.values.tolist(), strict=True)
    data = Dataset.from_uir(list(rows), seed=SEED)
    model = MF(
        k=FACTORS,
        max_iter=EPOCHS,
        learning_rate=rate,
        lambda_reg=regularisation,
        use_bias=True,
        num_threads=1,
        seed=SEED,
    ).fit(data)
    users = np.array([data.uid_map.get(user, -1) for user in test.users.tolist()])
    items = np.array([data.iid_map.get(item, -1) for item in test.items.tolist()])
    stars = np.full(len(test), model.global_mean, np.float64)
    stars += np.where(users >= 0, model.u_biases[users], 0) + np.where(items >= 0, model.i_biases[items], 0)
    both = (users >= 0) & (items >= 0)
    stars[both] += np.einsum("nd,nd->n", model.u_factors[users[both]], model.i_factors[items[both]])
    return np.clip(stars, 1, 5)


def upserts(n_rows: int, n_loop: int, database_name: str) -> bool:
    """Print the times per row of both ways; returns whether the bound holds."""
    with database(database_name) as url, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"EXAMPLE_DIR": folder, "EXAMPLE_DATABASE_URL": url, "BROKER_URL": "memory://"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"
        sys.path.insert(0, str(ROOT / "integrations/django"))
        import django

        django.setup()
        from django.contrib.auth import get_user_model
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        model = get_user_model()
        n_users = -(-max(n_rows, n_loop) // N_FILMS)
        model.objects.bulk_create([model(username=f"user{n}") for n in range(n_users)], batch_size=1000)
        users = list(model.objects.order_by("pk").values_list("pk", flat=True))
        bulk = _time_a_row(n_rows, users, _in_bulk)
        loop = _time_a_row(n_loop, users, _one_by_one)
    table = Table("way", "rows", "wall µs a row", "CPU µs a row", "rows a second")
    for name, n, time_a_row in (("in bulk", n_rows, bulk), ("update_or_create in a loop", n_loop, loop)):
        wall, cpu = time_a_row
        table.add_row(name, f"{n:,}", f"{wall * 1e6:.1f}", f"{cpu * 1e6:.1f}", f"{1 / wall:,.0f}")
    out = console(log_width=100)
    out.print(table)
    ratios = [slow / fast for slow, fast in zip(loop, bulk, strict=True)]
    out.print("In bulk, a row is written {:.0f} times as fast by wall time, {:.0f} times by CPU time.".format(*ratios))
    return (ratios[0] if database_name in SERVERS else min(ratios)) >= LEAST_RATIO


def _time_a_row(n_rows: int, users: list[int], write: Callable[[Iterator[Any]], None]) -> tuple[float, float]:
    """Return the wall and the CPU seconds that a row takes."""
    from recsys_suggestions.models import Suggestion

    Suggestion.objects.all().delete()
    _in_bulk(_predictions(n_rows, users, 1.0, step=2))
    began = time.perf_counter(), time.process_time()
    write(_predictions(n_rows, users, 4.5))
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    counts = (Suggestion.objects.count(), Suggestion.objects.filter(value=4.5).count())
    if counts != (n_rows, n_rows):
        raise SystemExit(f"There should be {n_rows} suggestions with the new value. Received: {counts}.")
    return wall / n_rows, cpu / n_rows


def _predictions(n_rows: int, users: list[int], value: float, step: int = 1) -> Iterator[Any]:
    from recsys_suggestions.upserting import Predicted

    for n in range(0, n_rows, step):
        yield Predicted(users[n // N_FILMS], str(n % N_FILMS), value)


def _in_bulk(predictions: Iterator[Any]) -> None:
    from django.utils import timezone
    from recsys_suggestions.models import product_type
    from recsys_suggestions.upserting import blocks, upsert

    for block in blocks(predictions, 25_000):  # as many as a page has of 500 users and 50 products
        upsert(block, content_type=product_type().pk, model=MODEL, now=timezone.now())


def _one_by_one(predictions: Iterator[Any]) -> None:
    from recsys_suggestions.models import Suggestion, product_type

    content_type = product_type().pk
    for user, item, value in predictions:
        pair = {"user_id": user, "content_type_id": content_type, "object_id": item}
        Suggestion.objects.update_or_create(**pair, defaults={"value": value, "model": MODEL})


def main(argv: list[str]) -> int:
    """Run one benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_folds = commands.add_parser("folds", help="errors on five folds of ml-100k")
    of_folds.add_argument("data_dir", type=Path)
    of_folds.add_argument("--cornac", action="store_true", help="measure Cornac's MF, too")
    of_upserts = commands.add_parser("upserts", help="suggestions in bulk, and one by one")
    of_upserts.add_argument("--rows", type=positive, default=1_000_000, metavar="N", help="default 1,000,000")
    of_upserts.add_argument("--loop", type=positive, metavar="N", help="rows one by one; default a tenth of --rows")
    of_upserts.add_argument(
        "--database",
        choices=DATABASES,
        default=DATABASES[0],
        help="default %(default)s; on a server, CPU time counts the client alone, and the bound concerns wall time",
    )
    flags = parser.parse_args(argv)
    if flags.command == "folds":
        return 0 if folds(flags.data_dir, cornac=flags.cornac) else 1
    return 0 if upserts(flags.rows, flags.loop or max(1, flags.rows // 10), flags.database) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
