"""How `benchmarks/quality.py` measures: results, runs, what is left of them after several seeds, and tables."""
