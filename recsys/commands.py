"""The commands of an installed package: `recsys-train` and `recsys-recommend`.

They read `.env`, `recsys.toml` and `models/` in the current folder. In a checkout, `train.py` and `recommend_api.py` do
the same with the files beside them. Nothing is imported before the threads and the streams are set up.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn


def train_command() -> int:
    """Run `recsys-train` and return the exit status."""
    return train(sys.argv[1:], Path.cwd())


def recommend_command() -> NoReturn:
    """Run `recsys-recommend`; the process ends with the answer's exit status."""
    import gc

    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[threads] = "1"  # before NumPy loads: the scorers run in threads of their own
    if not sys.argv[1:]:
        gc.disable()  # one request leaves little garbage; a worker does collect it
    from recsys.bridge import main

    os._exit(main(sys.argv[1:], root=Path.cwd()))  # without Python's tidying up, as recommend_api.py


def train(argv: Sequence[str], root: Path) -> int:
    """Train on the shop's tables, evaluate and publish a version.

    Args:
        argv: The command line without the program's name.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.

    Returns:
        The exit status: 0 published (or dry run), 1 failed, 3 refused.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its banners are noise
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same figures on every processor, and one banner less
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads beside TensorFlow's own are slower than one
    import argparse
    import time
    from dataclasses import fields, replace

    from recsys.errors import NotEnoughData, RecsysError, TrainingRefused
    from recsys.settings import Training, load_settings

    parser = argparse.ArgumentParser(description="Train the models on the shop's tables, evaluate them and publish a version.")
    parser.add_argument("--dry-run", action="store_true", help="evaluate and print, publish nothing")
    parser.add_argument("--eval", choices=("time", "loo99"), default="time", help="one cut in time, or leave-one-out among 99 negatives")
    for option in fields(Training):
        kind = {"int": int, "float": float, "str": str}[str(option.type)]
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, metavar=kind.__name__, help=f"default {option.default}")
    flags = vars(parser.parse_args(argv))
    try:
        from recsys.training import train as train_models
        from recsys.training.console import TrainingConsole
    except ModuleNotFoundError as error:
        parser.exit(
            1, f"Training should have the packages of requirements.txt, or of `pip install recsys[train]`. Missing: {error.name}.\n"
        )
    console = TrainingConsole()
    try:
        settings = load_settings(os.environ, root)
        given = {option.name: flags[option.name] for option in fields(Training) if flags[option.name] is not None}
        settings = replace(settings, training=replace(settings.training, **given))
        outcome = train_models(settings, now=int(time.time()), progress=console, protocol=flags["eval"], dry_run=flags["dry_run"])
    except RecsysError as error:
        refused = isinstance(error, NotEnoughData | TrainingRefused)
        console.failure(f"{'Refused' if refused else 'Failed'}: {error}")
        return 3 if refused else 1
    console.outcome(outcome)
    return 0
