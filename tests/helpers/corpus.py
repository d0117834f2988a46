"""Bad and odd input, numbered: each case with its one-shot answer and its answer of a worker, in the tiny shop."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recsys.store import connect
from tests.contract.test_request import ACCEPTED, FIELDS, NOT_ONE_OBJECT, ODD_BUT_TEXT, REFUSED, TOO_LARGE, WRONG_TYPES
from tests.helpers.tiny_shop import ITEMS, NEW, NOW, Published, event, stored_time

ONE_EVENT, CROWDED = 2000, 2001  # strangers: one looked at one thing, the other is a robot
TWELVE_THOUSAND = 12_000  # more events than are read of one customer
OK = None
FAR = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        data: Its bytes.
        alone: The code that a one-shot process answers; None for a success.
        lines: The codes that a worker answers, one for each line that the bytes make.
    """

    data: bytes
    alone: str | None
    lines: tuple[str | None, ...]


def cases() -> dict[str, Case]:
    """Return every case by its name."""
    return {**_framing(), **_structure(), **_fields(), **_ids(), **_domain()}


def prepare(shop: Published) -> Published:
    """Put into a copy of the shop what the cases need."""
    shop.add([event(ONE_EVENT, 101, "view", NOW - 60)])
    shop.add([event(CROWDED, 101 + n % 30, "view", NOW - 20_000 + n) for n in range(TWELVE_THOUSAND)])
    shop.add([event(7, 9_999_999, "view", NOW - 60), event(7, 101, "", NOW - 60), event(7, 101, "stare", NOW - 60)])
    stars = [
        {"userId": 7, "productId": 101, "star": star, "createdAt": stored_time(NOW - 60)} for star in (99, -1, 0, None)
    ]
    with connect(shop.url) as db:
        db.insert("Comments", stars)
    shop.execute("DELETE FROM Products WHERE id = 103")  # 84: gone since training
    return shop


def add_what_only_sqlite_stores(shop: Published) -> Published:
    """Put moments into the shop that are none."""
    moments = ("0000-00-00 00:00:00", "9999-12-31 23:59:59", "2026-02-30", "soon")
    shop.add([{**event(7, 101, "view", 0), "timestamp": moment} for moment in moments])
    return shop


def _case(data: bytes, code: str | None, *more: str | None) -> Case:
    return Case(data, code, (code, *more))


def ask(code: str | None = OK, /, **fields: Any) -> Case:
    """Return a request of customer 7, changed by fields, and the code of its answer."""
    return _case(json.dumps({"user_id": 7, **fields}).encode(), code)


def _framing() -> dict[str, Case]:
    table = {f"json {name}": _case(data, "invalid_json") for name, data in NOT_ONE_OBJECT.items()}
    table |= {f"large {name}": _case(data, "too_large") for name, (data, _) in TOO_LARGE.items()}
    for name, data in ACCEPTED.items():
        table[f"harmless {name}"] = Case(data, OK, (OK, "invalid_json") if data.endswith(b"\n") else (OK,))
    table["harmless 23 exactly 1 MiB"] = Case(
        ACCEPTED["23 exactly 1 MiB"], OK, ("too_large",)
    )  # its line end makes it a byte longer
    table["json 2 only LF"] = Case(b"\n", "invalid_json", ("invalid_json", "invalid_json"))
    two = b'{"user_id": 7}\n{"user_id": 8}'
    table["json 8 two documents"] = Case(two, "invalid_json", (OK, OK))
    three = b'{"user_id": 7}\n{\n{"user_id": 8}'
    table["json 8 three documents, the second broken"] = Case(three, "invalid_json", (OK, "invalid_json", OK))
    table["json 9 a line of noise and a request"] = Case(b'noise\n{"user_id": 7}', "invalid_json", ("invalid_json", OK))
    noise = random.Random(7).randbytes(4096).replace(b"\n", b"\x00")
    table["json random bytes"] = _case(noise, "invalid_json")
    return table


def _structure() -> dict[str, Case]:
    table = {f"refused {name}": _case(data, "invalid_request") for name, (data, _) in REFUSED.items()}
    ping = table.pop("refused 40 op of the worker")
    table["op 40 of the worker"] = Case(ping.data, "invalid_request", (OK,))
    for op in ("stats", "reload"):
        table[f"op 40 {op}"] = Case(b'{"op": "%s"}' % op.encode(), "invalid_request", (OK,))
    for op in ("__init__", "shutdown", "cancel", "PING", "", "ping\u0000"):
        table[f"op 40 {op!r}"] = ask("invalid_request", op=op)
    return table


def _fields() -> dict[str, Case]:
    table = {}
    for name in FIELDS:
        for kind, value in WRONG_TYPES.items():
            is_valid = (kind == "negative" and name in ("user_id", "id")) or (kind, name) == ("true", "strict")
            code = OK if is_valid else "invalid_request"
            table[f"field 33 {name} as {kind}"] = ask(code, **{name: value})
    return table


