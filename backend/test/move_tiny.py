"""Copy the tiny shop in a folder, and its version's encoders, into another database: `move_tiny.py FOLDER URL [PLACE]`.

With a place, our own tables lie there, and not beside the shop's.
"""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from recsys.artifacts import current  # noqa: E402
from tests.helpers.tiny_shop import Published, moved  # noqa: E402 - the path comes first


def main(folder: Path, url: str, place: str = "") -> None:
    """Fill the other database, which is empty."""
    moved(Published(folder, current(folder / "models").name), url, place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
