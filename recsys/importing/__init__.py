"""Imports events of another system from a file into the default schema."""

from recsys.importing.options import Condition, ImportOptions
from recsys.importing.run import ImportReport, import_events

__all__ = ["Condition", "ImportOptions", "ImportReport", "import_events"]
