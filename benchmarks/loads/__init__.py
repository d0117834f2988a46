"""Parts of `benchmarks/serving.py`: synthetic shops, the programs that are timed on them, targets and tables."""
