"""Arrays in HDF5: what is written comes back, what Keras writes is read, and what a file must not hold is refused."""

import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.artifacts import Draft, Version, open_version
from recsys.artifacts.manifest import to_json, version_name
from recsys.errors import ModelRefused
from tests.helpers.dying_disk import NEW, Unsynced

ARRAYS = {
    "vars/item_factors": np.arange(600, dtype=np.float32).reshape(150, 4),
    "vars/item_bias": np.array([-0.0, np.inf, np.nan, 1e-45], np.float32),
    "float64": np.array([[1 / 3]]),
    "float16": np.array([1.5], np.float16),
    "int32": np.arange(-300, 300, dtype=np.int32),
    "int64": np.array([-(2**63), 2**63 - 1]),
    "uint8": np.array([0, 255], np.uint8),
    "big_endian": np.arange(200, dtype=">f4"),
    "bytes": np.array([b"", b"7", "ü-42".encode()]),
    "many_bytes": np.array([b"abcde"] * 200),
    "scalar": np.float32(0.25),
    "integer_scalar": np.int64(-7),
    "bytes_scalar": np.bytes_(b"x"),
    "empty": np.zeros(0, np.float32),
    "empty_rows": np.zeros((0, 64), np.int64),
    "empty_bytes": np.array([], "S5"),
    "transposed": np.arange(600, dtype=np.float32).reshape(4, 150).T,
    "strided": np.arange(1000)[::3],
    "context/time of day/factors": np.ones((5, 2), np.float32),
}


def published(models_dir: Path, write: Callable[[Draft], object]) -> Version:
    with Draft.create(models_dir, NEW, Unsynced()) as draft:
        write(draft)
        name = draft.publish({})
    return open_version(models_dir, name)


def crafted(models_dir: Path, write: Callable[[h5py.File], object], name: str = "x.h5") -> Version:
    """Return a version with a file that h5py wrote; a publisher that checks nothing, and right hashes."""
    suffix = "crafted"  # not .h5: the publisher looks into those, and would refuse

    def by_hand(draft: Draft) -> None:
        with h5py.File(draft.path(f"{name}.{suffix}"), "w") as file:
            write(file)

    return published(models_dir, by_hand)


def same(received: np.ndarray, expected: np.ndarray) -> bool:
    expected = np.asarray(expected)
    equal = np.array_equal(received, expected, equal_nan=expected.dtype.kind == "f")
    return received.dtype == expected.dtype and received.shape == expected.shape and equal


def is_mapped(array: object) -> bool:
    """Return whether an array is a view of a mapped file."""
    if isinstance(array, memoryview):  # between the bytes of the file and the first array of them
        return isinstance(array.obj, mmap.mmap)
    return array is not None and is_mapped(getattr(array, "base", None))


def test_arrays_come_back_as_they_were_written(tmp_path):
    with published(tmp_path, lambda draft: draft.write_arrays("parts/a.h5", ARRAYS)) as version:
        arrays = version.arrays("parts/a.h5")
    assert set(arrays) == set(ARRAYS)
    assert [name for name in ARRAYS if not same(arrays[name], ARRAYS[name])] == []
    assert version.manifest["files"][0]["shapes"]["vars/item_factors"] == [150, 4]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        hnp.arrays(
            st.sampled_from(["f4", "f8", "i4", "i8", "u2", "S3", ">i4"]),
            hnp.array_shapes(min_dims=0, min_side=0, max_side=6),
        ),
        max_size=4,
    ),
)
def test_any_array_comes_back_as_it_was_written(tmp_path, arrays):
    named = {f"a{position}": array for position, array in enumerate(arrays)}
    with Draft.create(tmp_path, NEW, Unsynced()) as draft:
        draft.write_arrays("a.h5", named)
        version = open_version(tmp_path, draft.publish({}))
    received = version.arrays("a.h5")
    assert list(received) == list(named) and all(same(received[name], named[name]) for name in named)


def test_the_same_arrays_make_the_same_version(tmp_path):
    names = [
        published(tmp_path / folder, lambda draft: draft.write_arrays("a.h5", ARRAYS)).name
        for folder in ("here", "there")
    ]
    assert names[0] == names[1]


