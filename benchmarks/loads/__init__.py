"""What `benchmarks/serving.py` measures: synthetic shops, the programs that are timed on them, and what is said of the figures."""
