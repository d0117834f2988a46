"""Every way a request can be written, and what the contract makes of it."""

import base64
import contextlib
import dataclasses
import gzip
import json
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recsys.contract import (
    MAX_BYTES,
    MAX_LENGTH,
    MAX_TEXT_BYTES,
    MAX_WHOLE,
    Filters,
    RecentEvent,
    Request,
    parse_request,
    request_id,
)
from recsys.errors import InvalidJson, InvalidRequest, RecsysError, TooLarge

MODELS = ("ENCM", "LNCM", "NeuMF", "BMF", "item_cf", "popularity")


def parse(data: bytes) -> Request:
    return parse_request(data, models=MODELS)


def request(**fields: object) -> bytes:
    return json.dumps({"user_id": 7, **fields}).encode()


def refusal(data: bytes) -> RecsysError:
    with pytest.raises(RecsysError) as caught:
        parse(data)
    return caught.value


def test_a_full_request_arrives_field_by_field() -> None:
    data = json.dumps(
        {
            "op": "recommend",
            "user_id": "A-7",
            "limit": 5,
            "model": "neumf",
            "context": {"device_type": "mobile", "hour": 14, "season": None},
            "interactions": [
                {"item_id": 12, "event": "view", "timestamp": 1764547200},
                {"item_id": "B", "event": "cart"},
            ],
            "ground_truth": [3],
            "candidates": [1, 2, "3"],
            "exclude": [9],
            "filters": {"category": 4, "brand": "Nord", "price_min": 1, "price_max": 20.5, "in_stock": True},
            "repeat": "allow",
            "id": "r-1",
            "budget_ms": 800,
            "strict": True,
        }
    ).encode()
    assert parse(data) == Request(
        op="recommend",
        user_id="A-7",
        limit=5,
        model="NeuMF",
        context={"device_type": "mobile", "hour": "14", "season": None},
        interactions=(RecentEvent(12, "view", 1764547200), RecentEvent("B", "cart", None)),
        ground_truth=(3,),
        candidates=(1, 2, "3"),
        exclude=(9,),
        filters=Filters(category="4", brand="Nord", price_min=1.0, price_max=20.5, in_stock=True),
        item_id=None,
        repeat="allow",
        id="r-1",
        budget_ms=800,
        strict=True,
    )


def test_the_least_request_has_the_documented_defaults() -> None:
    assert parse(b'{"user_id": 7}') == Request(user_id=7, limit=10, model="auto", candidates=None)


def test_a_guest_is_answered_from_interactions_alone() -> None:
    assert parse(b'{"interactions": [{"item_id": 1, "event": "view"}]}').user_id is None


@pytest.mark.parametrize("data", [b"{}", b'{"limit": 10}', b'{"interactions": []}', b'{"user_id": null}'])
def test_a_guest_need_not_have_done_anything(data: bytes) -> None:
    assert parse(data) == Request()


def test_null_is_the_same_as_an_absent_field() -> None:
    nothing = dict.fromkeys((field.name for field in dataclasses.fields(Request)), None)
    assert parse(json.dumps({**nothing, "user_id": 7}).encode()) == Request(user_id=7)


def test_no_candidates_is_not_the_same_as_any_candidate() -> None:
    assert parse(request(candidates=[])).candidates == ()


@pytest.mark.parametrize(
    ("written", "name"), [("encm", "ENCM"), ("NEUMF", "NeuMF"), ("Item_CF", "item_cf"), ("AUTO", "auto")]
)
def test_a_model_is_named_in_any_case(written: str, name: str) -> None:
    assert parse(request(model=written)).model == name


