"""Published versions, and everything else in models/."""

from recsys.artifacts.active import activate, append_history, history
from recsys.artifacts.arrays import ANSWERING_LIMIT, Arrays, release_pages, resident_bytes, trim_memory
from recsys.artifacts.files import DISK, Files
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
    "release_pages",
    "open_version",
    "resident_bytes",
    "trim_memory",
]
