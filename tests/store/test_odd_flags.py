"""Odd columns of flags, drawn with a seed: training and requests read each word alike, and what is none is told."""

from __future__ import annotations

import random
from dataclasses import replace

from recsys.settings import ProductsTable, Shop
from recsys.store import Database, products, read_catalogue

N_VARIANTS, N_ROWS = 20, 30
YES = ("1", "Y", "y", "yes", "YES", "true", "TRUE", "t", "on", "active", "Active", "enabled", " yes ", "2", "1.0")
NO = ("0", "N", "n", "no", "No", "false", "FALSE", "f", "off", "inactive", "Inactive", "disabled", " off ", "0.0")
ODD = ("perhaps", "retired", "-", "?", "yes!", "1 of 2", "nein")


def test_every_word_of_a_flag_is_read_right_or_told(bare_db: Database, shop: Shop) -> None:
    rng = random.Random(21)
    for variant in range(N_VARIANTS):
        table = f"goods{variant}"
        bare_db.execute(f"CREATE TABLE {table} (sku INTEGER, state VARCHAR(20))")
        words = [rng.choice((YES, NO)[rng.randrange(2)]) for _ in range(N_ROWS)]
        words[:3] = [rng.choice(ODD), YES[0], NO[0]]
        bare_db.insert(table, [{"sku": sku, "state": word} for sku, word in enumerate(words)])
        mapped = replace(shop, products=ProductsTable(table, "sku", active="state"))
        lines: list[str] = []

        catalogue = read_catalogue(bare_db, mapped, tell=lines.append)

        sold = {sku for sku, word in enumerate(words) if word in YES}
        trained = dict(zip(catalogue.items.tolist(), catalogue.active.tolist(), strict=True))
        assert {sku for sku, active in trained.items() if active} == sold, words
        served = products(bare_db, mapped, list(range(N_ROWS)))
        assert {row.item_id for row in served if row.active} == sold, words
        assert lines == [f"WARNING: active: 1 of {N_ROWS} unreadable, e.g. {words[0]!r} (product 0)"]
