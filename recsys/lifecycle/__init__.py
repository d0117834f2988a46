"""A version's life: whether it may serve, and what becomes of it."""
