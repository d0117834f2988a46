"""How the tables of shop systems in PHP are read from their source, on invented files in each system's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import preset_schemas
from benchmarks.schemas.sources import SYSTEMS

OPENCART = """<?php
$tables[] = [
  'name' => 'thing', 'field' => [
    ['name' => 'thing_id', 'type' => 'int(11)', 'not_null' => true, 'auto_increment' => true],
    ['name' => 'kind', 'type' => 'enum(\\'a\\',\\'b\\')', 'default' => 'a']
  ], 'primary' => ['thing_id'], 'foreign' => [['key' => 'kind', 'table' => 'x', 'field' => 'y']],
  'index' => [['name' => 'both', 'key' => ['kind', 'thing_id']]], 'engine' => 'InnoDB'
];
"""
PRESTASHOP = """SET NAMES 'utf8';
/* a; comment */
CREATE TABLE `PREFIX_thing` (`id` int) ENGINE=ENGINE_TYPE COLLATION;
"""
MAGENTO = """<schema xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><table name="thing">
  <column xsi:type="int" name="id" padding="10" unsigned="true" nullable="false" identity="true"/>
  <column xsi:type="decimal" name="price" precision="12" scale="4" nullable="true"/>
  <column xsi:type="timestamp" name="at" nullable="false"/>
  <constraint xsi:type="primary" referenceId="PRIMARY"><column name="id"/></constraint>
  <constraint xsi:type="unique" referenceId="U"><column name="price"/><column name="id"/></constraint>
  <index referenceId="I" indexType="btree"><column name="price"/></index>
</table></schema>"""
SHOPWARE = """<?php
$connection->executeStatement('
  CREATE TABLE `thing` (
    `id` BINARY(16) NOT NULL, `owner` BINARY(16) NULL,
    CONSTRAINT `json.thing.id` CHECK (JSON_VALID(`id`)),
    CONSTRAINT `fk.thing.owner` FOREIGN KEY (`owner`)
      REFERENCES `user` (`id`) ON DELETE SET NULL ON UPDATE CASCADE
  ) ENGINE=InnoDB');
$this->addColumn($connection, 'thing', 'name', 'VARCHAR(9)');
$this->addColumn(connection: $connection, table: 'thing', column: 'n', type: 'INT', nullable: false);
public function updateDestructive() { 'ALTER TABLE `thing` DROP COLUMN `owner`'; }
"""
LATER = """<?php
$sql = <<<'SQL'
ALTER TABLE `thing` DROP FOREIGN KEY `fk.thing.owner`; ALTER TABLE `thing` ADD `x` INT
SQL;
"""
WORDPRESS = """CREATE TABLE $wpdb->terms (
 id bigint NOT NULL,
 PRIMARY KEY  (id),
 KEY name (name($max_index_length))
) $charset_collate;
"""
WOOCOMMERCE = "CREATE TABLE {$wpdb->prefix}wc_thing (\n id bigint\n) $collate;\n"
INSTALLER = "wp-content/plugins/woocommerce/includes/class-wc-install.php"
MIGRATIONS = "src/Core/Migration"

CASES = {
    "opencart": (
        {"upload/system/helper/db_schema.php": OPENCART},
        [
            "CREATE TABLE `oc_thing` (`thing_id` int(11) NOT NULL AUTO_INCREMENT, `kind` enum('a','b'), "
            "PRIMARY KEY (`thing_id`), KEY (`kind`, `thing_id`))"
        ],
    ),
    "prestashop": (
        {"install-dev/data/db_structure.sql": PRESTASHOP},
        ["CREATE TABLE `ps_thing` (`id` int) ENGINE=InnoDB"],
    ),
    "magento": (
        {"app/code/Magento/Shop/etc/db_schema.xml": MAGENTO},
        [
            "CREATE TABLE `thing` (`id` int(10) unsigned NOT NULL AUTO_INCREMENT, `price` decimal(12,4) NULL, "
            "`at` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (`id`), UNIQUE KEY (`price`, `id`), "
            "KEY (`price`))"
        ],
    ),
    "shopware": (
        {
            f"{MIGRATIONS}/V6_4/Migration1600000001Later.php": LATER,
            f"{MIGRATIONS}/V6_3/Migration1500000000Thing.php": SHOPWARE,
        },
        [
            "CREATE TABLE `thing` ( `id` BINARY(16) NOT NULL, `owner` BINARY(16) NULL, KEY (`owner`) ) ENGINE=InnoDB",
            "ALTER TABLE `thing` ADD COLUMN `name` VARCHAR(9)",
            "ALTER TABLE `thing` ADD COLUMN `n` INT NOT NULL",
            "ALTER TABLE `thing` ADD `x` INT",
            "ALTER TABLE `thing` DROP COLUMN `owner`",
        ],
    ),
    "woocommerce": (
        {"wp-admin/includes/schema.php": WORDPRESS, INSTALLER: WOOCOMMERCE},
        [
            "CREATE TABLE wp_terms ( id bigint NOT NULL, PRIMARY KEY (id), KEY name (name(191)) )",
            "CREATE TABLE wp_wc_thing ( id bigint )",
        ],
    ),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_tables_of_a_system_are_read_from_its_source(system: str, tmp_path: Path) -> None:
    files, expected = CASES[system]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    assert [" ".join(statement.split()) for statement in SYSTEMS[system].read(tmp_path)] == expected


def test_a_system_in_php_needs_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        preset_schemas.main(["opencart"])

    assert "--source should name a folder with upload/system/helper/db_schema.php" in capsys.readouterr().err


def test_what_lacks_in_the_source_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "upload/system/helper/db_schema.php"
    file.parent.mkdir(parents=True)
    file.write_text(OPENCART.replace("thing", "tag"), encoding="utf-8")

    assert preset_schemas.main(["opencart", "--version", "9", "--source", str(tmp_path)]) == 1
    assert "not in opencart 9: oc_order.email varchar(96)\n" in capsys.readouterr().out
