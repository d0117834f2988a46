"""Whether the shop's recommendations are well: the active version, its data, the database, the answers and the disk.

Figures that cannot be read are None, and each part that fails is a problem of its own. So a dead database hides
nothing of what the files say.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from recsys import store
from recsys.artifacts import check_room, current, current_name
from recsys.errors import ModelRefused, NoModel, Overloaded, RecsysError
from recsys.errors.records import Record
from recsys.lifecycle.archive import open_archive
from recsys.lifecycle.runs import is_run, number, share, unpublished, winner_figure
from recsys.lifecycle.versions import Connect, named, recorded, trained_at
from recsys.settings import Lifecycle, Settings

HEALTHY, DEGRADED, UNHEALTHY = "HEALTHY", "DEGRADED", "UNHEALTHY"
LEVELS = (HEALTHY, DEGRADED, UNHEALTHY)  # the exit status of each is its position
DAY_S = 86_400
WINDOW_S = DAY_S  # answers and model runs of the last day count
ENOUGH_ANSWERS = 100  # fewer answers, or model runs, say nothing about their share
MOST_FALLBACKS = 0.5  # above it, customers mostly see no recommendations
TOO_OLD = 4  # times the age that is allowed: nobody has taken care of it for long
COMPARED_RUNS = 5  # published before; their median is what coverage should be like
LEAST_FREE = 64 * 2**20  # bytes; with fewer, the backend cannot keep what waits for the database
DATABASE_S = 30.0  # for connecting and for each statement

Figures = dict[str, float | None]
FIGURES = (
    "model_age_days",
    "model_data_age_days",
    "model_users",
    "model_products",
    "model_interactions",
    "model_sparsity",
    "model_similarity_density",
    "model_avg_similarity",
    "model_map10",
    "model_coverage",
    "version_bytes",
    "refusals_in_a_row",
    "failures_in_a_row",
    "encoders_missing",
    "answers",
    "fallback_share",
    "failed_run_share",
    "disk_free_bytes",
)


class Problem(Record):
    """Something that is not as it should be.

    Attributes:
        level: `DEGRADED` or `UNHEALTHY`.
        name: A short name that stays, for alerts; docs/OPERATIONS.md says what to do.
        text: A sentence for people.
    """

    level: str
    name: str
    text: str


class Health(Record):
    """The state of the shop's recommendations.

    Attributes:
        version: The active version; None if there is none, or CURRENT cannot be read.
        problems: What is not as it should be, the worst first.
        figures: A number for each of `FIGURES`; None where it is not known.
    """

    version: str | None
    problems: tuple[Problem, ...]
    figures: Mapping[str, float | None]

    @property
    def status(self) -> str:
        """The level of the worst problem."""
        return worst(self.problems)


class Backup(Record):
    """An archive of a version.

    Attributes:
        file: The file's name.
        version: The version in it; None if it cannot be read.
        size: Bytes.
        written_at: Seconds since 1970.
        fault: Why it cannot be read.
    """

    file: str
    version: str | None
    size: int
    written_at: int
    fault: str | None = None


def worst(problems: Sequence[Problem]) -> str:
    """Return the level of the worst problem; `HEALTHY` without any."""
    return max((problem.level for problem in problems), key=LEVELS.index, default=HEALTHY)


def health(settings: Settings, *, now: int, connect: Connect = store.connect) -> Health:
    """Return the state of the shop's recommendations; nothing is changed.

    Args:
        settings: Where versions and database are, and the limits.
        now: Seconds since 1970.
        connect: Opens the database.
    """
    figures: Figures = dict.fromkeys(FIGURES)
    limits = settings.lifecycle
    name, manifest, problems = _version(settings.models_dir, figures)
    entries: list[dict[str, Any]] = []
    try:
        entries = recorded(settings.models_dir)
    except ModelRefused as error:
        problems.append(Problem(DEGRADED, "history", str(error)))
    if name is not None:
        problems += _ages(name, manifest, figures, limits, now)
        problems += _figures_of_the_run(name, manifest, entries, figures, limits)
    problems += _unpublished(entries, figures, limits)
    problems += _room(settings.models_dir, figures)
    try:
        with connect(settings.database_url, timeout_s=DATABASE_S) as db:
            if name is not None:
                problems += _encoders(db, name, manifest, figures)
            problems += _answers(db, figures, limits, now)
    except RecsysError as error:
        problems.append(Problem(UNHEALTHY, "database", str(error)))
    problems.sort(key=lambda problem: -LEVELS.index(problem.level))
    return Health(name, tuple(problems), figures)


def backups_in(folder: Path) -> list[Backup]:
    """Return the archives in a folder, the newest first; empty without the folder.

    Raises:
        OSError: The folder cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*.zip")) if folder.exists() else []:
        status, version, fault = path.stat(), None, None
        try:
            with open_archive(path) as archive:
                version = archive.name
        except RecsysError as error:
            fault = str(error)
        found.append(Backup(path.name, version, status.st_size, int(status.st_mtime), fault))
    return sorted(found, key=lambda backup: (-backup.written_at, backup.file))