def test_large_arrays_are_mapped_on_cache_lines_and_small_ones_read(tmp_path):
    version = published(tmp_path, lambda draft: draft.write_arrays("a.h5", ARRAYS))
    arrays = version.arrays("a.h5")
    for name in ("vars/item_factors", "int32", "transposed", "strided", "many_bytes", "big_endian"):
        assert is_mapped(arrays[name]) and arrays[name].ctypes.data % 64 == 0
    version.close()
    assert arrays["vars/item_factors"].sum() == 599 * 600 / 2  # a mapping outlives the version's lock


def test_arrays_of_a_version_cannot_be_changed(tmp_path):
    version = published(tmp_path, lambda draft: draft.write_arrays("a.h5", ARRAYS))
    for array in version.arrays("a.h5").values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array


def test_chunked_and_unaligned_arrays_are_read_instead_of_mapped(tmp_path):
    values = np.arange(1000, dtype=np.float64).reshape(100, 10)

    def write(file: h5py.File) -> None:
        file.create_dataset("odd", data=np.zeros(3, np.int8))
        file.create_dataset("unaligned", data=values)
        file.create_dataset("chunked", data=values, chunks=(100, 10))
        file.create_dataset("resizable", data=values, maxshape=(None, 10))

    arrays = crafted(tmp_path, write).arrays("x.h5.crafted")
    assert all(same(arrays[name], values) for name in ("unaligned", "chunked", "resizable"))
    assert not any(is_mapped(array) for array in arrays.values() if array.size > 3)


def test_a_scalar_is_read_instead_of_mapped(tmp_path):
    version = published(tmp_path, lambda draft: draft.write_arrays("a.h5", {"bias": np.float32(0.5)}))
    bias = version.arrays("a.h5")["bias"]
    assert same(bias, np.float32(0.5)) and not is_mapped(bias)


def test_a_file_behind_a_user_block_is_read_right(tmp_path):
    def write(draft: Draft) -> None:
        with h5py.File(draft.path("a.h5"), "w", userblock_size=1024) as file:
            file["x"] = np.arange(1000)

    version = published(tmp_path, write)
    assert same(version.arrays("a.h5")["x"], np.arange(1000))


# --- what may not be written ---


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text"]),
        np.array([None]),
        np.array([True]),
        np.array([1j]),
        np.array([(1,)], "i4,"),
        np.array(["2026"], "M8[s]"),
    ],
    ids=lambda a: str(a.dtype),
)
def test_dtypes_that_could_not_be_read_back_are_refused(tmp_path, array):
    with (
        Draft.create(tmp_path, NEW) as draft,
        pytest.raises(ValueError, match="`x` should hold floats, integers or bytes"),
    ):
        draft.write_arrays("a.h5", {"x": array})


@pytest.mark.parametrize(
    "name", ["", "/x", "x/", "a//b", "..", "a/./b", "_x", "a/_b", "optimizer", "optimizer/x", "a\0b"]
)
def test_names_that_could_not_be_read_back_are_refused(tmp_path, name):
    with Draft.create(tmp_path, NEW) as draft, pytest.raises(ValueError, match="An array's name should be"):
        draft.write_arrays("a.h5", {name: np.zeros(1)})


@pytest.mark.parametrize("path", ["", "../x.json", "/x.json", "manifest.json", ".x", "a//b", "a b", "x\n"])
def test_a_draft_has_no_paths_outside_itself(tmp_path, path):
    with Draft.create(tmp_path, NEW) as draft:
        for act in (draft.path, lambda path: draft.write_json(path, 1), lambda path: draft.write_arrays(path, {})):
            with pytest.raises(ValueError, match="should name a file inside the version"):
                act(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"x": float("-inf")}]])
def test_json_that_is_no_json_is_refused(tmp_path, value):
    with Draft.create(tmp_path, NEW) as draft:
        with pytest.raises(ValueError, match="JSON"):
            draft.write_json("a.json", value)
        with pytest.raises(ValueError, match="JSON"):
            draft.publish({"map": value})


