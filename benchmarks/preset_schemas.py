"""Compares the tables on which a preset is tested with those that the system itself makes.

    python benchmarks/preset_schemas.py SYSTEM [--version VERSION] [--source FOLDER]

Medusa and Vendure are downloaded from npm, into a temporary folder: their own migrations or entities make the tables in
a database at PostgreSQL. Of the systems in PHP, `--source` names a checkout, or an installation of WordPress with
WooCommerce; what its files declare is made in a database at MariaDB. Every column, key and index of
`tests/store/presets/SYSTEM.sql` is looked for there: name, type, nullability, and the columns of each key. CI does not
run it. It ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import psycopg
import pymysql

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.schemas.packages import MEDUSA, VENDURE, make_vendure, medusa_sql  # noqa: E402
from benchmarks.schemas.sources import SYSTEMS  # noqa: E402
from recsys.settings.database_url import DatabaseUrl  # noqa: E402
from tests.helpers.databases import MYSQL, POSTGRESQL, new_database, run_on_mysql, run_on_postgresql  # noqa: E402

VERSIONS = {"medusa": MEDUSA, "vendure": VENDURE}
_OF_POSTGRESQL = (
    """
SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
  || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
""",
    """
SELECT c.relname || ': ' || regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX \\S+ ON', 'INDEX ON')
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'public'::regnamespace
""",
)
_OF_MARIADB = (
    """
SELECT CONCAT(table_name, '.', column_name, ' ', column_type, CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END)
FROM information_schema.columns WHERE table_schema = DATABASE()
""",
    """
SELECT CONCAT(table_name, ': ', CASE index_name WHEN 'PRIMARY' THEN 'PRIMARY KEY' ELSE
  CASE non_unique WHEN 0 THEN 'UNIQUE KEY' ELSE 'KEY' END END,
  ' (', GROUP_CONCAT(column_name ORDER BY seq_in_index), ')')
FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name, non_unique
""",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=[*VERSIONS, *SYSTEMS], help="the name of the preset")
    parser.add_argument("--version", help="the release: of Medusa or Vendure to download, of others for the output")
    parser.add_argument("--source", type=Path, help="a checkout of a system in PHP")
    options = parser.parse_args(arguments)
    system, version = options.system, options.version or VERSIONS.get(options.system, "")
    if system in SYSTEMS and options.source is None:
        parser.error(f"--source should name a folder with {SYSTEMS[system].files}. Received: nothing.")
    fixture = (ROOT / f"tests/store/presets/{system}.sql").read_text(encoding="utf-8")
    creates = [text for text in fixture.split(";\n") if "CREATE " in text and "_of_the_test" not in text]
    if system in VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            published = published_facts(system, version, Path(folder))
        ours = facts_on_postgresql(";\n".join(creates))
    else:
        published, ours = facts_on_mariadb(SYSTEMS[system].read(options.source)), facts_on_mariadb(creates)
    missing = sorted(ours - published)
    name = f"{system} {version}".strip()
    for fact in missing:
        others = (other for other in sorted(published) if other.split(" ")[0] == fact.split(" ")[0])
        print(f"not in {name}: {fact}", *(f"  there: {other}" for other in others))
    print(f"{name}: {len(ours) - len(missing)} of {len(ours)} columns and keys are the same")
    return 1 if missing or not ours else 0


def published_facts(system: str, version: str, folder: Path) -> set[str]:
    """Return a line for each column and each index of a release on npm.

    Args:
        system: `medusa` or `vendure`.
        version: The release.
        folder: An empty folder for the packages.
    """
    if system == "medusa":
        return facts_on_postgresql(medusa_sql(version, folder))
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        address = url.replace("postgresql+psycopg", "postgresql", 1)
        make_vendure(version, folder, address)
        return _facts_at(address)


def facts_on_postgresql(sql: str) -> set[str]:
    """Return a line for each column and each index of the tables that a text makes."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        address = url.replace("postgresql+psycopg", "postgresql", 1)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute(sql.encode())
        return _facts_at(address)


def facts_on_mariadb(statements: Iterable[str]) -> set[str]:
    """Return a line for each column and each index of the tables that statements make; what fails is printed."""
    with new_database(run_on_mysql, MYSQL) as url:
        place = DatabaseUrl.parse(url)
        connection = pymysql.connect(
            host=place.host, port=place.port, user=place.user, password=place.password.reveal(), database=place.name
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SET sql_mode = '', foreign_key_checks = 0, group_concat_max_len = 10000")
            for statement in statements:
                try:
                    cursor.execute(statement)
                except pymysql.MySQLError as error:
                    print(f"not run: {' '.join(statement.split())[:90]} … {error.args[-1]}", file=sys.stderr)
            facts: set[str] = set()
            for sql in _OF_MARIADB:
                cursor.execute(sql)
                facts |= {str(fact) for (fact,) in cursor.fetchall()}
    return facts


def _facts_at(address: str) -> set[str]:
    with psycopg.connect(address) as connection:
        return {str(fact) for sql in _OF_POSTGRESQL for (fact,) in connection.execute(sql.encode()).fetchall()}


if __name__ == "__main__":
    sys.exit(main())
