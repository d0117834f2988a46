"""Train on the shop's own tables and publish a version: flags → settings → recsys.training.

Exit status: 0 published (or dry run), 1 failed, 3 refused.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its banners are noise
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same figures on every processor, and one banner less
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads beside TensorFlow's own are slower than one

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from recsys.errors import NotEnoughData, RecsysError, TrainingRefused  # noqa: E402
from recsys.settings import Training, load_settings  # noqa: E402


def main(argv: list[str]) -> int:
    """Run the training; returns the exit status."""
    parser = argparse.ArgumentParser(description="Train the models on the shop's tables, evaluate them and publish a version.")
    parser.add_argument("--dry-run", action="store_true", help="evaluate and print, publish nothing")
    parser.add_argument("--eval", choices=("time", "loo99"), default="time", help="one cut in time, or leave-one-out among 99 negatives")
    for option in fields(Training):
        kind = {"int": int, "float": float, "str": str}[str(option.type)]
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, metavar=kind.__name__, help=f"default {option.default}")
    flags = vars(parser.parse_args(argv))
    from recsys.training import train
    from recsys.training.console import TrainingConsole

    console = TrainingConsole()
    try:
        settings = load_settings(os.environ, ROOT)
        given = {option.name: flags[option.name] for option in fields(Training) if flags[option.name] is not None}
        settings = replace(settings, training=replace(settings.training, **given))
        outcome = train(settings, now=int(time.time()), progress=console, protocol=flags["eval"], dry_run=flags["dry_run"])
    except RecsysError as error:
        refused = isinstance(error, NotEnoughData | TrainingRefused)
        console.failure(f"{'Refused' if refused else 'Failed'}: {error}")
        return 3 if refused else 1
    console.outcome(outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
