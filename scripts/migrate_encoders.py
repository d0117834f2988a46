"""Write a version's encoders to the database, from the version's files or from the pickles of an earlier system.

It can be run again at any time: complete encoders stay, those of an interrupted run are replaced, and requests are
answered meanwhile. Without options it takes the active version.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from recsys import artifacts, store  # noqa: E402
from recsys.errors import NoModel, RecsysError  # noqa: E402
from recsys.errors.secrets import Parser  # noqa: E402
from recsys.legacy import encoders as legacy  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.settings.database_url import DatabaseUrl  # noqa: E402


@dataclass(frozen=True)
class Encoders:
    """The encoders of one version.

    Attributes:
        name: The version's name.
        data_until: The time of the newest event in its training data, in seconds since 1970 in UTC; 0 if unknown.
        users: `(n_users,)` ids in index order.
        items: `(n_items,)` ids in index order.
        contexts: Features in order, each with its values in index order.
        active: Whether the views should show it; None if they should only if they show no version yet.
    """

    name: str
    data_until: int
    users: NDArray
    items: NDArray
    contexts: Mapping[str, Sequence[str]]
    active: bool | None


def main(argv: list[str]) -> int:
    """Migrate the encoders; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, ROOT)
        models_dir = flags.models_dir or settings.models_dir
        encoders = _from_pickles(flags.pickles) if flags.pickles else _from_version(models_dir, flags.version)
        print(_write(settings.database_url, encoders))
    except RecsysError as error:
        print(f"migrate_encoders: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _from_version(models_dir: Path, name: str | None) -> Encoders:
    """Read the encoders in a version's files."""
    try:
        active = artifacts.current_name(models_dir)
    except NoModel:
        if name is None:
            raise
        active = None
    with artifacts.open_version(models_dir, name or str(active)) as version:
        ids = version.arrays("encoders.h5")
        contexts = version.json("contexts.json")
        return Encoders(
            version.name,
            int(version.manifest["data_until"]),
            ids["users"],
            ids["items"],
            contexts,
            version.name == active,
        )


def _from_pickles(folder: Path) -> Encoders:
    """Read the pickles of an earlier system; the time of its newest event is unknown."""
    old = legacy.read_encoders(folder)
    return Encoders(old.name, 0, _id_array(old.users), _id_array(old.items), old.contexts, active=None)


def _id_array(ids: Sequence[int | str]) -> NDArray:
    return np.array(ids, np.int64 if ids and isinstance(ids[0], int) else object)


def _write(url: DatabaseUrl, encoders: Encoders) -> str:
    """Write the encoders; returns a message about them."""
    with store.connect(url) as db:
        store.migrate(db, shop=False)
        before = store.list_versions(db)
        version = store.write_version(
            db,
            encoders.name,
            data_until=encoders.data_until,
            users=encoders.users,
            items=encoders.items,
            contexts=encoders.contexts,
        )
        if encoders.active or (encoders.active is None and not any(row.active for row in before)):
            store.set_active(db, encoders.name)
    existed = any(row.id == version and row.complete for row in before)
    counts = f"{len(encoders.users):,} users, {len(encoders.items):,} items, {len(encoders.contexts)} context features"
    return f"{encoders.name}: {counts} {'are in the database already' if existed else 'written'} (version {version})."


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--version", metavar="NAME", help="a published version; default the active one")
    source.add_argument(
        "--pickles", metavar="DIR", type=Path, help=f"a folder with {legacy.USERS}, {legacy.ITEMS}, {legacy.CONTEXTS}"
    )
    parser.add_argument(
        "--models-dir", metavar="DIR", type=Path, help="where versions are; default MODELS_DIR, else models/"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
