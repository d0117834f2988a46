"""Settings: the environment, .env and recsys.toml, read once and passed down."""

from recsys.settings.experiments import METRICS, NO_LISTS, Arm, Experiment, Privacy
from recsys.settings.lifecycle import LIFECYCLE_RANGES, Lifecycle
from recsys.settings.settings import Settings, load_settings
from recsys.settings.shop import (
    DEFAULT_EVENT_WEIGHTS,
    ProductsTable,
    Shop,
    Source,
    TableSource,
    TrackedSource,
    with_tracking,
)
from recsys.settings.training import AMONG_EQUALS, LOSSES, TRAINING_RANGES, Training

__all__ = [
    "DEFAULT_EVENT_WEIGHTS",
    "AMONG_EQUALS",
    "Arm",
    "Experiment",
    "LIFECYCLE_RANGES",
    "LOSSES",
    "Lifecycle",
    "METRICS",
    "NO_LISTS",
    "Privacy",
    "ProductsTable",
    "Settings",
    "Shop",
    "Source",
    "TRAINING_RANGES",
    "TableSource",
    "TrackedSource",
    "Training",
    "load_settings",
    "with_tracking",
]
