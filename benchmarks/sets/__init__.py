"""Public data sets of `benchmarks/quality.py`, each with its protocol; their files are not part of the project."""

from benchmarks.sets.amazon_beauty import AMAZON_BEAUTY
from benchmarks.sets.base import BenchmarkError, BenchmarkSet, Part, Parts
from benchmarks.sets.jdata import JDATA
from benchmarks.sets.movielens import ML_1M_NCF
from benchmarks.sets.online_retail import ONLINE_RETAIL
from benchmarks.sets.taobao import TAOBAO

SETS = {made.name: made for made in (ML_1M_NCF, ONLINE_RETAIL, AMAZON_BEAUTY, TAOBAO, JDATA)}

__all__ = ["SETS", "BenchmarkError", "BenchmarkSet", "Part", "Parts"]
