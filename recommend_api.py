"""The entry point of serving: a JSON request on stdin, a JSON answer on stdout (docs/PROTOCOL.md)."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from recsys.bridge.main import recommend_command  # noqa: E402 - the path comes first

if __name__ == "__main__":
    recommend_command(ROOT)
