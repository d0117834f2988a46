"""The contract as JSON Schema: requests from the checks that read them, answers from the dataclasses that are written.

Not part of serving: `scripts/write_schema.py` writes the schemas to docs/schema/ for programs in other languages.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from recsys import errors
from recsys.contract.document import MAX_LENGTH
from recsys.contract.fields import (
    MAX_TEXT_BYTES,
    MAX_WHOLE,
    Check,
    Choice,
    Id,
    Many,
    Whole,
    amount,
    flag,
    identifier,
    label,
    labels,
    text,
)
from recsys.contract.request import (
    EVENT_CHECKS,
    EVENT_REQUIRED,
    FILTER_CHECKS,
    Filters,
    Op,
    RecentEvent,
    Request,
    item_filters,
    recent_event,
    request_checks,
)
from recsys.contract.response import Item, Reason, Response, Run
from recsys.contract.worker_messages import Pong, Ready, Stats

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_TEXT_BYTES,
    "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
}
ID: Schema = {
    "description": "A whole number, or a text of 1 to 512 bytes of UTF-8 without control characters.",
    "anyOf": [{"type": "integer", "minimum": -MAX_WHOLE, "maximum": MAX_WHOLE}, TEXT],
}
NULL: Schema = {"type": "null"}
BEYOND = (
    "The process also refuses input that a schema cannot describe: names given twice, 1.0 for 1, texts above 512 bytes "
    "of UTF-8, lone surrogates, price_max below price_min, and input above the limits of `ready`. "
    "Model names may be in upper or lower case."
)
FIRST_WIRE_STATUS = 64  # lower exit statuses belong to training, which has no requests


def request_schema(models: Sequence[str]) -> Schema:
    """Return the schema of a request.

    Args:
        models: The names of the registry.
    """
    checked = _members(Request, request_checks(tuple(models), get_args(Op)))
    return {
        "$schema": DIALECT,
        "title": "Request",
        "description": f"One request to recommend_api.py; a field that is null counts as absent. {BEYOND}",
        **checked,
        "allOf": [
            {"if": {"properties": {"op": {"enum": ["recommend", None]}}}, "then": _USER_OR_EVENTS},
            {"if": {"required": ["op"], "properties": {"op": {"const": "similar"}}}, "then": _required("item_id")},
        ],
        "$defs": {
            "Id": ID,
            "RecentEvent": _members(RecentEvent, EVENT_CHECKS, EVENT_REQUIRED),
            "Filters": _members(Filters, FILTER_CHECKS),
        },
    }


def response_schema() -> Schema:
    """Return the schema of one line of stdout."""
    definitions: dict[str, Schema] = {"Id": ID}
    names = [_define(definitions, kind, name) for kind, name in _LINES]
    definitions["Failure"] = _FAILURE
    return {
        "$schema": DIALECT,
        "title": "Line",
        "description": "What recommend_api.py writes: one of these. Clients ignore fields they do not know.",
        "anyOf": [_ref(name) for name in [*names, "Failure"]],
        "$defs": definitions,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _required(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"not": NULL}}}


_USER_OR_EVENTS: Schema = {
    "properties": {"item_id": NULL},
    "anyOf": [
        _required("user_id"),
        {"required": ["interactions"], "properties": {"interactions": {"type": "array", "minItems": 1}}},
    ],
}


def _members(kind: type, checks: Mapping[str, Check], required: Sequence[str] = ()) -> Schema:
    """Return the schema of an object that `fields.members` reads."""
    descriptions = _descriptions(kind)
    defaults = {field.name: field.default for field in fields(kind)}
    properties = {}
    for name, check in checks.items():
        value_schema = _of_check(check)
        schema = {"description": descriptions[name], **(value_schema if name in required else _or_null(value_schema))}
        if isinstance(defaults.get(name), str | int):
            schema["default"] = defaults[name]
        properties[name] = schema
    return {
        "type": "object",
        "properties": properties,
        **({"required": list(required)} if required else {}),
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    if not isinstance(schema.get("type"), str):
        return {"anyOf": [schema, NULL]}
    names = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, "type": [schema["type"], "null"], **names}


def _of_check(check: Check) -> Schema:
    """Return the schema of the values that pass a check."""
    if isinstance(check, Whole):
        return {"type": "integer", "minimum": check.low, "maximum": check.high}
    if isinstance(check, Choice):
        return {"type": "string", "enum": list(check.names)}
    if isinstance(check, Many):
        return {"type": "array", "items": _of_check(check.check), "maxItems": MAX_LENGTH}
    return _OF_FUNCTION[check]


_OF_FUNCTION: Mapping[Callable[..., Any], Schema] = {
    identifier: _ref("Id"),
    label: _ref("Id"),
    text: TEXT,
    amount: {"type": "number", "minimum": 0},
    flag: {"type": "boolean"},
    labels: {
        "type": "object",
        "propertyNames": TEXT,
        "additionalProperties": {"anyOf": [_ref("Id"), NULL]},
        "maxProperties": MAX_LENGTH,
    },
    recent_event: _ref("RecentEvent"),
    item_filters: _ref("Filters"),
}


def _define(definitions: dict[str, Schema], kind: type, name: str) -> str:
    """Add the schema of a dataclass and of its parts to the definitions, and return its name."""
    if name not in definitions:
        descriptions, optional = _descriptions(kind), _OPTIONAL.get(kind, frozenset())
        properties: dict[str, Schema] = {"ok": {"const": True}} if kind is Response else {}
        definitions[name] = {}  # keeps its place before those of its parts
        for field, hint in get_type_hints(kind).items():
            schema = _of_type(definitions, _without_none(hint) if field in optional else hint)
            properties[_RENAMED.get(field, field)] = {"description": descriptions[field], **schema}
        required = [field for field in properties if field not in optional]
        definitions[name] |= {"type": "object", "properties": properties, "required": required}
    return name


def _of_type(definitions: dict[str, Schema], hint: Any) -> Schema:
    """Return the schema of a type's values as they are written."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint == Id:
        return _ref("Id")
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"type": "string", "enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _or_null(_of_type(definitions, _without_none(hint)))
    if origin is tuple:
        return {"type": "array", "items": _of_type(definitions, arguments[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of_type(definitions, arguments[1])}
    if isinstance(hint, type) and is_dataclass(hint):
        return _ref(_define(definitions, hint, hint.__name__))
    return {"type": {int: "integer", float: "number", str: "string"}[hint]}


def _without_none(hint: Any) -> Any:
    return Union[tuple(argument for argument in get_args(hint) if argument is not type(None))]  # noqa: UP007


def _descriptions(kind: type) -> Mapping[str, str]:
    """Return the description of each attribute in a class's docstring, with `null` for None."""
    attributes = (kind.__doc__ or "").partition("Attributes:\n")[2]
    descriptions: dict[str, str] = {}
    for line in filter(None, map(str.rstrip, attributes.splitlines())):
        name, colon, text = line.strip().partition(": ")
        if colon and name in kind.__annotations__ and line.startswith(" " * 8) and not line.startswith(" " * 9):
            descriptions[name] = text
        elif descriptions:
            descriptions[next(reversed(descriptions))] += f" {line.strip()}"
    return {name: text.replace("None", "null").replace("`", "") for name, text in descriptions.items()}


_LINES: tuple[tuple[type, str], ...] = (
    (Response, "Recommendation"),
    (Ready, "Ready"),
    (Pong, "Pong"),
    (Stats, "Stats"),
)
_OPTIONAL: Mapping[type, frozenset[str]] = {  # fields that are absent where they are None; others are null then
    Response: frozenset({"id"}),
    Item: frozenset({"reason"}),
    Reason: frozenset({"item_id"}),
    Run: frozenset({"error"}),
    Pong: frozenset({"id"}),
    Stats: frozenset({"id"}),
}
_RENAMED = {"product_id": "productId"}  # existing front ends read this name
_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RecsysError)]
_FAILURE: Schema = {
    "type": "object",
    "properties": {
        "ok": {"const": False},
        "error": {
            "type": "object",
            "properties": {
                "code": {
                    "type": "string",
                    "enum": sorted({kind.code for kind in _ERRORS if kind.exit_status >= FIRST_WIRE_STATUS}),
                },
                "message": {"description": "For people.", "type": "string"},
                "field": {
                    "description": "The path of the invalid field, such as interactions[3].event.",
                    "type": "string",
                },
                "retryable": {"description": "Whether the same request may succeed later.", "type": "boolean"},
            },
            "required": ["code", "message", "retryable"],
        },
        "id": {"description": "The request's id.", **_ref("Id")},
    },
    "required": ["ok", "error"],
}
