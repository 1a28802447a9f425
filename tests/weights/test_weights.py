"""Reading an untrusted file of weights never runs anything in it."""

import ast
import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.training.warm_start import read_source
from pneumojax.weights import hdf5

ROOT = Path(__file__).parents[2]
SUFFIXES = [
    *("pt", "pth", "pkl", "pickle", "ckpt", "bin", "npy", "npz"),
    *("keras", "h5", "weights.h5", "safetensors"),
]


class Marks:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def of_objects(marks):
    stream = io.BytesIO()
    np.save(stream, np.array([marks], object))
    return stream.getvalue()


def of_torch(marks):
    """A ZIP with a pickle in it, as torch writes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(marks))
        archive.writestr("archive/version", "3")
    return stream.getvalue()


@pytest.mark.parametrize("pack", [pickle.dumps, of_objects, of_torch])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pickle_is_never_loaded_whatever_it_is_called(tmp_path, pack, suffix):
    marker = tmp_path / "marker"
    data = pack(Marks(marker))
    pickle.loads(pickle.dumps(Marks(marker)))
    assert marker.exists()  # unpickling does run it
    marker.unlink()
    (tmp_path / f"w.{suffix}").write_bytes(data)
    with pytest.raises(UserError) as told:
        read_source(tmp_path / f"w.{suffix}")
    assert not marker.exists()
    assert len(str(told.value).splitlines()) == 1
    if suffix in ("pt", "pth", "pkl", "npy"):
        assert "docs/inception_v3.md tells how to convert" in str(told.value)


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def hdf5_file(write):
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        write(file)
    return stream.getvalue()


def test_the_network_that_a_keras_file_describes_is_not_built(tmp_path):
    """Keras would call the function that config.json names; we never read that file."""
    marker = tmp_path / "marker"
    lambda_layer = {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"code": "x"}}},
    }
    called = {"module": "pathlib", "class_name": "function", "config": str(marker)}
    weights = hdf5_file(lambda f: f.create_dataset("layers/dense/vars/0", data=np.ones((3, 3))))
    for config in (lambda_layer, called, "no JSON"):
        path = archive(
            tmp_path / "w.keras",
            {"config.json": json.dumps(config), "metadata.json": "{}", "model.weights.h5": weights},
        )
        with pytest.raises(UserError, match="holds 1 arrays; Inception-v3 has 376"):
            read_source(path)
    assert not marker.exists()


@pytest.mark.parametrize("suffix", ["h5", "weights.h5", "keras"])
def test_hdf5_that_points_elsewhere_or_asks_for_much_is_refused(tmp_path, suffix):
    (tmp_path / "secret").write_bytes(bytes(400))

    def external(file):
        file.create_dataset("w", (100,), "f4", external=[(str(tmp_path / "secret"), 0, 400)])

    def virtual(file):
        layout = h5py.VirtualLayout((1,), "f4")
        layout[0] = h5py.VirtualSource(str(tmp_path / "other.h5"), "w", (1,))[0]
        file.create_virtual_dataset("w", layout)

    def link(file):
        file["group/w"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "w")

    def large(file):
        file.create_dataset("w", (1 << 40,), "f4", chunks=True, compression="gzip")

    def objects(file):
        file.create_dataset("w", data=["text"])

    for write, told in (
        (external, "'w' lies in another file"),
        (virtual, "'w' lies in another file"),
        (link, "links to elsewhere"),
        (lambda file: file.__setitem__("w", h5py.SoftLink("/x")), "links to elsewhere"),
        (large, "too large"),
        (objects, "no array of numbers"),
    ):
        path, data = tmp_path / f"w.{suffix}", hdf5_file(write)
        path.write_bytes(data)
        if suffix == "keras":
            archive(path, {"model.weights.h5": data})
        with pytest.raises(UserError, match=told):
            read_source(path)


def test_an_archive_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "LARGEST", 1 << 20)
    path = archive(tmp_path / "w.keras", {"model.weights.h5": bytes(1 << 21)})
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match="unpacks to 2,097,152 bytes: too large"):
        read_source(path)
    archive(path, {"../model.weights.h5": b"x"})
    with pytest.raises(UserError, match="no file of Keras's"):
        read_source(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_that_does_not_unpack_is_refused_in_one_line(method, tmp_path):
    path, name = tmp_path / "w.keras", "model.weights.h5"
    for damage in (b"\xff" * 20, b""):  # in place of 20 bytes of the packed stream
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr(name, np.random.default_rng(0).integers(0, 4, 10_000, "u1").tobytes())
        data, begin = path.read_bytes(), 30 + len(name)
        path.write_bytes(data[: begin + 12] + damage + data[begin + 32 :])
        with pytest.raises(UserError, match=r"w\.keras' is no file of Keras's"):
            read_source(path)


def test_nothing_here_unpickles_or_evaluates():
    forbidden = {"pickle", "dill", "joblib", "marshal", "shelve", "cloudpickle", "yaml", "torch"}
    for path in (ROOT / "main.py", *(ROOT / "pneumojax").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "asname")]
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not forbidden & {name.split(".")[0] for name in names}, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("eval", "exec", "os.system"), path
                unsafe = [k for k in node.keywords if k.arg in ("allow_pickle", "shell")]
                assert not [k for k in unsafe if ast.unparse(k.value) != "False"], path
