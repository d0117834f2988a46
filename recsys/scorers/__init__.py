"""The scorers in NumPy: networks, baselines and the linear ensemble, and the retrieval of candidate items."""
