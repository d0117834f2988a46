"""The tables of Medusa and Vendure, as the npm packages of a release make them on PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path

MEDUSA, VENDURE = "2.21.2", "3.7.3"
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
# Lets TypeORM make the tables of Vendure's entities, as its own `synchronize` does, in the database of the URL.
SYNCHRONISER = r"""
const { DataSource } = require('typeorm');
const core = '@vendure/core/dist';
const entities = Object.values(require(`${core}/entity/entities.js`).coreEntitiesMap);
const { setEntityIdStrategy } = require(`${core}/entity/set-entity-id-strategy.js`);
const { setMoneyStrategy } = require(`${core}/entity/set-money-strategy.js`);
const { AutoIncrementIdStrategy } = require(`${core}/config/entity/auto-increment-id-strategy.js`);
const { DefaultMoneyStrategy } = require(`${core}/config/entity/default-money-strategy.js`);
setEntityIdStrategy(new AutoIncrementIdStrategy(), entities);
setMoneyStrategy(new DefaultMoneyStrategy(), entities);
(async () => {
  const source = new DataSource({ type: 'postgres', url: process.argv[2], entities, synchronize: true });
  await source.initialize();
  await source.destroy();
})();
"""


def medusa_sql(version: str, folder: Path) -> str:
    """Return the SQL text that makes Medusa's tables.

    Args:
        version: A release of Medusa.
        folder: An empty folder for the packages.
    """
    for name in PACKAGES:
        source = [f"@medusajs/{name}@{version}", "--silent"]
        packed = _run(["npm", "pack", *source], folder)
        (folder / name).mkdir()
        archive = packed.split()[-1]
        _run(["tar", "xzf", archive, "-C", name, "--strip-components=1"], folder)
    (folder / "collect.cjs").write_text(COLLECTOR, encoding="utf-8")
    return _run(["node", "collect.cjs"], folder)


def make_vendure(version: str, folder: Path, url: str) -> None:
    """Make Vendure's tables.

    Args:
        version: A release of Vendure.
        folder: An empty folder for the packages, about 150 MB.
        url: The address of an empty database, `postgresql://…`.
    """
    options = ["--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run(["npm", "install", *options, f"@vendure/core@{version}", "pg"], folder)
    (folder / "synchronise.cjs").write_text(SYNCHRONISER, encoding="utf-8")
    _run(["node", "synchronise.cjs", url], folder)


def _run(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
