"""Publishes in processes that die at each effect in turn: killed_publisher.py <published models> <folder for copies>.

Prints the number of effects of a complete run. Each process is a fork, so that NumPy and h5py are imported once.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.dying_disk import NEW, Mortal, copy, publish  # noqa: E402

KILLED = 86


def main(before: Path, copies: Path) -> None:
    at = 0
    status = KILLED
    while status == KILLED:
        at += 1
        models_dir = copy(before, copies / str(at))
        child = os.fork()
        if child == 0:
            publish(models_dir, NEW, Mortal(at, torn=at % 2 == 0, how=lambda: os._exit(KILLED)))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        raise SystemExit(f"the publisher failed with {status} at effect {at}")
    sys.stdout.write(str(at - 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
