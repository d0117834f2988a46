r"""Look at the shop's tables and write recsys.toml: `--init`.

A shop system is recognised by its tables, and its preset is written. For tables of another design a mapping is
proposed, with its reasons; `--accept` writes it. Nothing is changed in the database, nor a recsys.toml that exists.

  python scripts/doctor.py --init
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from recsys.errors import RecsysError, UsageError  # noqa: E402
from recsys.errors.arguments import Parser  # noqa: E402
from recsys.errors.wording import listed  # noqa: E402
from recsys.settings import Shop, load_settings  # noqa: E402
from recsys.settings.settings import read_variables  # noqa: E402
from recsys.settings.shop import read_shop  # noqa: E402
from recsys.store import Database, connect  # noqa: E402
from recsys.store.events import count_rows, count_sessions, count_users  # noqa: E402
from recsys.store.guesses import sessions_left_out  # noqa: E402
from recsys.store.proposal import propose  # noqa: E402
from recsys.store.readiness import check_mapping  # noqa: E402
from recsys.store.schema import table_names  # noqa: E402
from recsys.store.systems import find_systems, has_default_schema, nearly_found  # noqa: E402
from recsys.training.terminal import console  # noqa: E402

FILE = "recsys.toml"


def main(argv: list[str]) -> int:
    """Look, tell and write; returns the exit status."""
    flags = _parser().parse_args(argv)
    environ = {**os.environ, **({"DATABASE_URL": flags.database_url} if flags.database_url else {})}
    try:
        path = ROOT / (read_variables(environ, ROOT).get("RECSYS_TOML") or FILE)
        # A file that is still to be written is read as an empty one.
        settings = load_settings(environ if path.exists() else {**environ, "RECSYS_TOML": os.devnull}, ROOT)
        with connect(settings.database_url) as db:
            if path.exists():
                _tell(f"{path.name} exists, and stays as it is. {_counts(db, settings.shop)}")
                for sentence in sessions_left_out(db, settings.shop):
                    _tell(sentence)
            else:
                _init(db, path, accept=flags.accept)
    except RecsysError as error:
        console(stderr=True).print(f"doctor: {error}", soft_wrap=True, markup=False)
        return error.exit_status
    return 0


def _init(db: Database, path: Path, *, accept: bool) -> None:
    systems = find_systems(db)
    if systems:
        text = systems[0].toml()
        counts = _counts(db, read_shop(tomllib.loads(text)))
        _write(path, text)
        _tell(f"This is {systems[0].preset}. {systems[0].reason} {counts}\nWritten to {path.name}:\n\n{text}")
        for other in systems[1:]:
            _tell(f"Not chosen, because it is smaller: {other.preset}. {other.reason}")
    elif has_default_schema(db):
        _tell(f"These are the tables of the default schema, which need no {path.name}. {_counts(db, read_shop({}))}")
    elif not table_names(db):
        raise UsageError("The database should hold the shop's tables. Received: no table that this account may see.")
    elif nearly := nearly_found(db):
        raise UsageError(f"{nearly} Give the account rights to read them, or map the tables yourself: docs/SHOP.md.")
    else:
        text = propose(db)
        counts = _counts(db, read_shop(tomllib.loads(text)))
        if accept:
            _write(path, text)
        done = f"Written to {path.name}." if accept else f"Nothing is written yet: --accept writes it to {path.name}."
        _tell(f"{text}\n{counts} {done}")


def _counts(db: Database, shop: Shop) -> str:
    """Check that a mapping fits the tables, and tell what it reads.

    Raises:
        SettingsError: It does not fit.
    """
    check_mapping(db, shop)
    n_events, n_users, n_sessions = count_rows(db, shop), count_users(db, shop), count_sessions(db, shop)
    sessions = f" and {n_sessions:,} sessions of guests" if n_sessions else ""
    return f"The mapping fits the tables: it reads {n_events:,} events of {n_users:,} users{sessions}."


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        received = listed([error.strerror])
        raise UsageError(
            f"{path.name} should be a new file in a folder that can be written. Received: {received}."
        ) from error


def _tell(text: str) -> None:
    console().print(text, soft_wrap=True, markup=False, highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", action="store_true", required=True, help=f"write {FILE} where there is none")
    parser.add_argument("--accept", action="store_true", help="write a proposed mapping, too")
    default = "without it, what the environment or .env says"
    parser.add_argument("--database-url", metavar="URL", help=default)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
