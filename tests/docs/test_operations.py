"""docs/OPERATIONS.md removes exactly what is ours."""

import re

import pytest

from recsys.store.migrations import RECORD, own_views
from recsys.store.migrations import _own_statements as own_statements
from tests.helpers.entry_points import ROOT

TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)")


@pytest.mark.parametrize("page", ["docs/OPERATIONS.md", "docs/OPERATIONS.vi.md"])
def test_uninstalling_drops_all_of_our_views_and_tables_and_nothing_else(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tables = [RECORD, *(created[1] for created in map(TABLE.match, own_statements()) if created)]

    assert sorted(re.findall(r"DROP VIEW IF EXISTS (\w+);", text)) == sorted(own_views())
    assert sorted(re.findall(r"DROP TABLE IF EXISTS (\w+);", text)) == sorted(tables)
