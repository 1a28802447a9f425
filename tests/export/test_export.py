"""Exports answer as the run does, in a process without PneumoJAX too."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from pneumojax.api.load import load
from pneumojax.errors import UserError
from pneumojax.export.export import DTYPES, FILES, export, logits_of
from pneumojax.inference.predictor import Predictor
from pneumojax.run.film_list import FILM_COLUMNS
from pneumojax.run.stored_config import WEIGHTS
from pneumojax.run.weights_folder import META
from pneumojax.shipped import reference_run

ROOT = Path(__file__).parents[2]
REAL_FILMS = ROOT.parent / "shared" / "data" / "chest_xray_full_sample"
PROBABILITY_TOLERANCE = 1e-4  # sums of float32 in another order


@pytest.fixture
def published(workdir, tmp_path):
    """A published folder of the run."""
    patient = ["a.jpeg", "train", "0", "person1", "1", "none", "ab12"]
    rows = [",".join(FILM_COLUMNS), ",".join(patient)]
    (workdir / "films.csv").write_text("\n".join(rows) + "\n")
    folder = tmp_path / "published"
    export(Predictor.open([workdir]), folder, "safetensors")
    return folder


def test_a_published_network_answers_with_the_same_bits(workdir, published, film_paths):
    run, other = load(workdir).predict(film_paths), load(published).predict(film_paths)
    assert [row.probability for row in run] == [row.probability for row in other]
    assert [row.call for row in run] == [row.call for row in other]
    opened = [Predictor.open([folder]) for folder in (workdir, published)]
    np.testing.assert_array_equal(*(p.logits(p.read(film_paths)) for p in opened))


def test_a_published_network_names_no_patient_and_no_path(published, films_root):
    texts = [path.read_bytes() for path in published.iterdir()]
    for private in (b"person1", b"a.jpeg", bytes(films_root.parent)):
        assert not any(private in text for text in texts)
    assert b"hash-" in (published / "films.csv").read_bytes()
    assert (published / "README.md").read_text().startswith("---\nlibrary_name: pneumojax\n")


def test_a_changed_byte_of_the_weights_is_noticed(published):
    data = bytearray((published / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (published / WEIGHTS).write_bytes(data)
    with pytest.raises(UserError, match="is damaged"):
        load(published)


def test_a_changed_threshold_is_noticed(published):
    meta = json.loads((published / META).read_text())
    meta["decision"]["threshold"] = 0.9
    (published / META).write_text(json.dumps(meta))
    with pytest.raises(UserError, match="is damaged"):
        load(published)


def test_weights_cut_short_end_in_one_line(published):
    (published / WEIGHTS).write_bytes((published / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(UserError, match="^cannot read") as error:
        load(published)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("form", "dtype", "told"),
    [
        ("stablehlo", "float16", "float16 is for onnx"),
        ("safetensors", "int8", "int8 is for onnx"),
        ("onnx", "int8", "int8 needs films"),
    ],
)
def test_a_combination_that_does_not_exist_is_refused(workdir, tmp_path, form, dtype, told):
    with pytest.raises(UserError, match=told):
        export(Predictor.open([workdir]), tmp_path / "out", form, dtype)
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_refused(workdir):
    with pytest.raises(UserError, match="name a new or empty folder") as error:
        export(Predictor.open([workdir]), workdir, "safetensors")
    assert error.value.flag == "output"


@pytest.mark.slow
def test_several_runs_become_one_file_that_answers_with_their_mean(workdir, tmp_path, film_paths):
    from jax import tree

    from pneumojax.run.weights_folder import write_weights

    other = tmp_path / "other"
    export(Predictor.open([workdir]), other, "safetensors")
    run = Predictor.open([other]).first
    write_weights(other, tree.map(lambda leaf: leaf / 2, run.params), run.meta)
    pair = Predictor.open([workdir, other])
    export(pair, tmp_path / "out", "stablehlo", films=film_paths)
    data, pixels = (tmp_path / "out" / FILES["stablehlo"]).read_bytes(), pair.read(film_paths)
    want = pair.combine(pair.logits(pixels))[0]
    np.testing.assert_allclose(logits_of(data, "stablehlo", pixels), want, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_type_of_onnx_is_near_the_network(workdir, tmp_path, film_paths, dtype):
    exported = export(Predictor.open([workdir]), tmp_path / "out", "onnx", dtype, film_paths)
    # One step of the type: 1e-3 for float16, and 1 in 255 of each range for int8.
    limits = {"float32": 1e-4, "float16": 1e-2, "int8": 0.1}
    assert exported.difference <= limits[dtype]


def program_of_the_docs():
    text = (ROOT / "docs" / "export.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    (program,) = [block for block in blocks if "onnxruntime" in block]
    return program


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """`(form) -> a folder` with the released network, whose films are decoded at a reduced size."""

    @cache
    def exported(form):
        folder = tmp_path_factory.mktemp(form) / "out"
        export(Predictor.open([reference_run()]), folder, form)
        return folder

    return exported


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "stablehlo"])
@pytest.mark.parametrize("kind", ["drawn", "real"])
def test_a_file_answers_like_predict_without_this_project(
    form, kind, tmp_path, film_paths, released
):
    if kind == "real" and not REAL_FILMS.is_dir():
        pytest.skip("the real films are not on this machine")
    files = sorted(REAL_FILMS.rglob("*.jpeg"))[::4] if kind == "real" else film_paths
    (tmp_path / "answer.py").write_text(
        "import sys\nsys.modules['pneumojax'] = None  # an import of it fails\n"
        + program_of_the_docs()
    )
    done = subprocess.run(
        [sys.executable, "answer.py", str(released(form)), *map(str, files)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    rows = list(load().predict(files))
    assert [line["call"] for line in found] == [row.call for row in rows]
    np.testing.assert_allclose(
        [line["probability"] for line in found],
        [row.probability for row in rows],
        atol=PROBABILITY_TOLERANCE,
    )
