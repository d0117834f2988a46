"""What an administrator has to say so that an account may do what training does: SQL, ready to be pasted."""

from __future__ import annotations

import re

from recsys.store.database import Database
from recsys.store.migrations import columns, own_tables, own_views

# MySQL takes a GRANT for a table that does not exist yet only together with CREATE.
_TABLE_RIGHTS, _VIEW_RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, INDEX", "SELECT, CREATE, CREATE VIEW, DROP"
_DENIED_TABLE = re.compile(r"(?:for|in) table (?:[`'](?P<schema>[^`']+)[`']\.)?[`'](?P<table>[^`']+)[`']")
_DENIED_RELATION = re.compile(r"permission denied for (?P<kind>\w+) \"?(?P<name>[^\"\n]+?)\"?$", re.MULTILINE)


def grants_to_write(db: Database) -> str:
    """Return the statements that let the account create and change our tables, and no others."""
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
    """Return the statements that let the account read what it was refused.

    Args:
        db: The database.
        refusal: The driver's words; they name the table, PostgreSQL's without its schema.
        text: What was to be read.
    """
    if db.dialect == "mysql":
        account, schema = _mysql_account(db)
        denied = _DENIED_TABLE.search(refusal)
        if denied is None:
            return f"GRANT SELECT ON {schema}.* TO {account};"
        return f"GRANT SELECT ON {_ticked(denied['schema']) if denied['schema'] else schema}.{_ticked(denied['table'])} TO {account};"
    account, schema = _postgresql_account(db)
    found = _DENIED_RELATION.search(refusal)
    if found is None:
        return f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {account};"
    if found["kind"] == "schema":
        return f"GRANT USAGE ON SCHEMA {_quoted(found['name'])} TO {account};"
    sql = (
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = :name AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY n.nspname = current_schema() DESC, n.nspname"
    )
    places = [str(place) for (place,) in db.query(sql, {"name": found["name"]})]
    named = [place for place in places if f"{place}.{found['name']}" in text]
    return (
        f"GRANT SELECT ON {_quoted((named or places)[0]) if places else schema}.{_quoted(found['name'])} TO {account};"
    )


def _mysql_account(db: Database) -> tuple[str, str]:
    """Return the account as the server took it, `'user'@'host'`, and its database."""
    ((account, schema),) = db.query("SELECT CURRENT_USER(), DATABASE()")
    user, _, host = str(account).rpartition("@")
    return "@".join("'" + part.replace("\\", "\\\\").replace("'", "''") + "'" for part in (user, host)), _ticked(
        str(schema)
    )


def _postgresql_account(db: Database) -> tuple[str, str]:
    ((account, schema),) = db.query(
        "SELECT quote_ident(current_user), quote_ident(COALESCE(current_schema(), 'public'))"
    )
    return str(account), str(schema)


def _ticked(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
