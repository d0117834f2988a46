"""Lists that start from products, not from a person: bought together, trending. Pure functions of arrays."""
