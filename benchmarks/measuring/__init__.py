"""Parts of `benchmarks/quality.py`: evaluation of scorers, runs, summaries over seeds, ablations and tables."""