@pytest.mark.parametrize("field", ["schema", "created", "files"])
def test_the_publishers_own_fields_of_the_manifest_cannot_be_given(tmp_path, field):
    with Draft.create(tmp_path, NEW) as draft, pytest.raises(ValueError, match="should leave"):
        draft.publish({field: 1})


def test_an_empty_draft_is_not_published(tmp_path):
    with Draft.create(tmp_path, NEW) as draft, pytest.raises(ValueError, match="at least one file"):
        draft.publish({})


@pytest.mark.parametrize("end", ["publish", "discard"])
def test_a_draft_takes_no_file_after_its_end(tmp_path, end):
    with Draft.create(tmp_path, NEW) as draft:
        draft.write_json("a.json", {})
        draft.publish({}) if end == "publish" else draft.discard()
        for act in (lambda: draft.write_json("b.json", {}), lambda: draft.publish({})):
            with pytest.raises(ValueError, match="after `publish` or `discard`"):
                act()


def test_the_same_version_published_twice_is_one_version(tmp_path):
    names = {published(tmp_path, lambda draft: draft.write_json("a.json", {"x": 1})).name for _ in range(2)}
    assert len(names) == 1 and not list(tmp_path.glob(".draft-*"))


@pytest.mark.parametrize("kind", ["link", "pipe", "strange name"])
def test_a_draft_with_something_else_than_plain_files_is_not_published(tmp_path, kind):
    with pytest.raises(ModelRefused, match="should be"), Draft.create(tmp_path / "models", NEW) as draft:
        folder = draft.path("a.json").parent
        if kind == "link":
            (folder / "a.json").symlink_to("/etc/passwd")
        elif kind == "pipe":
            os.mkfifo(folder / "a.json")
        else:
            (folder / ".a json").write_bytes(b"")
        draft.publish({})
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_a_draft_whose_arrays_could_not_be_read_is_not_published(tmp_path):
    with (
        pytest.raises(ModelRefused, match=r"broken.h5 should be a readable HDF5 file"),
        Draft.create(tmp_path, NEW) as draft,
    ):
        draft.path("broken.h5").write_bytes(b"not HDF5")
        draft.publish({})


# --- what may not be read ---


def external_link(file: h5py.File) -> None:
    with h5py.File("secret.h5", "w") as secret:
        secret["x"] = np.arange(3)
    file["x"] = h5py.ExternalLink("secret.h5", "/x")


def soft_link(file: h5py.File) -> None:
    file["real"] = np.arange(3)
    file["deep/x"] = h5py.SoftLink("/real")


def virtual_dataset(file: h5py.File) -> None:
    with h5py.File("secret.h5", "w") as secret:
        secret["x"] = np.arange(3)
    layout = h5py.VirtualLayout((3,), np.int64)
    layout[:] = h5py.VirtualSource("secret.h5", "x", (3,))
    file.create_virtual_dataset("x", layout)


def external_storage(file: h5py.File) -> None:
    Path("secret.bin").write_bytes(bytes(80))
    file.create_dataset("x", (10,), np.int64, external=[("secret.bin", 0, 80)])


def compressed_bomb(file: h5py.File) -> None:
    file.create_dataset("x", data=np.zeros(10_000_000, np.int8), compression="gzip")


def unwritten_bomb(file: h5py.File) -> None:
    file.create_dataset("x", (2**40,), np.float32, chunks=(1024,))


def unwritten_contiguous_bomb(file: h5py.File) -> None:
    file.create_dataset("x", (2**40,), np.float32)


def overflowing_shape(file: h5py.File) -> None:
    file.create_dataset("x", (2**31, 2**31, 4), np.float32, chunks=(1, 1, 1))


def false_layout(file: h5py.File) -> None:
    """Declare 4 TiB, and claim that they are stored, by changing the numbers in the file."""
    file.create_dataset("x", data=np.zeros(12_345, np.float32))
    path = Path(file.filename)
    file.close()
    data = path.read_bytes()
    for right, wrong in ((12_345, 2**40), (4 * 12_345, 2**42)):
        assert data.count(right.to_bytes(8, "little")) >= 1
        data = data.replace(right.to_bytes(8, "little"), wrong.to_bytes(8, "little"))
    path.write_bytes(data)


