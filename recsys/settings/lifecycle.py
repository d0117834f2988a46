"""Options of a version's life, with their defaults and ranges: schedule, gate, and what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from recsys.errors.records import Record
from recsys.settings.checks import checked, number

_COUNT, _SHARE = (1, 10**9), (0.0, 1.0)
LIFECYCLE_RANGES: Mapping[str, tuple[float, float]] = {
    "keep_versions": (2, 10_000),  # with one, a process could be about to open the version that is removed
    **dict.fromkeys(("max_model_age_days", "max_data_age_days", "max_backup_age_days"), (0.01, 100_000)),
    **dict.fromkeys(("max_fallback_share", "max_coverage_drop"), (0.0, 1.0)),
    "max_refusals": (1, 1000),
    "max_training_minutes": (0.01, 100_000),
    "max_training_memory_mib": (0, 10**8),
    "retries": (0, 100),
    "retry_minutes": (0, 10_000),
    **dict.fromkeys(("min_events", "min_users", "min_products", "few_users", "segment_users"), _COUNT),
    **dict.fromkeys(("max_sparsity", "max_user_share", "margin", "max_count_drop", "max_metric_drop"), _SHARE),
    "min_agreement": _SHARE,
}


class Lifecycle(Record):
    """When training runs and may publish, when it and the monitor warn, and how many versions are kept.

    Attributes:
        keep_versions: Published versions that are kept, the newest ones; the active one and those in use stay, too.
        max_training_minutes: A scheduled training that takes longer is ended.
        max_training_memory_mib: A scheduled training with more resident memory is ended; 0 stands for four fifths of
            the machine's memory.
        retries: How often a scheduled training that failed is tried again. A refused one is not.
        retry_minutes: Minutes before the first of these attempts; each further one waits twice as long.
        min_events: Fewer events are refused.
        min_users: Fewer users are refused.
        min_products: Fewer products with events are refused.
        few_users: Fewer users are a warning.
        max_sparsity: A larger share of pairs of a user and a product without an event is a warning.
        max_user_share: A larger share of all events under one user id is a warning.
        margin: Refused if MAP@10 is certainly below the active version's by more than this share of it.
        max_count_drop: Refused if users, products or events are fewer than the active version's by more than this
            share.
        max_metric_drop: Refused if MAP@10, or its ratio to popularity's, is certainly below the active version's at
            its publication by more than this share.
        min_agreement: Refused if the median user's ten items of the fit that serves share less than this with those of
            the fit that was evaluated.
        segment_users: A segment of users gets a scorer of its own if validation has at least so many of them.
        max_model_age_days: The monitor reports an older model; the default suits weekly training.
        max_data_age_days: The same of the newest event that the model knows.
        max_backup_age_days: The same of the newest backup.
        max_refusals: The monitor reports so many training runs in a row that publish nothing.
        max_coverage_drop: It reports coverage below that of the versions before by more than this share.
        max_fallback_share: It reports a larger share of lists that the fallback chain gave.
    """

    keep_versions: int = 5
    max_training_minutes: float = 240.0
    max_training_memory_mib: int = 0
    retries: int = 2
    retry_minutes: float = 5.0
    min_events: int = 100
    min_users: int = 10
    min_products: int = 10
    few_users: int = 50
    max_sparsity: float = 0.99
    max_user_share: float = 0.1
    margin: float = 0.05
    max_count_drop: float = 0.2
    max_metric_drop: float = 0.3
    min_agreement: float = 0.25
    segment_users: int = 200
    max_model_age_days: float = 8.0
    max_data_age_days: float = 8.0
    max_backup_age_days: float = 8.0
    max_refusals: int = 3
    max_coverage_drop: float = 0.5
    max_fallback_share: float = 0.1

    def __post_init__(self) -> None:
        for name, expected in _OPTIONS.items():
            expected.of(getattr(self, name), f"[lifecycle] `{name}`")


# What each option should hold.
_OPTIONS = {
    option.name: number(*LIFECYCLE_RANGES[option.name], whole=option.type == "int") for option in fields(Lifecycle)
}


def read_lifecycle(toml: Mapping[str, Any]) -> Lifecycle:
    """Read the table [lifecycle] of recsys.toml, with its defaults.

    Raises:
        SettingsError: A name or a value is not what it should be.
    """
    return Lifecycle(**checked(toml.get("lifecycle", {}), _OPTIONS, "[lifecycle]"))