def backup_problems(backups: Sequence[Backup], limits: Lifecycle, now: int) -> list[Problem]:
    """Return what is wrong with the backups: there are none, the newest is old, or some cannot be read."""
    problems = [
        Problem(UNHEALTHY if backup is backups[0] else DEGRADED, "backup_damaged", str(backup.fault))
        for backup in backups
        if backup.fault
    ]
    whole = [backup for backup in backups if not backup.fault]
    if not whole:
        return [*problems, Problem(DEGRADED, "backup_missing", "There is no backup. Run scripts/backup.py.")]
    age = days(whole[0].written_at, now)
    if age > limits.max_backup_age_days:
        problems.append(Problem(DEGRADED, "backup_age", _too_old("The newest backup", age, limits.max_backup_age_days)))
    return problems


def days(moment: float, now: int) -> float:
    """Return the days from a moment to now, both in seconds since 1970; 0 for a moment to come."""
    return max(0.0, (now - moment) / DAY_S)


def _version(models_dir: Path, figures: Figures) -> tuple[str | None, Mapping[str, Any], list[Problem]]:
    """Return the active version's name, its manifest if the version is whole, and what is wrong with it."""
    name: str | None = None
    try:
        name = current_name(models_dir)
        with current(models_dir) as version:
            figures["version_bytes"] = version.size
            return version.name, version.manifest, []
    except NoModel as error:
        return name, {}, [Problem(UNHEALTHY, "no_version", str(error))]
    except RecsysError as error:
        return name, {}, [Problem(UNHEALTHY, "version_damaged", str(error))]


def _ages(name: str, manifest: Mapping[str, Any], figures: Figures, limits: Lifecycle, now: int) -> Iterator[Problem]:
    moments = {"model_age_days": trained_at(name) or None, "model_data_age_days": number(manifest.get("data_until"))}
    allowed = {"model_age_days": limits.max_model_age_days, "model_data_age_days": limits.max_data_age_days}
    titles = {"model_age_days": "The model", "model_data_age_days": "The newest event that the model knows"}
    for figure, moment in moments.items():
        if moment is None:
            continue
        age = figures[figure] = days(moment, now)
        if age > allowed[figure]:
            level = UNHEALTHY if age > TOO_OLD * allowed[figure] else DEGRADED
            yield Problem(level, figure.removesuffix("_days"), _too_old(titles[figure], age, allowed[figure]))


def _too_old(what: str, age: float, allowed: float) -> str:
    return f"{what} should be at most {allowed:g} days old. Received: {age:.1f} days."


def _figures_of_the_run(
    name: str,
    manifest: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    figures: Figures,
    limits: Lifecycle,
) -> Iterator[Problem]:
    """Fill in what the history, or else the manifest, says of the version; compare its coverage with earlier ones."""
    published = [entry for entry in entries if entry.get("published")]
    own: Mapping[str, Any] = next((entry for entry in reversed(published) if named(entry) == name), {})
    counts = manifest.get("counts") if isinstance(manifest.get("counts"), Mapping) else {}
    for figure, key, count in (
        ("model_users", "n_users", "users"),
        ("model_products", "n_products", "items"),
        ("model_interactions", "n_interactions", "events"),
    ):
        known = number(own.get(key))
        figures[figure] = number(counts.get(count)) if known is None and counts else known
    for key in ("sparsity", "similarity_density", "avg_similarity"):
        figures[f"model_{key}"] = share(own.get(key))
    figures["model_map10"], figures["model_coverage"] = (winner_figure(own, key) for key in ("map10", "coverage"))
    earlier = [entry for entry in published if is_run(entry) and named(entry) != name and _began(entry) < _began(own)]
    before = [value for entry in earlier if (value := winner_figure(entry, "coverage")) is not None][-COMPARED_RUNS:]
    coverage = figures["model_coverage"]
    if before and coverage is not None and coverage < (1 - limits.max_coverage_drop) * median(before):
        yield Problem(
            DEGRADED,
            "coverage",
            f"Its lists should cover about {median(before):.1%} of the products, as before. Received: {coverage:.1%}.",
        )


