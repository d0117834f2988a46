"""The project's failures, with their codes and exit statuses; secrets, and texts without them."""

from recsys.errors.failures import *  # noqa: F403 - each class of that module is part of this package's interface
