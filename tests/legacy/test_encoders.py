"""Old encoder pickles: what they may hold is read, and whatever else they hold is refused and never run."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.preprocessing import LabelEncoder

from recsys.errors import ModelRefused, SettingsError
from recsys.legacy.encoders import CONTEXTS, ITEMS, USERS, read_encoders
from recsys.legacy.unpickling import LabelEncoder as InertLabelEncoder
from recsys.legacy.unpickling import unpickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def label_encoder(classes: Any) -> LabelEncoder:
    """Return a scikit-learn encoder that holds any classes, also such as `fit` would refuse."""
    encoder = LabelEncoder()
    encoder.classes_ = classes
    return encoder


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes the three pickles, whole ones where none is given."""

    def write(users: Any = None, items: Any = None, contexts: Any = None, protocol: int = 4) -> Path:
        given = {
            USERS: {"a": 0} if users is None else users,
            ITEMS: {1: 0} if items is None else items,
            CONTEXTS: contexts or {},
        }
        for name, value in given.items():
            (tmp_path / name).write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=protocol))
        return tmp_path

    return write


# What is read


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("classes", "ids"),
    [
        (np.array([3, 5, 9]), [3, 5, 9]),
        (np.array([3, 5, 9], np.int32), [3, 5, 9]),
        (np.array([3, 5], ">i8"), [3, 5]),
        (np.array([250, 251], np.uint8), [250, 251]),
        (np.array([17850.0, 17851.0]), [17850, 17851]),  # what pandas made of a column with gaps
        (np.array(["lan", "tú", "🎒"]), ["lan", "tú", "🎒"]),
        (np.array(["lan", "tú"], object), ["lan", "tú"]),
        (np.array([b"ab", b"c"]), ["ab", "c"]),
        (np.array([7, "x"], object), ["7", "x"]),
        (["p", "q"], ["p", "q"]),
    ],
)
def test_a_label_encoders_classes_are_its_ids_in_order(
    folder: Callable[..., Path], protocol: int, classes: Any, ids: list[Any]
) -> None:
    read = read_encoders(folder(users=label_encoder(classes), protocol=protocol))

    assert read.users == ids
    assert [type(value) for value in read.users] == [type(value) for value in ids]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("values", "ids"),
    [
        ([9, 3, 5, 3], [3, 5, 9]),
        (np.array([9, 3], np.int32), [3, 9]),
        ([17851.0, 17850.0], [17850, 17851]),
        (["tú", "lan", "🎒", "lan"], ["lan", "tú", "🎒"]),
        (np.array(["tú", "lan"], object), ["lan", "tú"]),
        (np.array([20, 3], object), [3, 20]),
        (["10", "9"], ["10", "9"]),
        (pandas.Series([9, 3]), [3, 9]),
        (pandas.Series([9, 3], dtype="Int64"), [3, 9]),
        (pandas.Series(["b", "a"]), ["a", "b"]),
        (pandas.Series(["b", "a"], dtype=object), ["a", "b"]),
        (pandas.Series(["b", "a"], dtype="category"), ["a", "b"]),
    ],
)
def test_a_fitted_label_encoders_ids_are_what_its_codes_mean(
    folder: Callable[..., Path], protocol: int, values: Any, ids: list[Any]
) -> None:
    encoder = LabelEncoder().fit(values)

    read = read_encoders(folder(users=encoder, protocol=protocol)).users

    assert read == ids
    assert [type(value) for value in read] == [type(value) for value in ids]
    assert encoder.transform(values).tolist() == [ids.index(value) for value in list(values)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "values",
    [
        [1.5, 2.5],
        [1.0, np.nan],
        [True, False],
        np.array(["a", None], object),
        np.array(["2024-01-01"], "datetime64[s]"),
    ],
)
def test_a_fitted_label_encoder_of_other_values_is_refused(
    folder: Callable[..., Path], protocol: int, values: Any
) -> None:
    data = pickle.dumps(LabelEncoder().fit(values), protocol)

    with pytest.raises(ModelRefused, match="should hold ids that are integers or text|array"):
        read_encoders(folder(users=data))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("mapping", "ids"),
    [
        ({"b": 1, "a": 0, "c": 2}, ["a", "b", "c"]),
        ({20: np.int64(1), 10: np.int64(0)}, [10, 20]),
        ({np.int64(20): 0, np.int64(10): 1}, [20, 10]),
        ({np.str_("x"): 0}, ["x"]),
        (OrderedDict([("b", 1), ("a", 0)]), ["a", "b"]),
    ],
)
def test_a_dict_of_originals_to_indices_is_read_in_the_order_of_the_indices(
    folder: Callable[..., Path], protocol: int, mapping: Any, ids: list[Any]
) -> None:
    assert read_encoders(folder(items=mapping, protocol=protocol)).items == ids


