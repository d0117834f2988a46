"""Imports events of another system from a file into the default schema."""
