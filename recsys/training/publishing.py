"""Publication: the files of a version, its manifest, its entry in the history, and the order in which they appear."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import store
from recsys.artifacts import Draft, Files, activate, append_history, is_current
from recsys.data.encoding import Encoders
from recsys.data.guests import are_sessions
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, data_hash
from recsys.errors import RecsysError
from recsys.evaluation.selection import fit_priors
from recsys.features.query import Floats
from recsys.lifecycle.choice import ALL, in_segment
from recsys.lifecycle.comparison import evaluation_files
from recsys.lifecycle.selfcheck import Learned, check_answers
from recsys.lifecycle.versions import record_active, show_active
from recsys.scorers.registry import REGISTRY
from recsys.settings import Settings
from recsys.training.ann_index import write_candidates
from recsys.training.fitting import FittedModels
from recsys.training.related_files import variants_of, write_related
from recsys.training.report import write_report
from recsys.training.report_history import known_history
from recsys.training.report_terms import shown_by_segment
from recsys.training.run import Progress, TrainingRun
from recsys.training.shop_figures import shop_figures
from recsys.training.stages import active_items
from recsys.training.verdict import counts_of

SNAPSHOT_ITEMS = 200
SNAPSHOT_ITEMS_PER_CATEGORY = 30
SNAPSHOT_CATEGORIES = 100  # those of the best sellers; the file has 3 MB at most, with full lists and long names
SNAPSHOT_NAME_LENGTH = 255
OFFLINE = tuple(f"{metric}{bound}" for metric in ("precision10", "map10") for bound in ("", "_low", "_high"))


def publish(
    run: TrainingRun, draft: Draft, *, files: Files, connect: Callable[..., store.Database], progress: Progress
) -> TrainingRun:
    """Write the version, its metrics and its encoders, ask it, then activate it; a failure before that removes them.

    Args:
        run: The run with both fits and the results on the test.
        draft: The version to fill, open until the caller leaves its context.
        files: Performs every change on the disk.
        connect: Opens the database.
        progress: Receives the progress of the run.

    Returns:
        The run with the version's name.

    Raises:
        TrainingRefused: The version does not answer as it should.
    """
    settings = run.settings
    progress.stage("Publish the version")
    entry = history_entry(run)
    record_active(settings.models_dir, files)
    write_version(draft, run)
    categories = item_codes(run.catalogue.categories, run.catalogue, run.final.encoders)[0]
    write_related(draft, run.final.data, families=variants_of(run, connect), categories=categories)
    write_candidates(draft, run, progress.note)
    write_report(draft, entry, run.evaluated.losses, known_history(settings.models_dir))
    name = draft.publish(manifest(run))
    progress.stage("Put the encoders into the database")
    try:
        write_encoders(run, name, connect)
        progress.stage("Ask the version before it serves")
        products = frozenset(run.catalogue.items.tolist())
        learned = Learned(run.final.encoders, run.final.data, products, run.now, run.hooks is None)
        check_answers(settings, name, learned, connect=connect)
        activate(settings.models_dir, name, files)
    except BaseException:  # Ctrl-C included
        if draft.is_new and not is_current(settings.models_dir, name):
            take_back(run, name, files=files, connect=connect, progress=progress)
        raise
    try:
        append_history(settings.models_dir, {**entry, "published": name}, files)
        with connect(settings.database_url) as db:
            show_active(db, settings.models_dir)
    except RecsysError:
        progress.note(f"Version {name} serves all the same. scripts/migrate_encoders.py lets the views show it.")
        raise
    return replace(run, version=name)


def write_encoders(run: TrainingRun, name: str, connect: Callable[..., store.Database]) -> None:
    """Store a version's encoders in the database, after removing encoders that killed runs left unfinished.

    Args:
        run: The run with the fit that serves.
        name: The version's name.
        connect: Opens the database.
    """
    encoders, data_until = run.final.encoders, int(run.final.data.timestamps.max())
    with connect(run.settings.database_url) as db:
        store.migrate(db, shop=False)
        store.purge_unfinished(db)
        store.write_version(
            db,
            name,
            data_until=data_until,
            users=encoders.users.ids[: len(encoders.users) - n_sessions(run)],  # nobody asks as a session
            items=encoders.items.ids,
            contexts=encoders.contexts.values,
        )


def n_sessions(run: TrainingRun) -> int:
    """Return how many users of the fit that serves, the last ones, are guests' sessions."""
    return int(are_sessions(run.final.encoders.users.ids).sum()) if run.cleaning.sessions else 0