def loop(file: h5py.File) -> None:
    file["a/x"] = np.arange(3)
    file["a/b"] = file["a"]


def loop_to_the_root(file: h5py.File) -> None:
    file["a/x"] = np.arange(3)
    file["a/b"] = file["/"]


def one_array_twice(file: h5py.File) -> None:
    file["a"] = np.arange(3)
    file["b"] = file["a"]


def text(file: h5py.File) -> None:
    file["x"] = "text"


def texts(file: h5py.File) -> None:
    file.create_dataset("x", data=["a", "b"], dtype=h5py.string_dtype())


def references(file: h5py.File) -> None:
    file.create_dataset("x", data=[file.ref], dtype=h5py.ref_dtype)


def ragged(file: h5py.File) -> None:
    file.create_dataset("x", (2,), dtype=h5py.vlen_dtype(np.int32))


def booleans(file: h5py.File) -> None:
    file["x"] = np.array([True])


def compound(file: h5py.File) -> None:
    file["x"] = np.zeros(2, "i4,f4")


def opaque(file: h5py.File) -> None:
    file["x"] = np.zeros(2, "V8")


def complex_numbers(file: h5py.File) -> None:
    file["x"] = np.zeros(2, np.complex64)


def committed_type(file: h5py.File) -> None:
    file["x"] = np.dtype("f4")


def null_space(file: h5py.File) -> None:
    file["x"] = h5py.Empty("f4")


REFUSED = {
    external_link: "a soft or external link at `x`",
    soft_link: "a soft or external link at `deep/x`",
    virtual_dataset: "`x` lies in another file",
    external_storage: "`x` lies in another file",
    compressed_bomb: "`x` declares 10000000 bytes and stores",
    unwritten_bomb: f"`x` declares {2**42} bytes and stores 0",
    unwritten_contiguous_bomb: f"`x` declares {2**42} bytes and stores 0",
    overflowing_shape: f"`x` declares {2**66} bytes and stores 0",
    false_layout: "should be a readable HDF5 file",
    loop: "a second link to `a/b`",
    loop_to_the_root: "a second link to `a/b`",
    one_array_twice: "a second link to `b`",
    text: "object at `x`",
    texts: "object at `x`",
    references: "object at `x`",
    ragged: "object at `x`",
    booleans: "bool at `x`",
    compound: "at `x`",
    opaque: "|V8 at `x`",
    complex_numbers: "complex64 at `x`",
    committed_type: "Datatype at `x`",
    null_space: "Dataset at `x`",
}


@pytest.mark.parametrize("write", REFUSED, ids=lambda write: write.__name__)
def test_an_hdf5_file_with_more_than_plain_arrays_is_refused(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    version = crafted(tmp_path / "models", write)
    with pytest.raises(ModelRefused) as caught:
        version.arrays("x.h5.crafted")
    assert str(caught.value).startswith(f"{version.name}/x.h5.crafted should ")
    assert REFUSED[write] in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4", b"\x80\x04.", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + b"\xff" * 1000], ids=repr
)
def test_what_is_no_hdf5_is_refused(tmp_path, data):
    version = published(tmp_path, lambda draft: draft.path("weights.bin").write_bytes(data))
    with pytest.raises(ModelRefused, match=r"weights.bin should be a readable HDF5 file"):
        version.arrays("weights.bin")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_hdf5_is_refused_or_read_never_anything_else(tmp_path, data):
    """The parser itself, without the hashes that keep such files away from it."""
    from recsys.artifacts.hdf5 import read_arrays, write_arrays

    path = tmp_path / "a.h5"
    write_arrays(path, {"vars/item_factors": np.arange(8, dtype=np.float32), "b": np.array([b"x"])})
    damaged = bytearray(path.read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged)
    try:
        arrays = read_arrays(path, "a.h5")
    except ModelRefused as error:
        assert str(error).startswith("a.h5 should ")
    else:
        assert sum(array.nbytes for array in arrays.values()) <= path.stat().st_size


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"NaN", b"[" * 100_000])
def test_json_of_a_version_that_is_no_json_is_refused(tmp_path, data):
    version = published(tmp_path, lambda draft: draft.path("a.json").write_bytes(data))
    with pytest.raises(ModelRefused, match=r"a.json should be valid JSON"):
        version.json("a.json")


