"""Operators' tools: each file is a thin door."""
