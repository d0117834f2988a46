"""Train on the shop's own tables and publish a version: flags → settings → recsys.preflight → recsys.training.

Exit status: 0 published (or dry run), 1 failed, 2 wrong command line, 3 refused, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130  # as shells have it for Ctrl-C
MOMENT_S = 0.05
FAREWELL = "Interrupted; nothing of an unfinished version is left.\n"


def leave(*_: object) -> None:
    """End the process at once: importing TensorFlow takes seconds, and would swallow a KeyboardInterrupt or bend it."""
    os.write(2, FAREWELL.encode())
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, leave)  # until the run begins, there is nothing to take back

import _thread  # noqa: E402
import argparse  # noqa: E402
import inspect  # noqa: E402
import re  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from dataclasses import fields, replace  # noqa: E402
from pathlib import Path  # noqa: E402

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported: its banners are noise
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # the same figures on every processor, and one banner less
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # two BLAS threads beside TensorFlow's own are slower than one

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from recsys.errors import NotEnoughData, RecsysError, TrainingRefused  # noqa: E402
from recsys.preflight import check  # noqa: E402
from recsys.settings import LOSSES, TRAINING_RANGES, Training, load_settings  # noqa: E402
from recsys.terminal import console  # noqa: E402


def main(argv: list[str]) -> int:
    """Run the training; returns the exit status."""
    flags = vars(_parser().parse_args(argv))
    try:
        _train(flags)
    except KeyboardInterrupt:
        sys.stderr.write(FAREWELL)
        return INTERRUPTED
    except RecsysError as error:
        refused = isinstance(error, NotEnoughData | TrainingRefused)
        console(stderr=True).print(f"{'Refused' if refused else 'Failed'}: {error}", style="bold red")
        return 3 if refused else 1
    return 0


def again(swallowed: sys.UnraisableHookArgs) -> None:
    """Interrupt once more, where a callback of TensorFlow's has swallowed the KeyboardInterrupt; in a moment, when it has returned."""
    if issubclass(swallowed.exc_type, KeyboardInterrupt):
        threading.Timer(MOMENT_S, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(swallowed)


def _train(flags: dict[str, object]) -> None:
    """Check all that can be known before, then train and print what came of it."""
    settings = load_settings(os.environ, ROOT)
    given = {option.name: flags[option.name] for option in fields(Training) if flags[option.name] is not None}
    settings = replace(settings, training=replace(settings.training, **given))  # type: ignore[arg-type] # as the parser read them
    now, dry_run = int(time.time()), bool(flags["dry_run"])
    check(settings, now=now, dry_run=dry_run)
    from recsys.training import train  # TensorFlow: seconds that a wrong setting should not cost
    from recsys.training.console import TrainingConsole

    progress = TrainingConsole()
    sys.unraisablehook = again
    signal.signal(signal.SIGINT, signal.default_int_handler)
    progress.outcome(train(settings, now=now, progress=progress, protocol=str(flags["eval"]), dry_run=dry_run))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="Evaluate and print; publish and write nothing.")
    how = "How to evaluate: by one cut in time, or with each user's last item among 99 sampled ones. Default time."
    parser.add_argument("--eval", choices=("time", "loo99"), default="time", help=how)
    meanings = dict(re.findall(r"^    (\w+): (.+?)(?=\n    \w|\Z)", inspect.getdoc(Training) or "", re.MULTILINE | re.DOTALL))
    for option in fields(Training):
        kind = {"int": int, "float": float, "str": str}[str(option.type)]
        text = f"{' '.join(meanings.get(option.name, '').split())} Default {option.default}; {_range(option.name)}."
        name = f"--{option.name.replace('_', '-')}"
        parser.add_argument(name, type=kind, metavar=kind.__name__, help=text.replace("%", "%%"))
    return parser


def _range(name: str) -> str:
    """Return what an option may be, in words."""
    if name not in TRAINING_RANGES:
        return f"one of {', '.join(LOSSES)}"
    least, most = (f"{value:,.0f}" if float(value).is_integer() else f"{value:g}" for value in TRAINING_RANGES[name])
    return f"above 0, at most {most}" if 0 < TRAINING_RANGES[name][0] < 1e-6 else f"from {least} to {most}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