def test_json_comes_back_as_it_was_written(tmp_path):
    value = {"ü": [1, 2.5, None, True, "\u2028 \U0001f600"], "big": 2**63, "nested": {"": []}}
    assert published(tmp_path, lambda draft: draft.write_json("a/b.json", value)).json("a/b.json") == value


# --- Keras ---

KERAS = """
import sys
import keras, numpy as np

class BMF(keras.Model):
    def __init__(self):
        super().__init__()
        self.item_factors = self.add_weight(shape=(300, 4), name="item_factors", initializer="random_normal")
        self.tower = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.1), keras.layers.Dense(1)])
        self.order = keras.layers.GRU(2)

    def call(self, x):
        rows = keras.ops.matmul(x, self.item_factors)
        return self.tower(rows) + self.order(rows[:, None, :])[:, :1]

    def save_own_variables(self, store):
        store["item_factors"] = self.item_factors.numpy()
        store["bias"] = np.float32(0.5)

    def load_own_variables(self, store):
        self.item_factors.assign(store["item_factors"])

keras.utils.set_random_seed(7)
model = BMF()
model.compile("adam", "mse")
model.fit(np.ones((8, 300), "f4"), np.ones((8, 1), "f4"), verbose=0)
model.save_weights(sys.argv[1])
layers = model.tower.layers
dense, gru = layers[0].kernel.numpy(), model.order.cell.kernel.numpy()
np.savez(sys.argv[2], item_factors=model.item_factors.numpy(), dense=dense, gru=gru)
"""


@pytest.mark.slow
def test_weights_that_keras_saved_are_read_without_keras(tmp_path):
    def save(draft: Draft) -> None:
        environ = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, "-c", KERAS, str(draft.path("bmf_model.weights.h5")), str(tmp_path / "expected.npz")]
        finished = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, env=environ, check=False)
        assert finished.returncode == 0, finished.stderr

    version = published(tmp_path / "models", save)
    expected = np.load(tmp_path / "expected.npz", allow_pickle=False)
    arrays = version.arrays("bmf_model.weights.h5")
    assert same(arrays["vars/item_factors"], expected["item_factors"]) and arrays["vars/bias"] == np.float32(0.5)
    assert same(arrays["layers/sequential/layers/dense/vars/0"], expected["dense"])
    assert same(arrays["layers/gru/cell/vars/0"], expected["gru"])
    assert not any(name.startswith("optimizer") for name in arrays)
    assert is_mapped(version.arrays("bmf_model.weights.h5")["vars/item_factors"])


def test_the_layout_of_keras_is_read_without_its_optimizer_state(tmp_path):
    def write(file: h5py.File) -> None:
        file["vars/item_factors"] = np.ones((3, 2), np.float32)
        file["vars"].attrs["name"] = "bmf"
        file["layers/dense/vars/0"] = np.zeros((2, 1), np.float32)
        file.create_group("layers/dropout/vars")
        file["_layer_checkpoint_dependencies/dense/vars/0"] = np.zeros((2, 1), np.float32)
        file["optimizer/vars/0"] = np.int64(7)

    arrays = crafted(tmp_path, write).arrays("x.h5.crafted")
    assert sorted(arrays) == ["layers/dense/vars/0", "vars/item_factors"]


# --- layouts: a manifest that says where the arrays lie ---


def unlaid(models_dir: Path, version: Version) -> Version:
    """Return the same version by a publisher that did not write layouts yet."""
    manifest = json.loads((version.path / "manifest.json").read_text())
    for entry in manifest["files"]:
        del entry["layout"]
    return rewritten(models_dir, version, manifest)