ACCEPTED = {
    "10 CRLF": b'{"user_id": 7}\r\n',
    "11 lone CR": b'\r{"user_id": 7}\r',
    "12 byte order mark": b'\xef\xbb\xbf{"user_id": 7}',
    "23 exactly 1 MiB": b'{"user_id": 7}'.ljust(MAX_BYTES),
    "38 a list at its limit": b'{"user_id": 7, "exclude": [' + b",".join([b"1"] * MAX_LENGTH) + b"]}",
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_harmless_framing_is_accepted(data: bytes) -> None:
    assert parse(data).user_id == 7


NOT_ONE_OBJECT = {
    "1 nothing": b"",
    "2 only LF": b"\n",
    "3 only spaces": b"   ",
    "4 broken off": b"{",
    "5 trailing comma": b'{"user_id": 7,}',
    "6 single quotes": b"{'user_id': 7}",
    "7 comment": b'{"user_id": 7} // seven',
    "8 two documents": b'{"user_id": 7}\n{"user_id": 8}',
    "9 garbage after": b'{"user_id": 7}x',
    "12 byte order mark twice": b'\xef\xbb\xbf\xef\xbb\xbf{"user_id": 7}',
    "13 UTF-16LE": '{"user_id": 7}'.encode("utf-16-le"),
    "13 UTF-16BE": '{"user_id": 7}'.encode("utf-16-be"),
    "13 UTF-16 with its mark": '{"user_id": 7}'.encode("utf-16"),
    "14 invalid UTF-8": b'{"user_id": "\xff\xfe"}',
    "15 overlong": b'{"user_id": "\xc0\x80"}',
    "16 multibyte cut": b'{"user_id": "\xc3',
    "17 raw NUL": b'{"user_id": "\x00"}',
    "17 NUL after": b'{"user_id": 7}\x00',
    "19 raw control character": b'{"user_id": "\x1b[31m"}',
    "25 gzip": gzip.compress(b'{"user_id": 7}'),
    "26 pickle": base64.b64decode("gASVDwAAAAAAAAB9lIwHdXNlcl9pZJRLB3Mu"),
    "27 MessagePack": b"\x81\xa7user_id\x07",
    "28 list": b'[{"user_id": 7}]',
    "28 text": b'"user_id"',
    "28 number": b"7",
    "28 null": b"null",
    "28 true": b"true",
    "41 NaN": b'{"user_id": 7, "filters": {"price_min": NaN}}',
    "41 Infinity": b'{"user_id": 7, "filters": {"price_max": Infinity}}',
    "41 -Infinity": b'{"user_id": 7, "filters": {"price_min": -Infinity}}',
    "41 bare NaN": b"NaN",
    "46 leading zero": b'{"user_id": 007}',
    "46 hexadecimal": b'{"user_id": 0x7}',
    "non-breaking space": '{"user_id":\u00a07}'.encode(),
}


@pytest.mark.parametrize("data", NOT_ONE_OBJECT.values(), ids=NOT_ONE_OBJECT)
def test_what_is_not_one_json_object_is_invalid_json(data: bytes) -> None:
    error = refusal(data)
    assert (type(error), error.exit_status, error.field) == (InvalidJson, 65, None)


def nested(levels: int) -> bytes:
    """Return a request with `levels` levels, its own included."""
    return b'{"user_id": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


TOO_LARGE = {
    "23 1 MiB and a byte": (b'{"user_id": 7}'.ljust(MAX_BYTES + 1), None),
    "24 2 MiB of spaces": (b" " * 2**21, None),
    "29 33 levels": (nested(33), "user_id"),
    "29 1,000 levels": (nested(1_000), None),
    "29 100,000 levels": (nested(100_000), None),
    "29 100,000 levels left open": (b'{"user_id": ' + b"[" * 100_000, None),
    "30 80,000 names": (json.dumps(dict.fromkeys(map(str, range(80_000)), 0)).encode(), None),
    "38 a list over its limit": (request(exclude=[1] * (MAX_LENGTH + 1)), "exclude"),
    "38 an object over its limit": (request(context={str(n): "x" for n in range(MAX_LENGTH + 1)}), "context"),
    "77 an event too often": (
        request(interactions=[{"item_id": 1, "event": "view"}] * (MAX_LENGTH + 1)),
        "interactions",
    ),
}


@pytest.mark.parametrize(("data", "field"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_exceeds_a_limit_is_too_large(data: bytes, field: str | None) -> None:
    error = refusal(data)
    assert (type(error), error.exit_status, error.field) == (TooLarge, 65, field)


def test_the_deepest_level_admitted_is_refused_for_its_type_only() -> None:
    assert type(refusal(nested(32))) is InvalidRequest


REFUSED = {
    "18 NUL in a text": (rb'{"user_id": "a\u0000b"}', "user_id"),
    "21 lone surrogate": (rb'{"user_id": "\ud800"}', "user_id"),
    "21 lone surrogate in a name": (rb'{"user_id": 7, "context": {"\udc00": "x"}}', r"context.\udc00"),
    "31 a name twice": (b'{"user_id": 7, "user_id": 8}', "user_id"),
    "31 a name twice inside": (b'{"user_id": 7, "filters": {"brand": "a", "brand": "a"}}', "brand"),
    "32 similar to nothing": (b'{"op": "similar", "user_id": 7}', "item_id"),
    "32 event without item": (request(interactions=[{"event": "view"}]), "interactions[0].item_id"),
    "32 event without name": (
        request(interactions=[{"item_id": 1, "event": "view"}, {"item_id": 1}]),
        "interactions[1].event",
    ),
    "34 unknown field": (request(limt=5), "limt"),
    "34 unknown field of a filter": (request(filters={"colour": "red"}), "filters.colour"),
    "34 unknown field of an event": (
        request(interactions=[{"item_id": 1, "event": "view", "price": 3}]),
        "interactions[0].price",
    ),
    "34 unknown field, even as null": (request(limt=None), "limt"),
    "35 __proto__": (request(__proto__={"admin": True}), "__proto__"),
    "35 constructor": (request(constructor={"prototype": {}}), "constructor"),
    "36 toJSON": (request(toJSON=1), "toJSON"),
    "37 empty name": (request(**{"": 1}), ""),
    "37 empty name in the context": (request(context={"": "x"}), "context."),
    "38 a name of 1 MB": (request(**{"n" * 10**6: 1}), "n" * 57 + "..."),
    "39 hole in a list": (request(exclude=[1, None, 2]), "exclude[1]"),
    "40 op unknown": (request(op="delete"), "op"),
    "40 op of a module": (request(op="__init__"), "op"),
    "40 op in another case": (request(op="Recommend"), "op"),
    "40 op of the worker": (request(op="ping"), "op"),
    "42 beyond a double": (b'{"user_id": 7, "filters": {"price_min": 1e999}}', None),
    "43 minus zero as a limit": (b'{"user_id": 7, "limit": -0}', "limit"),
    "44 2^53": (b'{"user_id": 9007199254740992}', None),
    "44 -2^53": (b'{"user_id": -9007199254740992}', None),
    "45 4,301 digits": (b'{"user_id": ' + b"9" * 4301 + b"}", None),
    "45 1,000,000 digits": (b'{"user_id": ' + b"9" * 10**6 + b"}", None),
    "46 1.0 as a limit": (b'{"user_id": 7, "limit": 1.0}', "limit"),
    "46 1e1 as a limit": (b'{"user_id": 7, "limit": 1e1}', "limit"),
    "46 7.0 as an id": (b'{"user_id": 7.0}', "user_id"),
    "47 true as a limit": (request(limit=True), "limit"),
    "47 true as an id": (request(user_id=True), "user_id"),
    "47 1 as a truth value": (request(filters={"in_stock": 1}), "filters.in_stock"),
    "47 0 as a truth value": (request(strict=0), "strict"),
    "47 true as a context value": (request(context={"weekend": True}), "context.weekend"),
    "48 limit 0": (request(limit=0), "limit"),
    "48 limit -1": (request(limit=-1), "limit"),
    "48 limit 101": (request(limit=101), "limit"),
    "48 limit 1.5": (request(limit=1.5), "limit"),
    "48 limit as text": (request(limit="10"), "limit"),
    "49 budget 0": (request(budget_ms=0), "budget_ms"),
    "49 budget -1": (request(budget_ms=-1), "budget_ms"),
    "49 budget 1e18": (request(budget_ms=1e18), "budget_ms"),
    "49 budget of eleven minutes": (request(budget_ms=660_000), "budget_ms"),
    "53 empty id": (request(user_id=""), "user_id"),
    "53 empty item": (request(candidates=["a", ""]), "candidates[1]"),
    "54 4 KiB id": (request(user_id="x" * 4096), "user_id"),
    "54 513 bytes in 257 letters": (request(user_id="é" * 256 + "x"), "user_id"),
    "79 negative timestamp": (
        request(interactions=[{"item_id": 1, "event": "view", "timestamp": -1}]),
        "interactions[0].timestamp",
    ),
    "79 milliseconds": (
        request(interactions=[{"item_id": 1, "event": "view", "timestamp": 1764547200000}]),
        "interactions[0].timestamp",
    ),
    "79 a date": (
        request(interactions=[{"item_id": 1, "event": "view", "timestamp": "2026-02-30"}]),
        "interactions[0].timestamp",
    ),
    "81 negative price": (request(filters={"price_min": -0.01}), "filters.price_min"),
    "81 prices crossed": (request(filters={"price_min": 5, "price_max": 4}), "filters.price_max"),
    "model unknown": (request(model="SVD++"), "model"),
    "item of another question": (request(item_id=3), "item_id"),
    "item of another question, together": (request(op="together", item_ids=[3], item_id=3), "item_id"),
    "item of another question, trending": (request(op="trending", item_id=3), "item_id"),
    "items of another question": (request(item_ids=[3]), "item_ids"),
    "items of another question, similar": (request(op="similar", item_id=3, item_ids=[3]), "item_ids"),
    "items of another question, trending": (request(op="trending", item_ids=[3]), "item_ids"),
    "32 together with nothing": (request(op="together"), "item_ids"),
    "32 together with no items": (request(op="together", item_ids=[]), "item_ids"),
    "32 together with 51 items": (request(op="together", item_ids=list(range(51))), "item_ids"),
    "32 together with one item": (request(op="together", item_ids=3), "item_ids"),
    "39 hole in a basket": (request(op="together", item_ids=[3, None]), "item_ids[1]"),
    "47 true in a basket": (request(op="together", item_ids=[True]), "item_ids[0]"),
    "complementary to nothing": (request(complementary=True), "complementary"),
    "complementary to what is trending": (request(op="trending", complementary=True), "complementary"),
    "47 1 as complementary": (request(op="together", item_ids=[3], complementary=1), "complementary"),
    "model of together": (request(op="together", item_ids=[3], model="BMF"), "model"),
    "model of trending": (request(op="trending", model="popularity"), "model"),
    "model of again": (request(op="again", model="popularity"), "model"),
    "item of another question, again": (request(op="again", item_id=3), "item_id"),
    "items of another question, again": (request(op="again", item_ids=[3]), "item_ids"),
    "complementary to what is due": (request(op="again", complementary=True), "complementary"),
    "repeat of another name": (request(repeat="never"), "repeat"),
    "repeat in another case": (request(repeat="Hide"), "repeat"),
    "repeat in days": (request(repeat=30), "repeat"),
}


@pytest.mark.parametrize(("data", "field"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_of_the_contract_is_refused_by_field(data: bytes, field: str | None) -> None:
    error = refusal(data)
    assert (type(error), error.exit_status, error.field) == (InvalidRequest, 65, field)


ODD_BUT_TEXT = {
    "20 line separators": "a\u2028b\u2029c",
    "22 surrogate pair": "\U0001f600",
    "54 an id at its limit": "x" * MAX_TEXT_BYTES,
    "55 blanks": "   ",
    "56 leading zeros": "007",
    "57 a number as text": "7",
    "58 composed": "caf\u00e9",
    "58 decomposed": "cafe\u0301",
    "59 joiner and override": "a\u200d\u202eb",
    "60 emoji sequence": "\U0001f469\u200d\U0001f52c",
    "61 path": "../../etc/passwd",
    "62 SQL": "'; DROP TABLE Users; --",
    "63 percent zero": "%00",
    "64 shell": "$(id) `id` ;rm -rf",
    "65 template": "{{7*7}} ${7*7}",
    "66 markup": "<script>alert(1)</script>",
    "67 spreadsheet": "=cmd|' /C calc'!A0",
    "68 lookup": "${jndi:ldap://x/a}",
    "69 reserved": "hasOwnProperty",
    "69 dunder": "__len__",
}


@pytest.mark.parametrize("text", ODD_BUT_TEXT.values(), ids=ODD_BUT_TEXT)
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "raw"])
def test_an_id_is_opaque_and_kept_letter_by_letter(text: str, ascii_only: bool) -> None:
    data = json.dumps({"user_id": text, "exclude": [text], "context": {text: text}}, ensure_ascii=ascii_only).encode()
    parsed = parse(data)
    assert (parsed.user_id, parsed.exclude, parsed.context) == (text, (text,), {text: text})


def test_numbers_at_the_edge_of_their_range_are_accepted() -> None:
    filters = {"price_min": 5e-324, "price_max": 1.7976931348623157e308}
    events = [{"item_id": -MAX_WHOLE, "event": "view", "timestamp": second} for second in (0, 253_402_300_799)]
    parsed = parse(request(user_id=MAX_WHOLE, limit=100, budget_ms=600_000, filters=filters, interactions=events))
    assert (parsed.user_id, parsed.limit, parsed.budget_ms) == (9007199254740991, 100, 600_000)
    assert (parsed.filters.price_min, parsed.filters.price_max) == (5e-324, 1.7976931348623157e308)
    assert [event.timestamp for event in parsed.interactions] == [0, 253_402_300_799]


def test_minus_zero_is_the_id_zero() -> None:
    assert parse(b'{"user_id": -0}').user_id == 0


def test_repeated_candidates_and_events_are_kept_for_the_use_case_to_judge() -> None:
    parsed = parse(request(candidates=[1, 1, "1"], interactions=[{"item_id": 1, "event": "view"}] * 1000))
    assert parsed.candidates == (1, 1, "1")
    assert len(parsed.interactions) == 1000


WRONG_TYPES = {"true": True, "number": 1.5, "negative": -1, "text": "\t", "list": [[]], "object": {"a": {}}}
WHOLE_NUMBERS_ARE_IDS = ("user_id", "id")
FIELDS = [field.name for field in dataclasses.fields(Request)]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_each_field_refuses_each_wrong_type_by_name(name: str, kind: str) -> None:
    if (kind == "negative" and name in WHOLE_NUMBERS_ARE_IDS) or (kind, name) == ("true", "strict"):
        assert getattr(parse(request(**{name: WRONG_TYPES[kind]})), name) == WRONG_TYPES[kind]
        return
    error = refusal(request(**{name: WRONG_TYPES[kind]}))
    assert isinstance(error, InvalidRequest)
    assert error.field is not None
    assert error.field.split("[")[0].split(".")[0] == name


def test_a_message_says_what_should_be_and_what_came() -> None:
    assert str(refusal(request(limit=0))) == "`limit` should be a whole number from 1 to 100. Received: 0."
    assert str(refusal(request(model="SVD"))) == (
        '`model` should be one of auto, ENCM, LNCM, NeuMF, BMF, item_cf, popularity. Received: "SVD".'
    )


@pytest.mark.parametrize(
    "value", ["x" * 10**5, "\x1b]0;owned\x07\r\nfake log line", "\u202e" * 100, [1] * 5000, {"a": 1}, 1e300, "\x7f\x9b"]
)
def test_a_received_value_is_shown_short_and_without_control_characters(value: object) -> None:
    message = str(refusal(request(limit=value)))
    received = message.split("Received: ")[1].removesuffix(".")
    assert len(received) <= 60
    assert received.isascii()
    assert received.isprintable()


def test_the_id_to_echo_survives_a_refusal() -> None:
    assert request_id(request(id="r-1", limit=0)) == "r-1"
    assert request_id(request(id=12, nonsense=1)) == 12


@pytest.mark.parametrize(
    "data", [b"{", b"[]", request(), request(id=None), request(id=[1]), request(id="\x00"), b" " * 2**21]
)
def test_an_unusable_id_is_not_echoed(data: bytes) -> None:
    assert request_id(data) is None


def test_of_ours_the_contract_imports_errors_and_records_only() -> None:
    ours = "name.startswith('recsys') or name == 'numpy'"
    code = f"import sys, recsys.contract; print(sorted(name for name in sys.modules if {ours}))"
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert output.split("'")[1::2] == [
        "recsys",
        "recsys.contract",
        "recsys.contract.checks",
        "recsys.contract.request",
        "recsys.contract.response",
        "recsys.errors",
        "recsys.errors.failures",
        "recsys.errors.records",
        "recsys.errors.secrets",
        "recsys.errors.wording",
    ]


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no finding
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)
ids = st.integers(-MAX_WHOLE, MAX_WHOLE) | texts
id_lists = st.lists(ids, max_size=5).map(tuple)
prices = st.none() | st.floats(0, 1e6, allow_nan=False)
filters = st.builds(Filters, st.none() | texts, st.none() | texts, prices, prices, st.none() | st.booleans()).filter(
    lambda each: each.price_min is None or each.price_max is None or each.price_min <= each.price_max
)
events = st.builds(RecentEvent, ids, texts, st.none() | st.integers(0, 253_402_300_799))
valid_requests = st.builds(
    Request,
    op=st.just("recommend"),
    user_id=st.none() | ids,
    limit=st.integers(1, 100),
    model=st.sampled_from(("auto", *MODELS)),
    context=st.dictionaries(texts, st.none() | texts, max_size=4),
    interactions=st.lists(events, max_size=4).map(tuple),
    ground_truth=id_lists,
    candidates=st.none() | id_lists,
    exclude=id_lists,
    filters=filters,
    repeat=st.sampled_from((None, "allow", "hide")),
    id=st.none() | ids,
    budget_ms=st.none() | st.integers(1, 600_000),
    strict=st.booleans(),
)


@unhurried
@given(valid_requests, st.booleans())
def test_a_valid_request_survives_the_wire(wanted: Request, ascii_only: bool) -> None:
    assert parse(json.dumps(dataclasses.asdict(wanted), ensure_ascii=ascii_only).encode()) == wanted


@unhurried
@given(st.binary(max_size=200))
@example(b"\xed\xa0\x80")
@example(b"{}")
def test_arbitrary_bytes_are_a_request_or_raise_a_named_error(data: bytes) -> None:
    with contextlib.suppress(RecsysError):
        assert isinstance(parse(data), Request)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@unhurried
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=6))
def test_arbitrary_values_are_parsed_or_refused_by_name(document: dict[str, object]) -> None:
    try:
        parse(json.dumps(document).encode())
    except RecsysError as error:
        assert error.exit_status == 65
        assert len(str(error)) < 400