def take_back(
    run: TrainingRun, name: str, *, files: Files, connect: Callable[..., store.Database], progress: Progress
) -> None:
    """Remove a version's encoders from the database.

    If it cannot be reached, the history says that they stay, so that the next publication removes them.
    """
    try:
        with connect(run.settings.database_url) as db:
            store.purge(db, name)
    except RecsysError as error:
        reason = f"The encoders of version {name} stay in the database, where nothing uses them: {error}"
        progress.note(reason)
        with suppress(RecsysError):
            entry = {"trained_at": run.now, "published": None, "reason": reason, "left_in_database": name}
            append_history(run.settings.models_dir, entry, files)


def write_version(draft: Draft, run: TrainingRun) -> None:
    """Write every file of a version except its manifest.

    `evaluation/` keeps what the scorers that serve need of the fit before the test cut, for later comparisons.
    """
    final, evaluated = run.final, run.evaluated
    write_models(draft, final, run.hyperparameters.ensemble_weights["blend"])
    for name, network in evaluated.networks.items():
        _write_weights(draft, f"evaluation/{name.lower()}_model.weights.h5", network)
    _write_encoders(draft, "encoders.h5", final.encoders)
    _write_encoders(draft, "evaluation/encoders.h5", evaluated.encoders)
    _write_contexts(draft, "contexts.json", final.encoders)
    _write_contexts(draft, "evaluation/contexts.json", evaluated.encoders)
    draft.write_arrays("evaluation/signals.h5", evaluated.features)
    blend = {"signal_weights": run.hyperparameters.ensemble_weights["blend"]}
    for name in evaluation_files(list(run.serves.values())):
        draft.write_arrays(f"evaluation/{name}.h5", blend if name == "blend" else evaluated.baselines[name])
    _write_items(draft, run.catalogue, final.encoders)
    _write_heldout(draft, run)
    draft.write_json("snapshot.json", snapshot(run.catalogue, final))
    draft.write_json("selection.json", selection(run))


def selection(run: TrainingRun) -> dict[str, Any]:
    """Return the priors of the choice for one user, and those of each segment in which another scorer serves."""
    evaluation_set = run.evaluation_set
    n_events = np.array([len(case.query.items) for case in evaluation_set.cases], np.int64)

    def priors(name: str, users: NDArray[np.bool_]) -> dict[str, Any]:
        map10 = {scorer: result.per_user["map10"][users] for scorer, result in run.evaluations.items()}
        each = run.settings.training.per_user_choice
        return fit_priors(name, map10, evaluation_set.n_relevant[users], per_user=each).to_json()

    others = {segment: name for segment, name in run.serves.items() if segment != ALL}
    segments = {segment: priors(name, in_segment(n_events, segment)) for segment, name in others.items()}
    return {**priors(run.winner, n_events >= 0), **({"segments": segments} if segments else {})}


def write_models(draft: Draft, models: FittedModels, blend_weights: Floats) -> None:
    """Write the arrays of all scorers as they serve.

    Args:
        draft: The version being written.
        models: The fit that serves.
        blend_weights: `(2, N_FEATURES + 1)` float32, those of the ensemble without a network.
    """
    for name, network in models.networks.items():
        stem = name.lower()
        _write_weights(draft, f"{stem}_model.weights.h5", network)
        draft.write_json(f"{stem}_config.json", {"model": name, **asdict(network.shapes)})
        precompute = REGISTRY[name].precompute
        if precompute:
            draft.write_arrays(f"{stem}_derived.h5", precompute(network.arrays()))
    for name, arrays in models.baselines.items():
        draft.write_arrays(f"{name}.h5", arrays)
    draft.write_arrays("signals.h5", models.features)
    draft.write_arrays("blend.h5", {"signal_weights": blend_weights})


