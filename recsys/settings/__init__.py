"""Settings: the environment, .env and recsys.toml, read once and passed down."""

from recsys.settings.settings import SECRETS, Settings, load_settings
from recsys.settings.shop import DEFAULT_EVENT_WEIGHTS, ProductsTable, Shop, Source, TableSource
from recsys.settings.training import LOSSES, TRAINING_RANGES, Training

__all__ = [
    "DEFAULT_EVENT_WEIGHTS",
    "LOSSES",
    "ProductsTable",
    "SECRETS",
    "Settings",
    "Shop",
    "Source",
    "TRAINING_RANGES",
    "TableSource",
    "Training",
    "load_settings",
]
