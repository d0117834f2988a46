"""Published versions, and everything else in models/."""

from recsys.artifacts.active import activate, append_history, history, keep_refused_report
from recsys.artifacts.arrays import ANSWERING_LIMIT, Arrays, resident_bytes, trim_memory
from recsys.artifacts.files import DISK, Files
from recsys.artifacts.folder import publisher_lock, remove_version, version_names
from recsys.artifacts.nearest import Nearest
from recsys.artifacts.publish import Draft, check_room
from recsys.artifacts.version import Version, current, current_name, is_current, open_version

__all__ = [
    "ANSWERING_LIMIT",
    "DISK",
    "Arrays",
    "Draft",
    "Files",
    "Nearest",
    "Version",
    "activate",
    "append_history",
    "check_room",
    "current",
    "current_name",
    "history",
    "is_current",
    "keep_refused_report",
    "open_version",
    "publisher_lock",
    "remove_version",
    "resident_bytes",
    "trim_memory",
    "version_names",
]
