r"""Fit the stars that users give: compare on a cut in time, publish what beats the biases alone, and predict.

  python scripts/train_ratings.py                                  the shop's own ratings, 20 epochs
  python scripts/train_ratings.py --predictions stars.jsonl        and the best 50 unrated items of each user
  python scripts/train_ratings.py --dry-run --without-bmf          only compare, without TensorFlow

Ratings are the sources of recsys.toml that have a column `rating`; by default the table Comments. Models lie in the
folder `ratings` of MODELS_DIR. Each line of the predictions is {"user_id", "items": [{"item_id", "value"}]}.

Exit status: 0 published (or dry run), 1 failed, 2 wrong command line, 3 refused, 75 another training runs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: it prints banners otherwise
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from rich.table import Table  # noqa: E402

from recsys.errors import AlreadyTraining, NotEnoughData, RecsysError, TrainingRefused  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.ratings.fitting import EPOCHS  # noqa: E402
from recsys.ratings.model import RatingModel, best_unrated  # noqa: E402
from recsys.ratings.ratings import Ratings, ratings_of  # noqa: E402
from recsys.ratings.training import FOLDER, Comparison, compare, train_ratings  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.store import connect, read_interactions  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

REFUSED = 3


def main(argv: list[str]) -> int:
    """Run the training and return the exit status."""
    flags = _parser().parse_args(argv)
    try:
        _run(flags)
    except (NotEnoughData, TrainingRefused) as error:
        console(stderr=True).print(f"Refused: {error}")
        return REFUSED
    except RecsysError as error:
        console(stderr=True).print(f"Failed: {error}")
        return AlreadyTraining.exit_status if isinstance(error, AlreadyTraining) else 1
    return 0


def _run(flags: argparse.Namespace) -> None:
    settings = load_settings(os.environ, ROOT)
    with connect(settings.database_url) as db:
        events, _ = read_interactions(db, settings.shop)
    ratings, dropped = ratings_of(events)
    out = console()
    out.print(f"{len(ratings):,} ratings; dropped: {', '.join(f'{n:,} {why}' for why, n in dropped.items())}")
    if flags.without_bmf:
        others = {}
    else:
        from recsys.ratings.bmf import bmf_stars

        others = {"BMF": bmf_stars}
    if flags.dry_run:
        out.print(_table(compare(ratings, epochs=flags.epochs, others=others)))
        return
    model = train_ratings(
        ratings,
        settings.models_dir / FOLDER,
        now=int(time.time()),
        epochs=flags.epochs,
        others=others,
        tell=lambda comparison: out.print(_table(comparison)),
    )
    out.print(f"Published {model.name}.")
    if flags.predictions:
        n_users = _write_predictions(model, ratings, flags.predictions, flags.limit)
        out.print(f"Wrote the best {flags.limit} of each of {n_users:,} users to {flags.predictions}.")


def _table(comparison: Comparison) -> Table:
    counts = f"{comparison.n_after:,} ratings after the cut, {comparison.n_known:,} of them of known users and items"
    table = Table("prediction", "RMSE", "MAE", "RMSE, known", "MAE, known", title=counts)
    for name, errors in comparison.every.items():
        of_known = comparison.known.get(name)
        pairs = [errors.rmse, errors.mae] + ([of_known.rmse, of_known.mae] if of_known else [])
        table.add_row(name, *(f"{value:.4f}" for value in pairs))
    return table


def _write_predictions(model: RatingModel, ratings: Ratings, path: Path, limit: int) -> int:
    """Write the file beside its place, and rename it when it is whole; returns the number of lines."""
    n_users, aside = 0, path.with_name(f"{path.name}.tmp")
    with aside.open("w", encoding="utf-8") as file:
        for user, items, stars in best_unrated(model, ratings, limit):
            pairs = zip(items.tolist(), stars.tolist(), strict=True)
            best = [{"item_id": item, "value": round(value, 4)} for item, value in pairs]
            file.write(json.dumps({"user_id": user if isinstance(user, str) else int(str(user)), "items": best}) + "\n")
            n_users += 1
    aside.replace(path)
    return n_users


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=_positive, default=EPOCHS, metavar="N", help=f"passes; default {EPOCHS}")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="write the best unrated items of each user")
    parser.add_argument("--limit", type=_positive, default=50, metavar="N", help="items of each user; default 50")
    parser.add_argument("--without-bmf", action="store_true", help="compare without BMF, which needs TensorFlow")
    parser.add_argument("--dry-run", action="store_true", help="only compare; publish and write nothing")
    return parser


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 10**6):
        raise argparse.ArgumentTypeError(f"it should be a whole number from 1. Received: {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