def _began(entry: Mapping[str, Any]) -> float:
    return number(entry.get("trained_at")) or 0.0


def _unpublished(entries: Sequence[Mapping[str, Any]], figures: Figures, limits: Lifecycle) -> Iterator[Problem]:
    since = unpublished(entries)
    figures["refusals_in_a_row"], figures["failures_in_a_row"] = since.refused, since.failed
    n = since.refused + since.failed
    if n >= limits.max_refusals:
        name = "failures" if since.failed > since.refused else "refusals"
        yield Problem(
            DEGRADED,
            name,
            f"The last {n} training runs published nothing: {since.refused} refused, {since.failed} failed. "
            f"The newest: {since.reason}",
        )


def _room(models_dir: Path, figures: Figures) -> Iterator[Problem]:
    folder = next((path for path in (models_dir, *models_dir.absolute().parents) if path.is_dir()), None)
    if folder is None:
        return
    free = figures["disk_free_bytes"] = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        yield Problem(UNHEALTHY, "disk", f"{folder} should have room on its disk. Received: {free / 2**20:,.0f} MiB.")
        return
    try:
        check_room(folder)
    except Overloaded as error:
        yield Problem(DEGRADED, "disk", str(error))


def _encoders(db: store.Database, name: str, manifest: Mapping[str, Any], figures: Figures) -> Iterator[Problem]:
    """Compare the rows of the version's encoders with its manifest."""
    stored = store.encoder_counts(db, name)
    way_out = f"Run scripts/migrate_encoders.py --version {name}."
    if stored is None:
        figures["encoders_missing"] = 1
        yield Problem(
            UNHEALTHY, "encoders", f"The database should hold the encoders of {name}. Received: none. {way_out}"
        )
        return
    figures["encoders_missing"] = 0
    with suppress(KeyError, TypeError):  # the manifest of an old version may lack some of it
        counts, features = manifest["counts"], manifest["context_features"]
        expected = {"user": counts["users"], "item": counts["items"], "context": len(features)}
        tables = ("rec_user_encoder", "rec_item_encoder", "rec_context_meta")
        received = dict(zip(expected, (stored[table] for table in tables), strict=True))
        if received != expected:
            figures["encoders_missing"] = 1
            yield Problem(
                UNHEALTHY, "encoders", f"The encoders of {name} should be {expected}. Received: {received}. {way_out}"
            )
    shown = store.shown_versions(db)
    if shown != [name]:
        listed = ", ".join(shown) or "none"
        yield Problem(DEGRADED, "views", f"The views should show {name}. Received: {listed}. {way_out}")


def _answers(db: store.Database, figures: Figures, limits: Lifecycle, now: int) -> Iterator[Problem]:
    """Fill in the shares of fallbacks and of failed model runs in the last day, where there are enough of both."""
    since = f"{datetime.fromtimestamp(now - WINDOW_S, UTC):%Y-%m-%d %H:%M:%S}"
    answers, runs = store.answers_since(db, since), store.runs_since(db, since)
    figures["answers"] = None if answers is None else answers.n
    for figure, found, what in (
        ("fallback_share", answers, "lists came from the fallback chain"),
        ("failed_run_share", runs, "runs of models failed"),
    ):
        if found is None or found.share is None:
            continue
        figures[figure] = found.share
        if found.n >= ENOUGH_ANSWERS and found.share > limits.max_fallback_share:
            level = UNHEALTHY if found.share > MOST_FALLBACKS else DEGRADED
            text = f"{found.n_failed:,} of {found.n:,} {what} in a day; at most {limits.max_fallback_share:.0%} should."
            yield Problem(level, figure.removesuffix("_share"), text)
