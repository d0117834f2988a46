"""The GRANT statements that an account lacks for training, as SQL that an administrator can paste."""

from __future__ import annotations

import re

from recsys.store.database import Database
from recsys.store.migrations import columns, own_tables, own_views

# MySQL takes a GRANT for a table that does not exist yet only together with CREATE.
_TABLE_RIGHTS, _VIEW_RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX", "SELECT, CREATE, CREATE VIEW, DROP"
_DENIED_TABLE = re.compile(r"(?:for|in) table (?:[`'](?P<schema>[^`']+)[`']\.)?[`'](?P<table>[^`']+)[`']")
_DENIED_RELATION = re.compile(r"permission denied for (?P<kind>\w+) \"?(?P<name>[^\"\n]+?)\"?$", re.MULTILINE)


def grants_to_write(db: Database) -> str:
    """Return statements that let the account create and change our tables, and no others."""
    ours = own_tables(db)
    if db.dialect == "mysql":
        account, schema = _mysql_account(db)
        rights = [(name, _TABLE_RIGHTS) for name in ours] + [(name, _VIEW_RIGHTS) for name in own_views()]
        return "\n".join(f"GRANT {right} ON {schema}.{_ticked(name)} TO {account};" for name, right in rights)
    account, schema = _postgresql_account(db)
    lines = [f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {account};"]
    lines += [
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{name} TO {account};" for name in ours if columns(db, name)
    ]
    return "\n".join(lines)


def grants_to_read(db: Database, refusal: str, text: str) -> str:
    """Return statements that let the account read the table that it was denied.

    Args:
        db: The database.
        refusal: The driver's message, which names the table; PostgreSQL's omits the schema.
        text: The SQL text that was to be run.
    """
    if db.dialect == "mysql":
        account, schema = _mysql_account(db)
        denied = _DENIED_TABLE.search(refusal)
        if denied is None:
            return f"GRANT SELECT ON {schema}.* TO {account};"
        schema = _ticked(denied["schema"]) if denied["schema"] else schema
        return f"GRANT SELECT ON {schema}.{_ticked(denied['table'])} TO {account};"
    account, schema = _postgresql_account(db)
    denied = _DENIED_RELATION.search(refusal)
    if denied is None:
        return f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {account};"
    name = denied["name"]
    if denied["kind"] == "schema":
        return f"GRANT USAGE ON SCHEMA {_quoted(name)} TO {account};"
    sql = (
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = :name AND NOT has_table_privilege(c.oid, 'SELECT') "
        "ORDER BY n.nspname = current_schema() DESC, n.nspname"
    )
    schemas = [str(schema_name) for (schema_name,) in db.query(sql, {"name": name})]
    in_text = [schema_name for schema_name in schemas if f"{schema_name}.{name}" in text]
    schema = _quoted((in_text or schemas)[0]) if schemas else schema
    return f"GRANT SELECT ON {schema}.{_quoted(name)} TO {account};"


def _mysql_account(db: Database) -> tuple[str, str]:
    """Return the account as the server knows it, `'user'@'host'`, and its quoted database."""
    ((account, schema),) = db.query("SELECT CURRENT_USER(), DATABASE()")
    user, _, host = str(account).rpartition("@")
    quoted = ("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host))
    return "@".join(quoted), _ticked(str(schema))


def _postgresql_account(db: Database) -> tuple[str, str]:
    ((account, schema),) = db.query(
        "SELECT quote_ident(current_user), quote_ident(COALESCE(current_schema(), 'public'))"
    )
    return str(account), str(schema)


def _ticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
