"""Train on the shop's own tables and publish a version; `recsys.training.command_line` does the work.

Exit status: 0 published (or dry run), 1 failed, 2 wrong command line, 3 refused, 75 another training runs on this
folder of versions, 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from recsys.training.command_line import leave_on_interrupt, train  # noqa: E402


def main(argv: list[str]) -> int:
    """Run the training and return the exit status."""
    return train(argv, ROOT)


if __name__ == "__main__":
    leave_on_interrupt()
    sys.exit(main(sys.argv[1:]))
