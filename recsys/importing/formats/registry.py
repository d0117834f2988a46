"""The formats by the names that `--format` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from recsys.errors import UsageError
from recsys.errors.wording import listed
from recsys.importing.formats.files import Flags, Opened
from recsys.importing.formats.logs import open_otto, open_rees46, open_retailrocket
from recsys.importing.formats.online_retail import open_online_retail
from recsys.importing.formats.ratings import open_movielens, open_recbole
from recsys.importing.formats.shopify import open_shopify
from recsys.importing.formats.tables import open_diginetica, open_instacart

FORMATS: Mapping[str, Callable[[Path, Flags], Opened]] = MappingProxyType(
    {
        "retailrocket": open_retailrocket,
        "rees46": open_rees46,
        "movielens": open_movielens,
        "recbole": open_recbole,
        "online-retail": open_online_retail,
        "instacart": open_instacart,
        "otto": open_otto,
        "diginetica": open_diginetica,
        "shopify-orders": open_shopify,
    }
)


def open_format(name: str, path: Path, flags: Flags) -> Opened:
    """Open the files of a format.

    Args:
        name: A name of `FORMATS`.
        path: The main file, or a folder or a zip archive that holds the files.
        flags: Options of the command line, which replace those of the format.

    Raises:
        UsageError: There is no such format, or the files are not of it.
    """
    if name not in FORMATS:
        raise UsageError(f"--format should be one of {listed(list(FORMATS))}. Received: {name!r}.")
    if not path.exists():
        raise UsageError(f"{path.name} should be a file, a folder or a zip archive. Received: no such file.")
    try:
        return FORMATS[name](path, flags)
    except UsageError as error:
        raise UsageError(f"--format {name}: {error}") from error
