"""Commands at a fixed moment: scores decay with age, so only answers of the same second are comparable."""

from __future__ import annotations

import sys
from pathlib import Path

# The first argument is the moment, the second one the script, the rest are the script's own.
CLOCK = """
import runpy, sys, time
moment = float(sys.argv[1])
time.time = lambda: moment
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# The same for training. TensorFlow runs without tracing graphs first, which takes longer than fits of a few steps.
EAGERLY = CLOCK.replace("sys.argv = ", "import tensorflow\ntensorflow.config.run_functions_eagerly(True)\nsys.argv = ")


def at(moment: int, script: Path, *argv: str, code: str = CLOCK) -> list[str]:
    """Return the command line that runs a script while `time.time` stands still.

    Args:
        moment: Seconds since 1970.
        script: A Python file.
        argv: The script's arguments.
        code: `CLOCK` or `EAGERLY`.
    """
    return [sys.executable, "-c", code, str(moment), str(script), *argv]
