"""Write a version's encoders to the database, from the version's files or from the pickles of an earlier system.

It can be run again at any time: complete encoders stay, those of an interrupted run are replaced, and requests are
answered meanwhile. Without options it takes the active version.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from recsys import artifacts, store  # noqa: E402
from recsys.errors import NoModel, RecsysError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.legacy import encoders as legacy  # noqa: E402
from recsys.lifecycle.versions import encoders_of, show_active, write_encoders  # noqa: E402
from recsys.settings import load_settings  # noqa: E402
from recsys.settings.database_url import DatabaseUrl  # noqa: E402


def main(argv: list[str]) -> int:
    """Migrate the encoders; returns the exit status."""
    flags = _parser().parse_args(argv)
    try:
        settings = load_settings(os.environ, ROOT)
        url, models_dir = settings.database_url, flags.models_dir or settings.models_dir
        print(_write_pickles(url, flags.pickles) if flags.pickles else _write_version(url, models_dir, flags.version))
    except RecsysError as error:
        print(f"migrate_encoders: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _write_version(url: DatabaseUrl, models_dir: Path, name: str | None) -> str:
    """Write the encoders in a version's files; returns a message about them."""
    try:
        active = artifacts.current_name(models_dir)
    except NoModel:
        if name is None:
            raise
        active = None
    with artifacts.open_version(models_dir, name or str(active)) as version, store.connect(url) as db:
        store.migrate(db, shop=False)
        wrote = write_encoders(db, version)
        if version.name == active:
            show_active(db, models_dir)
        return _message(db, version.name, encoders_of(version), wrote)


def _write_pickles(url: DatabaseUrl, folder: Path) -> str:
    """Write the pickles of an earlier system; returns a message. The time of its newest event is unknown.

    The views show them only if they show no version yet.
    """
    old = legacy.read_encoders(folder)
    users, items = (
        np.array(ids, np.int64 if ids and isinstance(ids[0], int) else object) for ids in (old.users, old.items)
    )
    with store.connect(url) as db:
        store.migrate(db, shop=False)
        before = store.list_versions(db)
        store.write_version(db, old.name, data_until=0, users=users, items=items, contexts=old.contexts)
        if not any(row.active for row in before):
            store.set_active(db, old.name)
        return _message(db, old.name, old, not any(row.name == old.name and row.complete for row in before))


def _message(db: store.Database, name: str, encoders: store.StoredEncoders | legacy.LegacyEncoders, wrote: bool) -> str:
    (number,) = (row.id for row in store.list_versions(db) if row.name == name)
    counts = f"{len(encoders.users):,} users, {len(encoders.items):,} items, {len(encoders.contexts)} context features"
    return f"{name}: {counts} {'written' if wrote else 'are in the database already'} (version {number})."


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
