"""The command line of training: flags → settings → checks → the run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser

TRAIN = """Train on the shop's own tables, evaluate, and publish a version.

Exit status: 0 published (or dry run), 1 failed, 2 wrong command line, 3 refused, 130 interrupted."""
INTERRUPTED = 130  # as shells have it for Ctrl-C
MOMENT_S = 0.05  # until the callback has returned
FAREWELL = "Interrupted; nothing of an unfinished version is left.\n"


def train_command() -> int:
    """Run `recsys-train` and return the exit status."""
    leave_on_interrupt()
    return train(sys.argv[1:], Path.cwd())


def leave_on_interrupt() -> None:
    """End the process at once on Ctrl-C: importing TensorFlow takes seconds, and would swallow a KeyboardInterrupt or bend it."""

    def leave(*_: object) -> NoReturn:
        os.write(2, FAREWELL.encode())
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, leave)  # until the run begins, there is nothing to take back


def interrupt_again_where_swallowed() -> None:
    """Interrupt the main thread once more, in a moment, where a callback of TensorFlow's has swallowed a KeyboardInterrupt."""
    import _thread
    import threading

    print_others = sys.unraisablehook

    def again(swallowed: sys.UnraisableHookArgs) -> None:
        if issubclass(swallowed.exc_type, KeyboardInterrupt):
            threading.Timer(MOMENT_S, _thread.interrupt_main).start()
        else:
            print_others(swallowed)

    sys.unraisablehook = again


def train(argv: Sequence[str], root: Path) -> int:
    """Train on the shop's tables, evaluate and publish a version.

    Args:
        argv: The command line without the program's name.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.

    Returns:
        The exit status: 0 published (or dry run), 1 failed, 3 refused, 130 interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its banners are noise
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same figures on every processor, and one banner less
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads beside TensorFlow's own are slower than one
    from recsys.errors import NotEnoughData, RecsysError, TrainingRefused

    flags = vars(_parser().parse_args(argv))
    try:
        _train(flags, root)
    except KeyboardInterrupt:
        sys.stderr.write(FAREWELL)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if str(error.name).startswith("recsys"):
            raise
        needed = "Training should have the packages of requirements.txt, or of `pip install recsys[train]`"
        sys.stderr.write(f"{needed}. Missing: {error.name}.\n")
        return 1
    except RecsysError as error:
        from recsys.training.terminal import console

        refused = isinstance(error, NotEnoughData | TrainingRefused)
        console(stderr=True).print(f"{'Refused' if refused else 'Failed'}: {error}", style="bold red")
        return 3 if refused else 1
    return 0


def _train(flags: dict[str, object], root: Path) -> None:
    """Check all that can be known before, then train and print what came of it."""
    import time
    from dataclasses import fields, replace

    from recsys.settings import Training, load_settings
    from recsys.training.preflight import check

    settings = load_settings(os.environ, root)
    given = {option.name: flags[option.name] for option in fields(Training) if flags[option.name] is not None}
    settings = replace(settings, training=replace(settings.training, **given))  # type: ignore[arg-type] # as the parser read them
    now, dry_run = int(time.time()), bool(flags["dry_run"])
    check(settings, now=now, dry_run=dry_run)
    from recsys.training.console import TrainingConsole
    from recsys.training.train import train as train_models  # TensorFlow: seconds that a wrong setting should not cost

    progress = TrainingConsole()
    interrupt_again_where_swallowed()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    progress.outcome(train_models(settings, now=now, progress=progress, protocol=str(flags["eval"]), dry_run=dry_run))


def _parser() -> ArgumentParser:
    import inspect
    import re
    from argparse import RawDescriptionHelpFormatter
    from dataclasses import fields

    from recsys.errors.secrets import Parser
    from recsys.settings import Training

    parser = Parser(description=TRAIN, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="Evaluate and print; publish and write nothing.")
    how = "How to evaluate: by one cut in time, or with each user's last item among 99 sampled ones. Default time."
    parser.add_argument("--eval", choices=("time", "loo99"), default="time", help=how)
    meanings = dict(
        re.findall(r"^    (\w+): (.+?)(?=\n    \w|\Z)", inspect.getdoc(Training) or "", re.MULTILINE | re.DOTALL)
    )
    for option in fields(Training):
        kind = {"int": int, "float": float, "str": str}[str(option.type)]
        text = f"{' '.join(meanings.get(option.name, '').split())} Default {option.default}; {_range(option.name)}."
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=kind, metavar=kind.__name__, help=text.replace("%", "%%"))
    return parser


def _range(name: str) -> str:
    """Return what an option may be, in words."""
    from recsys.settings import LOSSES, TRAINING_RANGES

    if name not in TRAINING_RANGES:
        return f"one of {', '.join(LOSSES)}"
    least, most = (f"{value:,.0f}" if float(value).is_integer() else f"{value:g}" for value in TRAINING_RANGES[name])
    return f"above 0, at most {most}" if 0 < TRAINING_RANGES[name][0] < 1e-6 else f"from {least} to {most}"
