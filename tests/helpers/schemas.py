"""The contract's JSON Schemas, as docs/schema/ holds them."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "docs" / "schema"


def schema(name: str) -> Any:
    """Return `request` or `response`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


REQUEST, RESPONSE = (Draft202012Validator(schema(name)) for name in ("request", "response"))
