"""The content of a version: its files, its manifest, its entry in the history and the snapshot for the backend."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Draft
from recsys.data.ids import IdMap
from recsys.data.interactions import Catalogue, data_hash
from recsys.evaluation.selection import fit_priors
from recsys.scorers.registry import REGISTRY
from recsys.training.fitting import Hyperparameters
from recsys.training.stages import Results, ShopData, TrainedModels

SNAPSHOT_ITEMS = 200
SNAPSHOT_ITEMS_PER_CATEGORY = 30
SNAPSHOT_CATEGORIES = 100  # those of the best sellers; the file has 3 MB at most, with full lists and long names
SNAPSHOT_NAME_LENGTH = 255


def write_version(
    draft: Draft,
    source: ShopData,
    evaluated: TrainedModels,
    final: TrainedModels,
    results: Results,
    hyperparameters: Hyperparameters,
) -> None:
    """Write every file of a version except its manifest.

    Args:
        draft: The version being written.
        source: The shop.
        evaluated: The evaluation fit; its weights are kept for later comparisons.
        final: The fit that serves.
        results: The results on the test.
        hyperparameters: Chosen on validation.
    """
    for name, network in final.networks.items():
        stem = name.lower()
        _write_weights(draft, f"{stem}_model.weights.h5", network)
        draft.write_json(f"{stem}_config.json", {"model": name, **network.shapes.to_json()})
        precompute = REGISTRY[name].precompute
        if precompute:
            draft.write_arrays(f"{stem}_derived.h5", precompute(network.arrays()))
    for name, network in evaluated.networks.items():
        _write_weights(draft, f"evaluation/{name.lower()}_model.weights.h5", network)
    for name, arrays in final.baselines.items():
        draft.write_arrays(f"{name}.h5", arrays)
    draft.write_arrays("signals.h5", final.features)
    draft.write_arrays("blend.h5", {"signal_weights": hyperparameters.ensemble_weights["blend"]})
    _write_encoders(draft, "encoders.h5", final)
    _write_encoders(draft, "evaluation/encoders.h5", evaluated)
    draft.write_json("contexts.json", {name: list(values) for name, values in final.encoders.contexts.values.items()})
    _write_items(draft, source, final)
    _write_heldout(draft, final, evaluated, results)
    draft.write_json("snapshot.json", snapshot(source.catalogue, final))
    priors = fit_priors(
        hyperparameters.winner,
        {name: evaluation.per_user["map10"] for name, evaluation in results.evaluations.items()},
        _n_relevant(results),
    )
    draft.write_json("selection.json", priors.to_json())


def manifest(
    source: ShopData, final: TrainedModels, results: Results, hyperparameters: Hyperparameters, protocol: str, rule: str
) -> dict[str, Any]:
    """Return the fields of the manifest, except the list of files.

    Args:
        source: The shop.
        final: The fit that serves.
        results: The results on the test.
        hyperparameters: Chosen on validation.
        protocol: `time` or `loo99`.
        rule: The repeat rule in force, `hide` or `allow`.
    """
    return {
        "id_type": {"users": final.encoders.users.kind, "items": final.encoders.items.kind},
        "data_until": int(final.data.timestamps.max()),
        "data_sha256": data_hash(source.interactions),
        "git_commit": git_commit(),
        "seed": source.options.seed,
        "counts": {"users": len(final.encoders.users), "items": len(final.encoders.items), "events": len(final.data)},
        "winner": hyperparameters.winner,
        "scorers": list(final.scorers),
        "protocol": protocol,
        "rule": rule,
        "offline": {
            name: {"precision10": row["precision10"], "map10": row["map10"]} for name, row in results.rows[rule].items()
        },
        "context_features": list(final.encoders.contexts.features),
        "settings": settings(source),
    }


def settings(source: ShopData) -> dict[str, Any]:
    """Return the settings of the run: those that serving must share, and the options of training."""
    shop = source.shop
    return {
        "event_weights": dict(shop.event_weights),
        "purchase_events": list(shop.purchase_events),
        "relevant_events": list(shop.relevant_events),
        "cancel_events": list(shop.cancel_events),
        "context_columns": list(shop.context_columns),
        "time_zone": shop.time_zone,
        "repeat_after_days": None if shop.repeat_after_days == np.inf else shop.repeat_after_days,
        "training": asdict(source.options),
    }


def history_entry(
    source: ShopData, final: TrainedModels, results: Results, hyperparameters: Hyperparameters, protocol: str, rule: str
) -> dict[str, Any]:
    """Return the entry of the run in models/metrics.json; the arguments are those of `manifest`."""
    return {
        "trained_at": source.now,
        "protocol": protocol,
        "rule": rule,
        "winner": hyperparameters.winner,
        "rows": results.rows,
        "users_without_relevant": results.evaluation_set.n_nothing_relevant,
        "context_lift": results.context_lift,
        "validation": {
            "map10": hyperparameters.map10,
            "defaults": hyperparameters.defaults,
            "trials": list(hyperparameters.trials),
        },
        "failures": dict(final.failures),
        "cleaning": {
            "rows_in": source.cleaning.rows_in,
            "rows_out": source.cleaning.rows_out,
            "dropped": dict(source.cleaning.dropped),
            "unreadable": list(source.cleaning.unreadable),
        },
        "seed": source.options.seed,
        "git_commit": git_commit(),
        "data_sha256": data_hash(source.interactions),
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


def snapshot(catalogue: Catalogue, final: TrainedModels) -> dict[str, Any]:
    """Return the lists that the backend shows when neither a model nor the database can answer.

    Args:
        catalogue: The shop's products.
        final: The fit that serves.

    Returns:
        `popular`, `by_category` and `newest` hold ids of active products, best first; `products` holds `id`, `name`,
        `category`, `brand` and `price` of each product in a list.
    """
    popularity = np.zeros(len(catalogue))
    positions = final.encoders.items.indices(catalogue.items)
    known = positions < len(final.encoders.items)
    popularity[known] = final.baselines["popularity"]["popularity"][positions[known]]
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


def _write_encoders(draft: Draft, relpath: str, stage: TrainedModels) -> None:
    draft.write_arrays(relpath, {"users": stored_ids(stage.encoders.users), "items": stored_ids(stage.encoders.items)})


def stored_ids(ids: IdMap) -> NDArray:
    """Return ids as a file holds them, `(n,)` int64 or fixed-length UTF-8 bytes."""
    return ids.ids if ids.kind == "int" else np.array([value.encode() for value in ids.ids.tolist()], bytes)


def _write_items(draft: Draft, source: ShopData, final: TrainedModels) -> None:
    """Write the arrays that filter items for a request: price, active, category and brand of each item.

    Categories and brands are codes into the lists of `catalogue.json`; -1 means none.
    """
    catalogue, ids = source.catalogue, final.encoders.items.ids
    order = np.argsort(catalogue.items, kind="stable")
    positions = (
        np.append(order, len(catalogue))[IdMap(catalogue.items[order]).indices(ids)]
        if len(catalogue)
        else np.zeros(len(ids), int)
    )
    arrays: dict[str, NDArray] = {
        "price": np.append(catalogue.prices, np.nan)[positions],
        "active": final.active.astype(np.uint8),
    }
    names: dict[str, list[str]] = {}
    for name, column in (("category", catalogue.categories), ("brand", catalogue.brands)):
        listed = [None if value is None else str(value) for value in np.append(column, np.array([None]))[positions]]
        names[name] = sorted({value for value in listed if value is not None})
        codes = {value: code for code, value in enumerate(names[name])}
        arrays[name] = np.array([-1 if value is None else codes[value] for value in listed], np.int32)
    draft.write_arrays("items.h5", arrays)
    draft.write_json("catalogue.json", names)


def _write_heldout(draft: Draft, final: TrainedModels, evaluated: TrainedModels, results: Results) -> None:
    """Write the held-out metrics of each known user; `rows` maps the serving index of a user to their row, or to -1."""
    users = np.array([case.query.user for case in results.evaluation_set.cases])
    known = users < len(evaluated.encoders.users)
    rows = np.full(len(final.encoders.users), -1, np.int32)
    indices = final.encoders.users.indices(evaluated.encoders.users.ids[users[known]])
    rows[indices[indices < len(rows)]] = np.flatnonzero(indices < len(rows))
    arrays: dict[str, NDArray] = {"rows": rows, "n_relevant": _n_relevant(results)[known]}
    for name, evaluation in results.evaluations.items():
        arrays[f"{name}/precision10"] = evaluation.per_user["precision10"][known]
        arrays[f"{name}/map10"] = evaluation.per_user["map10"][known]
    draft.write_arrays("heldout.h5", arrays)


def _n_relevant(results: Results) -> NDArray[np.int64]:
    return np.array([case.n_relevant for case in results.evaluation_set.cases], np.int64)
