"""UCI Online Retail: purchases from a wholesaler, cut in time, ranked in the whole catalogue."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sets.base import BenchmarkSet, Part, Parts, columns, events, make_part, quantile_cut
from recsys.data.interactions import Interactions
from recsys.data.splitting import split_at

FILE = "transactions.csv.gz"
RULES = ("allow", "hide")


def read(folder: Path) -> Parts:
    """Return the parts: both cut at the 80 % quantile of time, validation within the train part of the test."""
    rows = purchases(folder / FILE)
    train, after = split_at(rows, quantile_cut(rows.timestamps))
    return Parts(validation=_cut(train), test=make_part(train, after, cut=quantile_cut(rows.timestamps), rules=RULES))


def purchases(path: Path) -> Interactions:
    """Return the lines with a user and a positive quantity, without cancellations; repeated lines count separately."""
    table = columns(path, text=True)
    kept = table["CustomerID"] != ""
    kept &= np.array([not invoice.startswith("C") for invoice in table["InvoiceNo"]], bool)
    kept &= table["Quantity"].astype(float) > 0
    timestamps = table["InvoiceDate"][kept].astype("datetime64[s]").astype(np.int64)
    return events(table["CustomerID"][kept], table["StockCode"][kept], timestamps)


def _cut(rows: Interactions) -> Part:
    cut = quantile_cut(rows.timestamps)
    return make_part(*split_at(rows, cut), cut=cut, rules=RULES)


ONLINE_RETAIL = BenchmarkSet(
    name="online-retail",
    files=(FILE,),
    origin=(
        "Get it from https://archive.ics.uci.edu/dataset/352/online+retail and save it as gzipped CSV with the "
        "header InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country, times as "
        "2010-12-01 08:26:00."
    ),
    protocol=(
        "The cut is the 80 % quantile of time. Train: purchases before it. Test: later purchases of the same users,"
        " among the items known before the cut; the ranking covers the whole catalogue. Repeats allowed: every item"
        " counts. Repeats hidden: earlier purchases of the user are neither ranked nor relevant."
    ),
    rules=RULES,
    references={"allow": ("user_frequency_decayed",), "hide": ("ease",)},
    has_clock=True,
    read=read,
)