def manifest(run: TrainingRun) -> dict[str, Any]:
    """Return the fields of the manifest, except the list of files."""
    final = run.final
    encoders = final.encoders
    return {
        "id_type": {"users": encoders.users.kind, "items": encoders.items.kind},
        "data_until": int(final.data.timestamps.max()),
        **_origin(run),
        "counts": counts_of(final),
        "evaluation_cut": run.cut,
        "serves": dict(run.serves),
        "verdict": None if run.verdict is None else run.verdict.to_json(),
        "scorers": list(final.scorers),
        "offline": {name: {key: row.get(key) for key in OFFLINE} for name, row in run.rows[run.rule].items()},
        "context_features": list(encoders.contexts.features),
        "guests": list(run.cleaning.guests),
        "sessions": n_sessions(run),
        "settings": settings_of(run.settings),
        "hooks": run.hooks.to_json() if run.hooks else None,
    }


def settings_of(settings: Settings) -> dict[str, Any]:
    """Return the settings of a run: those that serving must share, and the options of training."""
    shop = settings.shop
    return {
        "event_weights": dict(shop.event_weights),
        "purchase_events": list(shop.purchase_events),
        "relevant_events": list(shop.relevant_events),
        "cart_events": list(shop.cart_events),
        "uncart_events": list(shop.uncart_events),
        "cancel_events": list(shop.cancel_events),
        "context_columns": list(shop.context_columns),
        "time_zone": shop.time_zone,
        "repeat_after_days": None if shop.repeat_after_days == np.inf else shop.repeat_after_days,
        "training": asdict(settings.training),
        "lifecycle": asdict(settings.lifecycle),
    }


def history_entry(run: TrainingRun) -> dict[str, Any]:
    """Return the entry of the run in models/metrics.json."""
    hyperparameters = run.hyperparameters
    return {
        **shop_figures(run),
        **_origin(run),
        "relevant_events": list(run.settings.shop.relevant_events),
        "per_user_choice": run.settings.training.per_user_choice,
        "rows": run.rows,
        "users_without_relevant": run.evaluation_set.n_nothing_relevant,
        "context_lift": run.context_lift,
        "validation": {
            "map10": hyperparameters.map10,
            "users": len(hyperparameters.n_events),
            "defaults": hyperparameters.defaults,
            "trials": list(hyperparameters.trials),
        },
        "failures": dict(run.final.failures),
        "shown": shown_by_segment(run),
        "verdict": None if run.verdict is None else run.verdict.to_json(),
        "cleaning": asdict(run.cleaning),
    }


def _origin(run: TrainingRun) -> dict[str, Any]:
    """Return what both the manifest and the history say about the run."""
    return {
        "protocol": run.protocol,
        "rule": run.rule,
        "winner": run.winner,
        "seed": run.settings.training.seed,
        "git_commit": git_commit(),
        "data_sha256": data_hash(run.events),
    }


def git_commit() -> str | None:
    """Return the hash of the commit that is checked out, or None outside a repository or without git."""
    root = Path(__file__).parent.parent.parent
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return completed.stdout.strip() or None


def snapshot(catalogue: Catalogue, final: FittedModels) -> dict[str, Any]:
    """Return the lists that the backend shows when neither a model nor the database can answer.

    Args:
        catalogue: The shop's products.
        final: The fit that serves.

    Returns:
        `popular`, `by_category` and `newest` hold ids of active products, best first; `products` holds `id`, `name`,
        `category`, `brand` and `price` of each product in a list.
    """
    positions = final.encoders.items.indices(catalogue.items)  # one after the last for unknown items
    popularity = np.append(final.baselines["popularity"]["popularity"], 0)[positions]
    order = np.lexsort((catalogue.items, -popularity))
    order = order[catalogue.active[order]]
    categories: dict[str, list[int]] = {}
    for row, category in zip(order.tolist(), catalogue.categories[order].tolist(), strict=True):
        if category is not None and (category in categories or len(categories) < SNAPSHOT_CATEGORIES):
            categories.setdefault(str(category), []).append(row)
    by_category = {category: rows[:SNAPSHOT_ITEMS_PER_CATEGORY] for category, rows in categories.items()}
    newest = order[np.argsort(catalogue.items[order], kind="stable")[::-1]][:SNAPSHOT_ITEMS].tolist()
    popular = order[:SNAPSHOT_ITEMS].tolist()
    items = catalogue.items.tolist()
    return {
        "popular": [items[row] for row in popular],
        "by_category": {category: [items[row] for row in rows] for category, rows in by_category.items()},
        "newest": [items[row] for row in newest],
        "products": [
            _product_fields(catalogue, row)
            for row in dict.fromkeys([*popular, *newest, *chain.from_iterable(by_category.values())])
        ],
    }


