"""Parts of `benchmarks/scale.py`: a synthetic catalogue with the structure of a learned one, and its measurements."""
