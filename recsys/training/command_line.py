"""The command line of training: it reads flags and settings, checks what it can, and only then loads TensorFlow."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from types import TracebackType

    from recsys.errors import RecsysError
    from recsys.settings import Settings

DESCRIPTION = """Train on the shop's own tables, evaluate, and publish a version.

Exit status: 0 published (or dry run), 1 failed, 2 wrong command line, 3 refused, 75 another training runs on this
folder of versions, 130 interrupted."""
INTERRUPTED = 130  # the exit status that shells use for Ctrl-C
REPEAT_DELAY_S = 0.05  # seconds; by then the callback has returned
INTERRUPTED_TEXT = "Interrupted; nothing of an unfinished version is left.\n"


def train_command() -> int:
    """Run `recsys-train` and return the exit status."""
    leave_on_interrupt()
    return train(sys.argv[1:], Path.cwd())


def leave_on_interrupt() -> None:
    """End the process at once on Ctrl-C, with one line on stderr and status 130.

    Until the run begins, there is nothing to clean up. Importing TensorFlow takes seconds, and its import may swallow a
    KeyboardInterrupt or turn it into another error.
    """
    signal.signal(signal.SIGINT, _leave)


def _leave(*_: object) -> NoReturn:
    os.write(2, INTERRUPTED_TEXT.encode())
    os._exit(INTERRUPTED)


def interrupt_again_where_swallowed() -> None:
    """Interrupt the main thread again, a moment later, if a callback of TensorFlow swallowed a KeyboardInterrupt.

    Python calls the first hook for an error that a callback cannot raise. TensorFlow prints some errors and goes on,
    for which Python calls the second one.
    """
    import _thread
    import threading

    unraisablehook, excepthook = sys.unraisablehook, sys.excepthook

    def interrupt_again() -> None:
        threading.Timer(REPEAT_DELAY_S, _thread.interrupt_main).start()

    def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        swallowed = issubclass(unraisable.exc_type, KeyboardInterrupt)
        interrupt_again() if swallowed else unraisablehook(unraisable)

    def on_printed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        swallowed = issubclass(kind, KeyboardInterrupt)
        interrupt_again() if swallowed else excepthook(kind, error, trace)

    sys.unraisablehook, sys.excepthook = on_unraisable, on_printed


def train(argv: Sequence[str], root: Path) -> int:
    """Train on the shop's tables, evaluate and publish a version.

    Args:
        argv: The command line without the program's name.
        root: The folder that holds `.env`, `recsys.toml` and `models/`.

    Returns:
        The exit status: 0 published (or dry run), 1 failed, 3 refused, 75 another training runs, 130 interrupted.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: it prints banners otherwise
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same results on every processor, and one banner less
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more threads would compete with TensorFlow's
    from recsys.errors import Overloaded, RecsysError

    flags = vars(_parser().parse_args(argv))
    try:
        _train(flags, root)
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED_TEXT)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if str(error.name).startswith("recsys"):
            raise
        expected = "Training should have the packages of requirements.txt, or of `pip install recsys[train]`"
        sys.stderr.write(f"{expected}. Missing: {error.name}.\n")
        return 1
    except MemoryError as error:
        expected = "Memory should suffice for the run; smaller `dim`, `factors`, `batch` and `window` need less"
        return _failed(Overloaded(f"{expected}. Received: {str(error) or 'no more from the system'}."))
    except RecsysError as error:
        return _failed(error)
    return 0


def _failed(error: RecsysError) -> int:
    """Print why there is no new version, and return the exit status."""
    from recsys.errors import AlreadyTraining, NotEnoughData, TrainingRefused
    from recsys.training.terminal import console

    refused = isinstance(error, NotEnoughData | TrainingRefused)
    console(stderr=True).print(f"{'Refused' if refused else 'Failed'}: {error}", style="bold red")
    return 3 if refused else AlreadyTraining.exit_status if isinstance(error, AlreadyTraining) else 1


def _train(flags: dict[str, object], root: Path) -> None:
    """Load the settings, check them, then train and print the result.

    Args:
        flags: The parsed command line, by the names of the options.
        root: The folder that holds `.env` and `recsys.toml`.
    """
    import time
    from contextlib import nullcontext
    from dataclasses import fields, replace

    from recsys.lifecycle.lock import training_lock
    from recsys.settings import Training, load_settings

    settings = load_settings(os.environ, root)
    options = {option.name: flags[option.name] for option in fields(Training) if flags[option.name] is not None}
    settings = replace(settings, training=replace(settings.training, **options))  # type: ignore[arg-type] # parsed types
    now, dry_run = int(time.time()), bool(flags["dry_run"])
    with nullcontext() if dry_run else training_lock(settings.models_dir, on_loss=_stop_without_the_lock):
        check_preconditions(settings, now=now, dry_run=dry_run)
        from recsys.training.hooks import load_hooks

        hooks = load_hooks(settings.training.hooks, root)
        from recsys.training.console import TrainingConsole
        from recsys.training.interrupts import ended_within_a_second
        from recsys.training.train import train as train_models  # imports TensorFlow, which takes seconds

        progress = TrainingConsole()
        interrupt_again_where_swallowed()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with ended_within_a_second(settings.models_dir, progress.may_end, _leave):
            run = train_models(
                settings,
                now=now,
                progress=progress,
                protocol=str(flags["eval"]),
                dry_run=dry_run,
                force=bool(flags["force"]),
                warm=bool(flags["warm"]),
                budget=None if flags["budget"] is None else float(str(flags["budget"])),
                hooks=hooks,
            )
        progress.result(run)