def rewritten(models_dir: Path, version: Version, manifest: dict[str, object]) -> Version:
    """Return a version of the same files under another manifest, properly named."""
    data = to_json(manifest)
    name = version_name(str(manifest["created"]), data)
    shutil.copytree(version.path, models_dir / name)
    (models_dir / name / "manifest.json").write_bytes(data)
    return open_version(models_dir, name)


def test_a_layout_gives_what_the_file_gives(tmp_path: Path) -> None:
    arrays = {**ARRAYS, "scalar": np.float32(3), "empty": np.zeros((0, 4), np.float32), "odd": np.array([b"abc"] * 3)}
    with (
        published(tmp_path, lambda draft: draft.write_arrays("a.h5", arrays)) as laid,
        unlaid(tmp_path, laid) as parsed,
    ):
        assert laid._entries["a.h5"].layout is not None
        assert parsed._entries["a.h5"].layout is None
        known, read = laid.arrays("a.h5"), parsed.arrays("a.h5")

    assert list(known) == list(read)
    assert [name for name in read if not same(known[name], read[name])] == []
    mapped = {name for name in known if is_mapped(known[name])}
    assert {name for name in mapped if known[name].size} == {name for name in read if is_mapped(read[name])}
    assert mapped
    assert not any(array.flags.writeable for array in known.values())
    assert all(array.flags.aligned for array in known.values())


def test_a_file_with_chunks_has_no_layout(tmp_path: Path) -> None:
    def write(draft: Draft) -> None:
        with h5py.File(draft.path("pieces.h5"), "w") as file:
            file.create_dataset("x", data=np.arange(100.0), chunks=(10,))

    with published(tmp_path, write) as version:
        assert [entry.layout for entry in version._entries.values()] == [None]
        assert version.arrays("pieces.h5")["x"].tolist() == list(range(100))


@pytest.mark.parametrize(
    "place",
    [
        ["<f4", 10**9],
        ["<f4", -4],
        ["<f4", 2**63],
        ["<f4", "0"],
        ["<f4", None],
        ["|O", 0],
        ["<M8[s]", 0],
        ["<f4,<f4", 0],
        ["no dtype", 0],
        ["<f4"],
        "x",
        None,
    ],
    ids=repr,
)
def test_a_false_layout_is_refused(tmp_path: Path, place: object) -> None:
    with published(tmp_path, lambda draft: draft.write_arrays("a.h5", {"x": np.ones(200, np.float32)})) as version:
        manifest = json.loads((version.path / "manifest.json").read_text())
        manifest["files"][0]["layout"]["x"] = place
        with (
            rewritten(tmp_path, version, manifest) as false,
            pytest.raises(ModelRefused, match="should be laid out as its manifest says"),
        ):
            false.arrays("a.h5")


@pytest.mark.parametrize("shapes", [{"x": [10**9]}, {"x": [-1]}, {"x": ["200"]}, {"x": 200}, {}], ids=repr)
def test_a_false_shape_is_refused(tmp_path: Path, shapes: object) -> None:
    with published(tmp_path, lambda draft: draft.write_arrays("a.h5", {"x": np.ones(200, np.float32)})) as version:
        manifest = json.loads((version.path / "manifest.json").read_text())
        manifest["files"][0]["shapes"] = shapes
        with (
            rewritten(tmp_path, version, manifest) as false,
            pytest.raises(ModelRefused, match="should be laid out as its manifest says"),
        ):
            false.arrays("a.h5")


@pytest.mark.parametrize("table", ["layout", "shapes"])
def test_a_layout_that_is_no_object_is_refused_before_anything_is_read(tmp_path: Path, table: str) -> None:
    with published(tmp_path, lambda draft: draft.write_arrays("a.h5", {"x": np.ones(200, np.float32)})) as version:
        manifest = json.loads((version.path / "manifest.json").read_text())
        manifest["files"][0][table] = [1]
        with pytest.raises(ModelRefused, match=rf"`{table}` of a\.h5 should be an object\. Received: \[1\]\."):
            rewritten(tmp_path, version, manifest)
