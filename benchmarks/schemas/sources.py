"""The tables of shop systems in PHP, as SQL for MariaDB, read from a checkout of their source."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree  # noqa: S405 - files of a checkout that the operator names

_HEREDOC = r"<<<\s*['\"]?(?P<tag>\w+)['\"]?\n(?P<text>.*?)\n\s*(?P=tag)\b"
_STRING = r"'(?P<single>(?:[^'\\]|\\.)*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\""
_PHP_TEXT = re.compile(f"{_HEREDOC}|{_STRING}", re.DOTALL)
_STATEMENT = re.compile(r"\s*(?:CREATE (?:TABLE|(?:UNIQUE )?INDEX)|ALTER TABLE)\s", re.IGNORECASE)
_FOREIGN = re.compile(  # which makes an index of its columns
    r"CONSTRAINT\s+`?[\w.]+`?\s+FOREIGN KEY\s*(\([^()]+\))\s*REFERENCES\s*`?\w+`?\s*\([^()]+\)"
    r"(?:\s+ON\s+(?:DELETE|UPDATE)\s+(?:CASCADE|RESTRICT|SET NULL|NO ACTION))*",
    re.IGNORECASE,
)
_CHECK = re.compile(r"(?:ADD\s+)?CONSTRAINT\s+`?[\w.]+`?\s+CHECK\s*\((?:[^()]|\([^()]*\))*\)\s*,?", re.IGNORECASE)
_ADDED = re.compile(
    r"addColumn\(\s*(?:connection:\s*)?\$connection,\s*(?:table:\s*)?'(\w+)',\s*(?:column:\s*)?'(\w+)',\s*(?:type:\s*)?'([^']+)'"
    r"(?:,\s*(?:nullable:\s*)?(true|false))?"
)
_COLUMN = re.compile(r"\[\s*'name'\s*=>\s*'(\w+)',\s*'type'\s*=>\s*'((?:[^'\\]|\\.)+)'(.*?)\]", re.DOTALL)


class System(NamedTuple):
    """How the tables of a system are read.

    Attributes:
        files: Where its tables are written, below the checkout; for messages.
        read: Returns the statements that make them, from the checkout.
    """

    files: str
    read: Callable[[Path], Iterator[str]]


def opencart(folder: Path) -> Iterator[str]:
    """Yield CREATE TABLE for each table of OpenCart 4, as its installer does.

    A column may be null unless it says so.
    """
    text = (folder / "upload/system/helper/db_schema.php").read_text(encoding="utf-8")
    for block in text.split("$tables[] = [")[1:]:
        name = re.search(r"'name'\s*=>\s*'(\w+)'", block)
        fields, _, rest = block.partition("'primary'")
        if name is None:
            continue
        columns = [
            f"`{column}` {_unescaped(kind)}{' NOT NULL' if 'not_null' in more else ''}"
            f"{' AUTO_INCREMENT' if 'auto_increment' in more else ''}"
            for column, kind, more in _COLUMN.findall(fields)
        ]
        primary, *_ = re.findall(r"=>\s*\[(.*?)\]", rest, re.DOTALL)
        keys = [f"PRIMARY KEY ({_listed(primary)})"]
        _, _, indexes = rest.partition("'index'")
        keys += [f"KEY ({_listed(key)})" for key in re.findall(r"'key'\s*=>\s*\[(.*?)\]", indexes, re.DOTALL)]
        yield f"CREATE TABLE `oc_{name[1]}` ({', '.join(columns + keys)})"


def prestashop(folder: Path) -> Iterator[str]:
    """Yield the statements of PrestaShop's installer."""
    text = (folder / "install-dev/data/db_structure.sql").read_text(encoding="utf-8")
    text = text.replace("PREFIX_", "ps_").replace("ENGINE_TYPE", "InnoDB").replace("COLLATION", "")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    for statement in text.split(";"):
        if _STATEMENT.match(statement):
            yield statement.strip()


def magento(folder: Path) -> Iterator[str]:
    """Yield CREATE TABLE for each table that the modules of Magento 2 declare; a later module adds columns to it."""
    columns: dict[str, dict[str, str]] = {}
    keys: dict[str, list[str]] = {}
    for file in sorted(folder.glob("app/code/Magento/*/etc/db_schema.xml")):
        for table in ElementTree.parse(file).getroot().iter("table"):  # noqa: S314 - see the import
            name = table.get("name", "")
            for column in table.iter("column"):
                if column.get("name") and column.get(_TYPE):  # references to columns have no type
                    columns.setdefault(name, {})[column.get("name", "")] = _of_magento(column)
            for constraint in (*table.iter("constraint"), *table.iter("index")):
                listed = ", ".join(f"`{column.get('name')}`" for column in constraint.iter("column"))
                kind = {"primary": "PRIMARY KEY", "unique": "UNIQUE KEY"}.get(constraint.get(_TYPE, ""), "KEY")
                if listed and constraint.get("indexType") != "fulltext":
                    keys.setdefault(name, []).append(f"{kind} ({listed})")
    for name, described in columns.items():
        parts = [f"`{column}` {kind}" for column, kind in described.items()]
        yield f"CREATE TABLE `{name}` ({', '.join(parts + keys.get(name, []))})"


