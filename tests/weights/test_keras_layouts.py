"""Every array of a Keras file gets its path in our network, whatever version wrote the file."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.weights.keras_files import read_keras
from tests.weights.keras_layouts import LAYOUTS, archive_bytes, contents, hdf5_bytes

ROOT = Path(__file__).parents[2]


def assert_exact(path, layout, channels, classes):
    found = read_keras(path).arrays
    expected = contents(layout, channels, classes)
    assert len(found) == len(expected) == (378 if classes else 376)
    for place, shape, value in expected.values():
        assert found[place].shape == shape and found[place].dtype == np.float32
        assert (found[place] == value).all(), place


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, classes",
    [*((name, 2) for name in LAYOUTS), ("published", 0), ("tf.keras, save", 0), ("Keras 3", 0)],
)
def test_each_array_gets_its_path_once(tmp_path, name, classes):
    layout = LAYOUTS[name]
    channels = 1 if classes else 3
    path = tmp_path / "w.h5"
    path.write_bytes(hdf5_bytes(layout, channels, classes))
    assert_exact(path, layout, channels, classes)


@pytest.mark.slow
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_files_packed_and_not_give_the_same_arrays(tmp_path, compression):
    layout = LAYOUTS["Keras 3"]
    data = hdf5_bytes(layout, 1, 1000, compression)
    (tmp_path / "w.weights.h5").write_bytes(data)
    assert_exact(tmp_path / "w.weights.h5", layout, 1, 1000)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (tmp_path / "w.keras").write_bytes(archive_bytes(data, method))
        assert_exact(tmp_path / "w.keras", layout, 1, 1000)


def test_the_contents_decide_what_a_file_is_and_not_its_suffix(tmp_path):
    """Keras 2.10 writes HDF5 into a file called .keras."""
    layout = LAYOUTS["tf.keras, save"]
    (tmp_path / "w.keras").write_bytes(hdf5_bytes(layout))
    assert_exact(tmp_path / "w.keras", layout, 3, 0)


def spoilt(file, name, value=None, shape=None):
    old = file[name]
    shape = old.shape if shape is None else shape
    del file[name]
    file.create_dataset(name, shape, "f4", fillvalue=value)


CONV, NORM = "layers/conv2d_5", "layers/batch_normalization_5"


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda f: f.__delitem__(CONV), "93 convolutions of its kind, and 94 are needed"),
        (lambda f: f.__delitem__(f"{NORM}/vars/2"), "94 are needed"),
        (lambda f: f.__setitem__("layers/conv2d_94/vars/0", f[f"{CONV}/vars/0"][()]), "94 are"),
        (
            lambda f: f.create_dataset("layers/dense_1/vars/0", (2, 2), "f4"),
            "no place for: the arrays of layer 'dense_1'",
        ),
        (lambda f: f.create_dataset("alone", (3,), "f4"), "'alone' that belongs to no layer"),
        (lambda f: spoilt(f, f"{CONV}/vars/0", 0, (1, 1, 7, 7)), r"an array of shape \(1, 1, 7, 7"),
        (lambda f: spoilt(f, "layers/conv2d/vars/0", 0, (3, 3, 4, 32)), r"shape \(3, 3, 4, 32\)"),
        (lambda f: spoilt(f, f"{CONV}/vars/0", np.nan), "values that are not finite, in modules/0"),
        (lambda f: spoilt(f, f"{NORM}/vars/0", np.inf), "values that are not finite"),
        (lambda f: spoilt(f, f"{NORM}/vars/2", -1), "variances below 0"),
        (lambda f: f.move(CONV, "layers/functional/layers/conv2d_5"), "among several networks"),
        (lambda f: f.move(CONV, "layers/conv2d_05x"), "numbers two layers alike"),
    ],
)
def test_anything_but_inception_v3_is_refused_in_one_line(tmp_path, change, told):
    path = tmp_path / "w.weights.h5"
    path.write_bytes(hdf5_bytes(LAYOUTS["Keras 3"], 3, 1, change=change))
    with pytest.raises(UserError, match=told) as refusal:
        read_keras(path)
    assert str(refusal.value).startswith(repr(str(path)))
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.slow
def test_reading_needs_no_tensorflow_and_parses_no_hdf5_in_this_process(tmp_path):
    path = tmp_path / "w.h5"
    path.write_bytes(hdf5_bytes(LAYOUTS["published"]))
    program = (
        "import sys, pathlib, h5py\n"
        "h5py.File = None  # the child process has one of its own\n"
        "from pneumojax.weights.keras_files import read_keras\n"
        f"print(len(read_keras(pathlib.Path({str(path)!r})).arrays))\n"
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "376\n[]\n", done.stderr
