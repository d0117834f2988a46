"""The shop's database: the only SQL of the project."""

from recsys.store.database import Database, Duplicate, Stream, UnusableValue, connect

__all__ = ["Database", "Duplicate", "Stream", "UnusableValue", "connect"]