def test_the_older_name_of_numpys_core_is_known_too(folder: Callable[..., Path]) -> None:
    data = pickle.dumps(label_encoder(np.array(["lan", "tú"], object)), protocol=2)
    older = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    assert older != data
    assert read_encoders(folder(users=older)).users == ["lan", "tú"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "info",
    [
        {
            "reverse_mappings": {"season": {"wet": 1, "dry": 0}, "hour": {"0": 0, "1": 1}},
            "feature_names": ["hour", "season"],
        },
        {
            "encoders": {"season": label_encoder(np.array(["dry", "wet"])), "hour": label_encoder(np.array([0, 1]))},
            "order": ["hour", "season"],
        },
        {
            "context_features": ["hour_encoded", "season_encoded"],
            "season_encoded": {"dry": 0, "wet": 1},
            "hour": ["0", "1"],
        },
        {
            "hour_encoder": label_encoder(np.array([0, 1], object)),
            "season_encoder": {"dry": 0, "wet": 1},
            "context_dims": {"season": 2, "hour": 2},
        },
        {"hour": ["0", "1"], "season": np.array(["dry", "wet"]), "n_contexts": 2, "empty": {}},
    ],
)
def test_contexts_are_found_however_the_pickle_groups_them(
    folder: Callable[..., Path], protocol: int, info: Any
) -> None:
    contexts = read_encoders(folder(contexts=info, protocol=protocol)).contexts

    assert contexts == {"hour": ["0", "1"], "season": ["dry", "wet"]}
    assert list(contexts) == ["hour", "season"]


def test_the_name_follows_the_content(folder: Callable[..., Path]) -> None:
    first, again = read_encoders(folder()).name, read_encoders(folder()).name
    other = read_encoders(folder(users={"b": 0})).name

    assert first == again != other
    assert first.startswith("legacy-")
    assert len(first) == len("legacy-") + 8


def test_reading_imports_no_scikit_learn(folder: Callable[..., Path]) -> None:
    path = folder(users=label_encoder(np.array(["a"], object)))
    code = "import sys; from pathlib import Path; from recsys.legacy.encoders import read_encoders"
    code += f"; print(read_encoders(Path({str(path)!r})).users)"
    code += "; print([name for name in sys.modules if name.startswith('sklearn')])"

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert ran.stdout.splitlines() == ["['a']", "[]"]


# What is refused


@pytest.mark.parametrize("name", [USERS, ITEMS, CONTEXTS])
def test_a_missing_pickle_is_named(folder: Callable[..., Path], name: str) -> None:
    path = folder()
    (path / name).unlink()

    with pytest.raises(SettingsError, match=f"Received: {name} missing"):
        read_encoders(path)