def _ids() -> dict[str, Case]:
    table = {}
    for name, text in ODD_BUT_TEXT.items():
        known = text.isdigit() and text == str(int(text))  # "7" is customer 7; "007" is nobody
        table[f"id {name} as a customer"] = ask(user_id=text)
        table[f"id {name} as a customer, strict"] = ask(OK if known else "unknown_user", user_id=text, strict=True)
        table[f"id {name} everywhere else"] = ask(
            id=text, exclude=[text], candidates=[text, 104], ground_truth=[text], context={text: text, "category": text}
        )
        table[f"id {name} as a category and an item to start from"] = ask(
            op="similar", item_id=text, filters={"category": text}
        )
        table[f"id {name} as an event"] = ask("invalid_request", interactions=[{"item_id": text, "event": text}])
    return table


def _domain() -> dict[str, Case]:
    return {f"domain {name}": case for name, case in dict(_domain_cases()).items()}


def _domain_cases() -> Iterator[tuple[str, Case]]:
    view = {"item_id": 101, "event": "view"}
    for name, user in {
        "an unknown customer": 999_999,
        "a negative number": -1,
        "the largest number": 2**53 - 1,
        "a number as text beyond 64 bits": "9223372036854775808",
    }.items():
        yield f"70 {name}", ask(user_id=user)
        yield f"70 {name}, strict", ask("unknown_user", user_id=user, strict=True)
    yield (
        "71 unknown items",
        ask(exclude=[1, 2], candidates=[1, 2, 104], ground_truth=[1], interactions=[{"item_id": 1, "event": "view"}]),
    )
    yield "71 items beyond 64 bits", ask(exclude=["9223372036854775807", "9223372036854775808", "-9223372036854775809"])
    yield "71 similar to an unknown item", ask(op="similar", item_id=1)
    yield "72 a customer with one event", ask(user_id=ONE_EVENT)
    yield "72 a customer with 12,000 events", ask(user_id=CROWDED)
    yield "74 every item excluded", ask(exclude=list(ITEMS))
    yield "75 more excluded than there are", ask(exclude=list(range(10_000)))
    yield "75 more candidates than there are", ask(candidates=list(range(10_000)))
    yield "76 candidates twice", ask(candidates=[104, 104, "104", 107, 107])
    yield "77 the same event 1,000 times", ask(interactions=[view] * 1000)
    yield "77 the same event 10,000 times", ask(interactions=[view] * 10_000)
    yield "79 an event at the beginning of time", ask(interactions=[{**view, "timestamp": 0}])
    yield "79 an event at the end of time", ask(interactions=[{**view, "timestamp": FAR}])
    yield "79 an event a second later", ask("invalid_request", interactions=[{**view, "timestamp": FAR + 1}])
    yield "79 events backwards", ask(interactions=[{**view, "timestamp": NOW - n} for n in range(100)])
    yield "80 candidates that no model knows", ask(candidates=list(NEW))
    yield "81 nothing is free", ask(filters={"price_min": 0, "price_max": 0})
    yield "81 the smallest price there is", ask(filters={"price_min": 5e-324, "price_max": 1.7e308})
    yield "84 only what is gone", ask(candidates=[103])
    yield (
        "guest 32 a purchase of hers",
        _case(json.dumps({"interactions": [{**view, "event": "purchase"}]}).encode(), OK),
    )
    for name, fields in {
        "32 nobody": {},
        "32 nobody and no events": {"interactions": []},
        "71 of unknown items": {"interactions": [{"item_id": 1, "event": "view"}]},
    }.items():
        yield f"guest {name}", _case(json.dumps(fields).encode(), OK)
        yield f"guest {name}, strict", _case(json.dumps({**fields, "strict": True}).encode(), "unknown_user")
    yield "71 similar to an unknown item, strict", ask(op="similar", item_id=1, strict=True)
    for name, items in {
        "one item": [101],
        "fifty items, twice the same": [*range(101, 150), "101"],
        "unknown items": [1, "7abc", "' OR 1=1", 2**53 - 1, "9223372036854775808"],
        "what is gone": [103],
    }.items():
        yield f"85 together with {name}", ask(op="together", item_ids=items)
        yield f"85 a guest's basket of {name}", ask(op="together", item_ids=items, user_id=None, strict=True)
    yield "85 together with other categories", ask(op="together", item_ids=[101, 4711, "x"], complementary=True)
    yield "85 together with nothing left", ask(op="together", item_ids=[101], exclude=list(ITEMS))
    yield "85 trending", ask(op="trending", limit=100)
    yield "85 trending for a guest, strict", ask(op="trending", user_id=None, strict=True)
    yield "85 again", ask(op="again", limit=100)
    yield "85 again for a guest, strict", ask(op="again", user_id=None, strict=True)
    yield "85 again with 10,000 purchases", ask(op="again", interactions=[{**view, "event": "purchase"}] * 10_000)
    yield "85 again, whatever the rule", ask(op="again", repeat="hide", exclude=list(ITEMS))
    for rule in ("allow", "hide", None):
        yield f"86 repeats: {rule}", ask(repeat=rule, limit=100)
    yield "85 trending of a category", ask(op="trending", filters={"category": "tea"}, context={"category": "tea"})