def shopware(folder: Path) -> Iterator[str]:
    """Yield what Shopware's migrations do to tables, in their order; a foreign key is an index of its columns.

    What they remove comes last, as in an installation.
    """
    files = folder.glob("src/Core/Migration/V6_*/Migration*.php")
    ordered = sorted(files, key=lambda path: int(re.findall(r"\d{10}", path.name)[0]))
    halves = [file.read_text(encoding="utf-8").partition("function updateDestructive") for file in ordered]
    for code in (*(before for before, _, _ in halves), *(after for _, _, after in halves)):
        for text in _php_texts(code):
            for statement in filter(_STATEMENT.match, text.split(";")):
                keyed = _CHECK.sub("", _FOREIGN.sub(r"KEY \1", statement))
                if "DROP FOREIGN KEY" not in statement.upper():
                    yield re.sub(r",(\s*(?:\)\s*(?:ENGINE.*)?)?)$", r"\1", keyed, flags=re.DOTALL)
        for table, column, kind, nullable in _ADDED.findall(code):
            yield f"ALTER TABLE `{table}` ADD COLUMN `{column}` {kind}{' NOT NULL' if nullable == 'false' else ''}"


def woocommerce(folder: Path) -> Iterator[str]:
    """Yield the statements of WordPress and of WooCommerce, of an installation that has both."""
    files = ("wp-admin/includes/schema.php", "wp-content/plugins/woocommerce/includes/class-wc-install.php")
    for file in files:
        text = (folder / file).read_text(encoding="utf-8")
        text = re.sub(r"\{?\$wpdb->(?:prefix\}?|(?=\w))", "wp_", text)
        text = re.sub(r"\{?\$max_index_length\}?", "191", text)
        for statement in re.findall(r"CREATE TABLE wp_\w+ \(.*?\n\s*\) \$\w+;", text, re.DOTALL):
            yield re.sub(r"\$\w+;$", "", statement).replace("PRIMARY KEY  ", "PRIMARY KEY ")


SYSTEMS: Mapping[str, System] = {
    "magento": System("app/code/Magento/*/etc/db_schema.xml", magento),
    "opencart": System("upload/system/helper/db_schema.php", opencart),
    "prestashop": System("install-dev/data/db_structure.sql", prestashop),
    "shopware": System("src/Core/Migration/V6_*/Migration*.php", shopware),
    "woocommerce": System(
        "wp-admin/includes/schema.php, wp-content/plugins/woocommerce/includes/class-wc-install.php", woocommerce
    ),
}
_WITHOUT_LENGTH = frozenset(
    "text mediumtext longtext blob mediumblob date datetime timestamp double float json".split()
)
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def _of_magento(column: ElementTree.Element) -> str:
    kind, length = column.get(_TYPE, ""), column.get("length") or column.get("padding")
    if kind == "decimal":
        length = f"{column.get('precision', 10)},{column.get('scale', 0)}"
    kind = {"boolean": "tinyint(1)", "real": "float"}.get(kind, kind)
    if kind in _WITHOUT_LENGTH:
        length = None
    size = f"({length})" if length and "(" not in kind else ""
    sign = " unsigned" if column.get("unsigned") == "true" else ""
    default = " DEFAULT CURRENT_TIMESTAMP" if kind == "timestamp" else ""  # else MariaDB makes one that it refuses
    identity = " AUTO_INCREMENT" if column.get("identity") == "true" else ""
    return f"{kind}{size}{sign}{' NOT NULL' if column.get('nullable') == 'false' else ' NULL'}{default}{identity}"


def _listed(names: str) -> str:
    return ", ".join(f"`{name}`" for name in re.findall(r"'(\w+)'", names))


def _unescaped(text: str) -> str:
    return text.replace("\\'", "'")


def _php_texts(code: str) -> Iterator[str]:
    for match in _PHP_TEXT.finditer(code):
        yield _unescaped(match["text"] or match["single"] or match["double"] or "")