class Acts:
    """Pickled, it calls what it is told to."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def command(marker: Path) -> str:
    return f"touch {marker}"


def touching(marker: Path) -> str:
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


# Each makes a pickle that creates the marker file when unpickled carelessly.
PAYLOADS: dict[str, Callable[[Path, int], bytes]] = {
    "os.system": lambda marker, protocol: pickle.dumps(Acts(os.system, command(marker)), protocol),
    "subprocess": lambda marker, protocol: pickle.dumps(Acts(subprocess.Popen, ["touch", str(marker)]), protocol),
    "eval": lambda marker, protocol: pickle.dumps(Acts(builtins.eval, touching(marker)), protocol),
    "exec": lambda marker, protocol: pickle.dumps(Acts(builtins.exec, touching(marker)), protocol),
    "open": lambda marker, protocol: pickle.dumps(Acts(open, str(marker), "w"), protocol),
    "in a dict": lambda marker, protocol: pickle.dumps({"a": 0, "b": Acts(os.system, command(marker))}, protocol),
    "as a key": lambda marker, protocol: pickle.dumps({Acts(os.system, command(marker)): 0}, protocol),
    "in an encoder": lambda marker, protocol: pickle.dumps(label_encoder([Acts(os.system, command(marker))]), protocol),
    "in an array": lambda marker, protocol: pickle.dumps(
        label_encoder(np.array(["a", Acts(os.system, command(marker))], object)), protocol
    ),
    "in an array in a list in a dict": lambda marker, protocol: pickle.dumps(
        {"encoders": [np.array([[Acts(os.system, command(marker))]], object)]}, protocol
    ),
    "as an encoder's state": lambda marker, protocol: pickle.dumps(
        StateActs(Acts(os.system, command(marker))), protocol
    ),
    "by GLOBAL and REDUCE": lambda marker, protocol: b"cos\nsystem\n(V" + command(marker).encode() + b"\ntR.",
    "by INST": lambda marker, protocol: b"(V" + command(marker).encode() + b"\nios\nsystem\n.",
    "by OBJ": lambda marker, protocol: b"(cos\nsystem\nV" + command(marker).encode() + b"\no.",
    "by BUILD on an encoder": lambda marker, protocol: (
        b"csklearn.preprocessing._label\nLabelEncoder\n)\x81}V__setstate__\ncos\nsystem\nsbV"
        + command(marker).encode()
        + b"\nb."
    ),
    "by STACK_GLOBAL": lambda marker, protocol: (
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(command(marker))])
        + command(marker).encode()
        + b"\x85R."
    ),
    "by a nested name": lambda marker, protocol: (
        b"\x80\x04\x8c\x05numpy\x8c\x0fos.system.__call__\x93\x8c"
        + bytes([len(command(marker))])
        + command(marker).encode()
        + b"\x85R."
    ),
    "through numpy's testing gadget": lambda marker, protocol: (
        b"cnumpy.testing._private.utils\nrunstring\n(V" + touching(marker).encode() + b"\n}tR."
    ),
    "through numpy's distutils gadget": lambda marker, protocol: (
        b"cnumpy.distutils.exec_command\nexec_command\n(V" + command(marker).encode() + b"\ntR."
    ),
    "through getattr": lambda marker, protocol: b"cbuiltins\ngetattr\n(cos\nV" + b"system\ntR.",
    "through the encoder's own attributes": lambda marker, protocol: (
        b"\x80\x04\x8c\x1csklearn.preprocessing._label\x8c\x15LabelEncoder.__init__\x93."
    ),
    "through a persistent id": lambda marker, protocol: b"Pos.system\n.",
    "through an extension code": lambda marker, protocol: b"\x82\x01.",
    "a pickled class of ours": lambda marker, protocol: (
        b"crecsys.store\nconnect\n(Vsqlite:////" + str(marker).encode() + b"\ntR."
    ),
}


class StateActs:
    """A LabelEncoder whose state is no dict but a call."""

    def __init__(self, call: Acts) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return (LabelEncoder, (), self.call)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", [USERS, CONTEXTS])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_anything_else_in_a_pickle_is_refused_and_never_run(
    folder: Callable[..., Path], tmp_path: Path, name: str, payload: str, protocol: int
) -> None:
    marker = tmp_path / "ran"
    data = PAYLOADS[payload](marker, protocol)

    with pytest.raises(ModelRefused):
        read_encoders(folder(users=data) if name == USERS else folder(contexts=data))

    assert not marker.exists()


def test_the_payloads_are_real(tmp_path: Path) -> None:
    for payload in ("os.system", "eval", "in an array", "by GLOBAL and REDUCE", "by INST", "by OBJ", "by STACK_GLOBAL"):
        marker = tmp_path / payload.replace(" ", "_")
        pickle.loads(PAYLOADS[payload](marker, 4))

        assert marker.exists(), payload


def test_the_refused_name_is_named() -> None:
    message = (
        r"user_encoder.pkl should hold nothing but LabelEncoder.* Received: (posix|nt|os)\.system. Nothing was run"
    )
    with pytest.raises(ModelRefused, match=message):
        unpickle(pickle.dumps(os.system), USERS, repr)


@pytest.mark.parametrize(
    "value",
    [Path("x"), 1j, print, LabelEncoder, np.float64, np.array, io.BytesIO, Exception("x"), np.random.default_rng(1)],
)
def test_harmless_things_of_another_kind_are_refused_too(value: Any) -> None:
    data = pickle.dumps(value)
    try:
        read = unpickle(data, USERS, lambda value: value)
    except ModelRefused:
        return
    assert read is InertLabelEncoder  # the class by itself is named, and is ours


@pytest.mark.parametrize(
    "users",
    [
        {"a": 1, "b": 2},  # not from 0
        {"a": 0, "b": 0},
        {"a": 0, "b": 2},
        {"a": 0.5},
        {"a": True, "b": 0},
        {"a": "0"},
        {0: "a", 1: "b"},  # the wrong way round
        ["a", "b"],
        "a",
        7,
        None,
        label_encoder(np.array([[1, 2], [3, 4]])),
        label_encoder(np.array([1.5, 2.5])),
        label_encoder(np.array([np.nan, 1.0])),
        label_encoder(np.array([None, "a"], object)),
        label_encoder(np.array([("a",)], object)),
        label_encoder(np.array(["2024-01-01"], "datetime64[s]")),
        label_encoder(np.array([1 + 2j])),
        label_encoder(np.array([True, False])),
        label_encoder({"a": 0}),
        label_encoder(10**5000),
        label_encoder([10**5000]),
        label_encoder([2**63]),
        label_encoder([b"\xff\xfe"]),
        {(10**5000): 0},
    ],
)
def test_an_encoder_of_another_shape_is_refused(folder: Callable[..., Path], users: Any) -> None:
    with pytest.raises(ModelRefused, match=USERS.replace(".", r"\.") + "|array|encoder"):
        read_encoders(folder(users=pickle.dumps(users)))


@pytest.mark.parametrize(
    ("contexts", "what"),
    [
        ([1], "should be a dict. Received: list"),
        ({"feature_names": ["hour", "season"], "hour": ["0"], "season": 5}, "Received: none for season"),
        ({"order": ["hour", "season"], "hour": {"0": 0}, "season": label_encoder(np.array([[1]]))}, "one dimension"),
        ({"hour": label_encoder(np.array([10**30], object)), "order": [1]}, "Received: none for 1"),
    ],
)
def test_contexts_of_another_shape_are_refused(folder: Callable[..., Path], contexts: Any, what: str) -> None:
    with pytest.raises(ModelRefused, match=what):
        read_encoders(folder(contexts=pickle.dumps(contexts)))


def test_a_dict_that_holds_itself_comes_to_an_end(folder: Callable[..., Path]) -> None:
    info: dict[str, Any] = {"hour": ["0"]}
    info["self"] = info

    assert read_encoders(folder(contexts=pickle.dumps(info))).contexts == {"hour": ["0"]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"not a pickle",
        b"\x80\x04",
        b"\x80\xff.",
        b"(" * 100_000 + b".",
        b"]" + b"]a" * 100 + b".",
        b"\x80\x05\x96" + (2**62).to_bytes(8, "little") + b"abc.",  # a bytearray of four exabytes
        b"\x80\x05\x96" + (2**33).to_bytes(8, "little") + b"abc.",
        b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"abc.",  # bytes of a false size
        b"\x80\x04\x8d" + (2**40).to_bytes(8, "little") + b"abc.",  # text of a false size
        b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b"abc.",  # a frame of a false size
        b"\x80\x02r" + (2**31).to_bytes(4, "little") + b".",  # a memo of two thousand million places
        b"\x80\x02\x8b\xff\xff\xff\x7fabc.",  # an integer of two thousand million bytes
        b"I" + b"9" * 100_000 + b"\n.",
        b"\x80\x04K\x01\x85R.",
        b"\x80\x04}K\x01b.",
        b"csklearn.preprocessing._label\nLabelEncoder\n}b.",  # BUILD on the class itself
        b"cbuiltins\nset\n}Vadd\nK\x01sb.",
        b"cnumpy\nndarray\n(K\x01tR}b.",
    ],
)
def test_a_damaged_pickle_is_refused_without_taking_the_memory_it_claims(
    folder: Callable[..., Path], data: bytes
) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ModelRefused):
        read_encoders(folder(users=data))

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024  # KiB


def test_a_pickle_never_changes_the_classes_that_stand_in(folder: Callable[..., Path]) -> None:
    before = dict(vars(InertLabelEncoder))
    data = b"csklearn.preprocessing._label\nLabelEncoder\n(}}V__init__\nVgone\nstb."

    with pytest.raises(ModelRefused):
        read_encoders(folder(users=data))

    assert dict(vars(InertLabelEncoder)) == before


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_cut_or_changed_at_any_byte_a_pickle_is_read_or_refused_and_nothing_else(
    rng: np.random.Generator, protocol: int
) -> None:
    whole = pickle.dumps(
        {
            "encoders": {"hour": label_encoder(np.array(["0", "1"], object)), "day": label_encoder(np.arange(3))},
            "x": {1, 2},
        },
        protocol,
    )
    damaged = [whole[:length] for length in range(len(whole))]
    for _ in range(1_500):
        changed = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 4)):
            changed[position] = rng.integers(0, 256)
        damaged.append(bytes(changed))

    refused = 0
    for data in damaged:
        try:
            unpickle(data, USERS, repr)
        except ModelRefused:
            refused += 1

    assert refused >= len(whole)  # at least every cut