def _product_fields(catalogue: Catalogue, row: int) -> dict[str, Any]:
    name = None if catalogue.names is None else catalogue.names[row]
    price = float(catalogue.prices[row])
    return {
        "id": catalogue.items[row : row + 1].tolist()[0],
        "name": None if name is None else str(name)[:SNAPSHOT_NAME_LENGTH],
        "category": catalogue.categories[row],
        "brand": catalogue.brands[row],
        "price": price if np.isfinite(price) else None,
    }


def _write_weights(draft: Draft, relpath: str, network: Any) -> None:
    network.save_weights(draft.path(relpath, hdf5=network.sizes()))


def _write_encoders(draft: Draft, relpath: str, encoders: Encoders) -> None:
    draft.write_arrays(relpath, {"users": stored_ids(encoders.users), "items": stored_ids(encoders.items)})


def _write_contexts(draft: Draft, relpath: str, encoders: Encoders) -> None:
    draft.write_json(relpath, {name: list(values) for name, values in encoders.contexts.values.items()})


def stored_ids(ids: IdMap) -> NDArray:
    """Return ids as a file holds them, `(n,)` int64 or fixed-length UTF-8 bytes."""
    return ids.ids if ids.kind == "int" else np.array([value.encode() for value in ids.ids.tolist()], bytes)


def _write_items(draft: Draft, catalogue: Catalogue, encoders: Encoders) -> None:
    """Write the arrays that filter items for a request: price, active, category and brand of each item.

    Categories and brands are codes into the lists of `catalogue.json`; -1 means none.
    """
    rows = catalogue.rows_of(encoders.items.ids)
    arrays: dict[str, NDArray] = {
        "price": np.append(catalogue.prices, np.nan)[rows],
        "active": active_items(encoders, catalogue).astype(np.uint8),
    }
    names: dict[str, list[str]] = {}
    for name, column in (("category", catalogue.categories), ("brand", catalogue.brands)):
        arrays[name], names[name] = item_codes(column, catalogue, encoders)
    draft.write_arrays("items.h5", arrays)
    draft.write_json("catalogue.json", names)


def item_codes(column: NDArray, catalogue: Catalogue, encoders: Encoders) -> tuple[NDArray[np.int32], list[str]]:
    """Return the code of each item's value, `(n_items,)` int32 with -1 for none, and the values in their order.

    Args:
        column: `(n,)` object holding str or None, of the catalogue's products.
        catalogue: The shop's products.
        encoders: Those of the items.
    """
    rows = catalogue.rows_of(encoders.items.ids)
    listed = [None if value is None else str(value) for value in np.append(column, np.array([None]))[rows]]
    names = sorted({value for value in listed if value is not None})
    codes = {value: code for code, value in enumerate(names)}
    return np.array([-1 if value is None else codes[value] for value in listed], np.int32), names


def _write_heldout(draft: Draft, run: TrainingRun) -> None:
    """Write the held-out metrics of each known user; `rows` maps the serving index of a user to their row, or to -1."""
    evaluation_set, evaluated, served = run.evaluation_set, run.evaluated.encoders.users, run.final.encoders.users
    known = evaluation_set.known
    users = np.array([case.query.user for case in evaluation_set.cases])
    rows = np.full(len(served), -1, np.int32)
    indices = served.indices(evaluated.ids[users[known]])
    rows[indices[indices < len(rows)]] = np.flatnonzero(indices < len(rows))
    arrays: dict[str, NDArray] = {"rows": rows, "n_relevant": evaluation_set.n_relevant[known]}
    for name, evaluation in run.evaluations.items():
        for metric in ("precision10", "map10"):
            arrays[f"{name}/{metric}"] = evaluation.per_user[metric][known]
    draft.write_arrays("heldout.h5", arrays)
