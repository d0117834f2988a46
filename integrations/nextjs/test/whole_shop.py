"""Make the tiny shop with a version, in SQLite and in a PostgreSQL database of its own: `whole_shop.py FOLDER`.

It prints the variables of both as one line of JSON, and drops the database when its stdin ends.
"""

import json
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "backend/test")]

import move_tiny  # noqa: E402 - the path comes first
import publish_tiny  # noqa: E402

from tests.helpers.databases import POSTGRESQL, new_database, run_on_postgresql  # noqa: E402


def main(folder: Path) -> None:
    """Make it, say where it is, and wait."""
    if message := publish_tiny.main(folder):
        sys.exit(message)
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        move_tiny.main(folder, url)
        variables = {
            "DATABASE_URL": url,
            "MODELS_DIR": str(folder / "models"),
            "EXPRESS_DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite'}",
            "SPOOL_DIR": str(folder / "spool"),
        }
        sys.stdout.write(json.dumps(variables) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
