"""Explicit ratings of 1 to 5 stars: a matrix factorisation with biases, and whether it is worth publishing."""
