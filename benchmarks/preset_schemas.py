"""Compares the tables on which a preset is tested with those that the system's published packages make.

    python benchmarks/preset_schemas.py [VERSION]

It downloads the npm packages of Medusa 2 into a temporary folder, runs the SQL of their own migrations in a database
of its own at PostgreSQL, and compares every column, primary key and index of `tests/store/presets/medusa.sql`. It needs
npm, Node, the network and PostgreSQL, so that CI does not run it. It ends with 1 where anything differs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.databases import POSTGRESQL, new_database, run_on_postgresql  # noqa: E402

VERSION = "2.21.2"
PACKAGES = ("order", "product", "customer", "pricing", "link-modules", "utils")
# Prints the SQL of migrations without a database: their base class is replaced by one that collects it. The table of a
# link has no migration; Medusa makes it of an entity, whose properties are printed as CREATE TABLE.
COLLECTOR = r"""
const Module = require('module'), fs = require('fs'), path = require('path');
const load = Module._load;
class Migration {
  sql = [];
  addSql(text) { this.sql.push(String(text)); }
  async execute() { return []; }
}
class EntitySchema { constructor(entity) { this.entity = entity; } }
const helper = require(path.resolve('utils/dist/common/alter-columns-helper.js'));
const stub = {
  Migration, EntitySchema, ...helper, simpleHash: (text) => text, compressName: (text) => text,
  LINKS: {}, Modules: {},
};
Module._load = function (name, ...rest) { return /^[./]/.test(name) ? load.call(this, name, ...rest) : stub; };
const timeOf = (file) => file.replace(/^\D+/, '');
(async () => {
  for (const name of ['order', 'product', 'customer', 'pricing']) {
    const folder = path.resolve(name, 'dist/migrations');
    const files = fs.readdirSync(folder).filter((file) => file.endsWith('.js'));
    for (const file of files.sort((a, b) => timeOf(a).localeCompare(timeOf(b)))) {
      const one = Object.values(require(path.join(folder, file))).find((type) => type.prototype?.up);
      const migration = new one();
      await migration.up();
      for (const text of migration.sql) console.log(text.trim().replace(/;$/, '') + ';');
    }
  }
  const links = path.resolve('link-modules/dist');
  const { ProductVariantPriceSet: link } = require(`${links}/definitions/product-variant-price-set.js`);
  const { generateEntity } = require(`${links}/utils/generate-entity.js`);
  const { tableName, properties } = generateEntity(link, ...link.relationships).entity;
  const columns = Object.entries(properties).map(([name, { type, columnType, nullable }]) =>
    `${name} ${columnType ?? { string: 'varchar(255)' }[type]}${nullable ? '' : ' NOT NULL'}`);
  const keys = Object.keys(properties).filter((name) => properties[name].primary);
  console.log(`CREATE TABLE ${tableName} (${columns.join(', ')}, PRIMARY KEY (${keys.join(', ')}));`);
})();
"""
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
"""
INDEXES = """
SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", default=VERSION, help="the release of Medusa")
    version = parser.parse_args(arguments).version
    with tempfile.TemporaryDirectory() as folder:
        published = schema_of(published_sql(version, Path(folder)))
    fixture = (ROOT / "tests/store/presets/medusa.sql").read_text(encoding="utf-8")
    ours = schema_of("".join(f"{text};\n" for text in fixture.split(";\n") if "CREATE " in text))
    missing = sorted(ours - published)
    for fact in missing:
        print(f"not in Medusa {version}: {fact}")
    print(f"Medusa {version}: {len(ours) - len(missing)} of {len(ours)} columns and keys are the same")
    return 1 if missing or not ours else 0


def published_sql(version: str, folder: Path) -> str:
    """Return the SQL text that makes Medusa's tables.

    Args:
        version: A release of Medusa.
        folder: An empty folder for the packages.
    """
    for name in PACKAGES:
        source = [f"@medusajs/{name}@{version}", "--silent"]
        packed = subprocess.run(["npm", "pack", *source], cwd=folder, check=True, capture_output=True, text=True)
        (folder / name).mkdir()
        archive = packed.stdout.split()[-1]
        subprocess.run(["tar", "xzf", archive, "-C", name, "--strip-components=1"], cwd=folder, check=True)
    (folder / "collect.cjs").write_text(COLLECTOR, encoding="utf-8")
    collected = subprocess.run(["node", "collect.cjs"], cwd=folder, check=True, capture_output=True, text=True)
    return collected.stdout


def schema_of(sql: str) -> set[str]:
    """Return a line for each column and each index of the tables that a text makes."""
    with new_database(run_on_postgresql, POSTGRESQL) as url:
        with psycopg.connect(url.replace("postgresql+psycopg", "postgresql", 1), autocommit=True) as connection:
            connection.execute("SET client_min_messages = error")
            connection.execute(sql.encode())
            columns = connection.execute(COLUMNS).fetchall()
            indexes = connection.execute(INDEXES).fetchall()
    return {
        *(f"{table}.{name} {kind}{' NOT NULL' if required else ''}" for table, name, kind, required in columns),
        *(f"{table}: {text}" for table, text in indexes),
    }


if __name__ == "__main__":
    sys.exit(main())
