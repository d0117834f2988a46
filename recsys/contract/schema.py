"""The contract as JSON Schema: requests from the checks that read them, answers from the types that are written.

Not part of serving: `scripts/write_schema.py` puts it into docs/schema/, where other languages find it.
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
    "The process also refuses what a schema cannot say: names given twice, 1.0 for 1, texts above 512 bytes of UTF-8, lone surrogates, "
    "price_max below price_min, and what exceeds the limits of `ready`. It takes model names in any case."
)
FIRST_WIRE_STATUS = 64  # lower ones belong to training, which nobody asks for over the wire


def request_schema(models: Sequence[str]) -> Schema:
    """Return the schema of a request.

    Args:
        models: The registry's names.
    """
    checked = _members(Request, request_checks(tuple(models), get_args(Op)))
    return {
        "$schema": DIALECT,
        "title": "Request",
        "description": f"One question to recommend_api.py; null is the same as leaving a field out. {BEYOND}",
        **checked,
        "allOf": [
            {"if": {"properties": {"op": {"enum": ["recommend", None]}}}, "then": _SOMEBODY},
            {"if": {"required": ["op"], "properties": {"op": {"const": "similar"}}}, "then": _given("item_id")},
        ],
        "$defs": {
            "Id": ID,
            "RecentEvent": _members(RecentEvent, EVENT_CHECKS, EVENT_REQUIRED),
            "Filters": _members(Filters, FILTER_CHECKS),
        },
    }


def response_schema() -> Schema:
    """Return the schema of whatever stands on one line of stdout."""
    definitions: dict[str, Schema] = {"Id": ID}
    names = [_define(definitions, kind, name) for kind, name in _SPOKEN]
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


def _given(name: str) -> Schema:
    return {"required": [name], "properties": {name: {"not": NULL}}}


_SOMEBODY: Schema = {
    "properties": {"item_id": NULL},
    "anyOf": [
        _given("user_id"),
        {"required": ["interactions"], "properties": {"interactions": {"type": "array", "minItems": 1}}},
    ],
}


def _members(kind: type, checks: Mapping[str, Check], required: Sequence[str] = ()) -> Schema:
    """Return the schema of an object that `fields.members` reads."""
    about = _described(kind)
    defaults = {field.name: field.default for field in fields(kind)}
    properties = {}
    for name, check in checks.items():
        wanted = _of_check(check)
        schema = {"description": about[name], **(wanted if name in required else _or_null(wanted))}
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
    """Return the schema of what a check lets pass."""
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
    """Put the schema of an object that is written into the definitions, and those of its parts, and return its name."""
    if name not in definitions:
        about, optional = _described(kind), _LEFT_OUT.get(kind, frozenset())
        properties: dict[str, Schema] = {"ok": {"const": True}} if kind is Response else {}
        definitions[name] = {}  # its place comes before those of its parts
        for field, hint in get_type_hints(kind).items():
            schema = _of_type(definitions, _without_none(hint) if field in optional else hint)
            properties[_RENAMED.get(field, field)] = {"description": about[field], **schema}
        required = [field for field in properties if field not in optional]
        definitions[name] |= {"type": "object", "properties": properties, "required": required}
    return name


def _of_type(definitions: dict[str, Schema], hint: Any) -> Schema:
    """Return the schema of what a value of a type is written as."""
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
    return Union[tuple(argument for argument in get_args(hint) if argument is not type(None))]  # noqa: UP007 - a computed one


def _described(kind: type) -> Mapping[str, str]:
    """Return what the docstring of a class says of each attribute, in the words of JSON."""
    listed = (kind.__doc__ or "").partition("Attributes:\n")[2]
    about: dict[str, str] = {}
    for line in filter(None, map(str.rstrip, listed.splitlines())):
        name, found, words = line.strip().partition(": ")
        if found and name in kind.__annotations__ and line.startswith(" " * 8) and not line.startswith(" " * 9):
            about[name] = words
        elif about:
            about[next(reversed(about))] += f" {line.strip()}"
    return {name: words.replace("None", "null").replace("`", "") for name, words in about.items()}


_SPOKEN: tuple[tuple[type, str], ...] = (
    (Response, "Recommendation"),
    (Ready, "Ready"),
    (Pong, "Pong"),
    (Stats, "Stats"),
)
_LEFT_OUT: Mapping[type, frozenset[str]] = {  # where they are None; all others are always there, as null if need be
    Response: frozenset({"id"}),
    Item: frozenset({"reason"}),
    Reason: frozenset({"item_id"}),
    Run: frozenset({"error"}),
    Pong: frozenset({"id"}),
    Stats: frozenset({"id"}),
}
_RENAMED = {"product_id": "productId"}  # the seeds' name, which their front ends read
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
                    "description": "The path of the field at fault, such as interactions[3].event.",
                    "type": "string",
                },
                "retryable": {"description": "Whether the same request may succeed later.", "type": "boolean"},
            },
            "required": ["code", "message", "retryable"],
        },
        "id": {"description": "The request's own mark.", **_ref("Id")},
    },
    "required": ["ok", "error"],
}