def _stop_without_the_lock(why: str) -> None:
    """Interrupt a training whose lock another host took over, as it may where this machine slept for minutes."""
    sys.stderr.write(f"Failed: {why}\n")
    os.kill(os.getpid(), signal.SIGINT)


def check_preconditions(settings: Settings, *, now: int, dry_run: bool) -> None:
    """Refuse a run that would fail later, before TensorFlow is imported and before any table is read.

    Checks run in this order: mapping, rights, tables of our names, the publisher's lock, the disk, the history. The
    first failure is reported. Our own tables are created where they are missing; everything else stays as it is.

    Args:
        settings: Where the shop is and how it is mapped.
        now: Seconds since 1970.
        dry_run: Whether the run will write nothing; then only the mapping is checked.

    Raises:
        RecsysError: It says what is in the way, and the way out.
    """
    from recsys.artifacts import Draft, check_room, history
    from recsys.store import connect
    from recsys.store.readiness import check_mapping, check_own_tables

    with connect(settings.database_url) as db:
        check_mapping(db, settings.shop)
        if not dry_run:
            check_own_tables(db)
    if not dry_run:
        Draft.create(settings.models_dir, now).discard()  # it takes the lock and writes into the folder
        check_room(settings.models_dir)
        history(settings.models_dir)


def _parser() -> ArgumentParser:
    """Return the parser: one option for each field of `Training`, its help text taken from that class's docstring."""
    import inspect
    import re
    from argparse import RawDescriptionHelpFormatter
    from dataclasses import fields

    from recsys.errors.arguments import Parser
    from recsys.settings import Training

    parser = Parser(description=DESCRIPTION, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="Evaluate and print; publish and write nothing.")
    parser.add_argument("--force", action="store_true", help="Publish what the gate refuses; the history records it.")
    eval_help = (
        "How to evaluate: by one cut in time, or with each user's last item among 99 sampled ones. Default time."
    )
    warm_help = "Go on from the active version's fits; no evaluation learns from what came after its cut."
    parser.add_argument("--warm", action="store_true", help=warm_help)
    budget_help = (
        "Minutes that the run may take by its own estimate; it then learns from fewer events. Default: no limit."
    )
    parser.add_argument("--budget", type=_minutes, metavar="MINUTES", help=budget_help)
    parser.add_argument("--eval", choices=("time", "loo99"), default="time", help=eval_help)
    attribute = re.compile(r"^    (\w+): (.+?)(?=\n    \w|\Z)", re.MULTILINE | re.DOTALL)
    meanings = dict(attribute.findall(inspect.getdoc(Training) or ""))
    for option in fields(Training):
        kinds: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": _truth}
        kind, default = kinds[str(option.type)], str(option.default).lower()
        text = f"{' '.join(meanings.get(option.name, '').split())} Default {default}; {_range(option.name)}."
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=kind, metavar=str(option.type), help=text.replace("%", "%%"))
    return parser


def _minutes(text: str) -> float:
    """Return a number of minutes above 0."""
    from argparse import ArgumentTypeError
    from math import isfinite

    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not (isfinite(minutes) and minutes > 0):
        raise ArgumentTypeError(f"should be a number of minutes above 0. Received: {text}.")
    return minutes


def _truth(text: str) -> bool:
    """Return what `true` or `false` means."""
    from argparse import ArgumentTypeError

    if text not in ("true", "false"):
        raise ArgumentTypeError(f"should be true or false. Received: {text}.")
    return text == "true"


def _range(name: str) -> str:
    """Return the values that an option accepts, in words."""
    from recsys.settings import AMONG_EQUALS, LOSSES, TRAINING_RANGES

    if name == "hooks":
        return "one of the modules that Python finds, beside train.py first"
    if name in ("halving", "per_user_choice"):
        return "one of true, false"
    if name == "among_equals":
        return f"one of {', '.join(AMONG_EQUALS)}"
    if name not in TRAINING_RANGES:
        return f"one of {', '.join(LOSSES)}"
    least, most = (f"{value:,.0f}" if float(value).is_integer() else f"{value:g}" for value in TRAINING_RANGES[name])
    return f"above 0, at most {most}" if 0 < TRAINING_RANGES[name][0] < 1e-6 else f"from {least} to {most}"
