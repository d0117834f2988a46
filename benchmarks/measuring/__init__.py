"""How `benchmarks/quality.py` measures: marks, runs, what is left of them after several seeds, and tables."""
