"""The TFDS builder on small folders of films, and PneumoniaMNIST as a folder."""

import io
import os
import pickle

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from pneumojax.data.chest_xray import ChestXray, _grey_file
from pneumojax.data.films import find_films
from pneumojax.data.named_sets import export_pneumonia_mnist
from pneumojax.data.patients import identify
from pneumojax.decoding.film import decode_film
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError


def _film(seed=0):
    y, x = np.mgrid[:40, :60]
    return Image.fromarray((60 + 2 * x + y + seed).astype(np.uint8))


def _root(root, seed=0):
    """Makes four films in train, two in test, a text file in val, and an archive's hidden files."""
    for split, count in (("train", 2), ("test", 1)):
        for name, pattern in (("NORMAL", "IM-0001-{}"), ("PNEUMONIA", "person1_virus_{}")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                path = folder / f"{pattern.format(i + seed)}.jpeg"
                _film(10 * i).save(path, quality=98)
                (folder / f"._{path.name}").write_bytes(b"litter")
    (root / "val/NORMAL").mkdir(parents=True)
    (root / "val/NORMAL/text.jpeg").write_text("not a film")
    return root


def _names(dataset):
    return sorted(example["file_name"].decode() for example in tfds.as_numpy(dataset))


@pytest.fixture
def load(tmp_path):
    def load(manual_dir=None, **builder_kwargs):
        kwargs = {}
        if manual_dir is not None:
            config = tfds.download.DownloadConfig(manual_dir=str(manual_dir))
            kwargs["download_and_prepare_kwargs"] = {"download_config": config}
        return tfds.load(
            "chest_xray",
            data_dir=str(tmp_path / "tfds"),
            builder_kwargs=builder_kwargs,
            with_info=True,
            **kwargs,
        )

    return load


def test_every_film_arrives_with_what_its_name_says(tmp_path, load):
    root = _root(tmp_path / "films")
    datasets, info = load(root=root)
    assert set(datasets) == {"train", "test"}  # val has no readable film
    assert info.features["label"].names == ["NORMAL", "PNEUMONIA"]
    assert info.features["image"].shape == (None, None, 1)
    examples = {e["file_name"].decode(): e for e in tfds.as_numpy(datasets["train"])}
    assert set(examples) == {f.path for f in find_films(root).files if f.split == "train"}
    for name, example in examples.items():
        label = int("PNEUMONIA" in name)
        identity = identify(name, label)
        assert example["label"] == label
        assert example["patient"].decode() == identity.patient
        assert example["pathogen"].decode() == identity.pathogen
        stored = np.asarray(Image.open(root / name)).astype(int)
        assert np.abs(example["image"][..., 0] - stored).max() <= 2


def test_a_bad_file_is_left_out_and_counted_in_the_metadata(tmp_path, load):
    load(root=_root(tmp_path / "films"))
    _, info = load(root=tmp_path / "films")  # read back from the prepared data
    assert info.metadata["rejected"] == 1
    assert info.metadata["reasons"] == {"val/NORMAL/text.jpeg": "not a JPEG, PNG or DICOM file"}


def test_a_second_root_is_never_served_the_first_ones_films(tmp_path, load):
    first, second = _root(tmp_path / "a"), _root(tmp_path / "b", seed=5)
    for root in (first, second, first):
        datasets, _ = load(root=root)
        assert _names(datasets["train"]) == [
            f.path for f in find_films(root).files if f.split == "train"
        ]


def test_a_changed_root_is_prepared_anew(tmp_path):
    root = _root(tmp_path / "films")
    before = ChestXray(root=root, data_dir=tmp_path).data_dir
    assert ChestXray(root=root, data_dir=tmp_path).data_dir == before
    os.utime(root / "train/NORMAL/IM-0001-0.jpeg", ns=(1, 1))
    assert ChestXray(root=root, data_dir=tmp_path).data_dir != before


def test_a_second_manual_dir_is_refused(tmp_path, load):
    first, second = _root(tmp_path / "a"), _root(tmp_path / "b", seed=5)
    datasets, _ = load(manual_dir=first)
    assert len(_names(datasets["train"])) == 4
    load(manual_dir=first)
    with pytest.raises(UserError, match="prepared from other films"):
        load(manual_dir=second)


def test_a_flat_folder_is_the_split_train(tmp_path, load):
    root = _root(tmp_path / "films") / "train"
    datasets, _ = load(root=root)
    assert set(datasets) == {"train"}
    assert _names(datasets["train"])[0] == "NORMAL/IM-0001-0.jpeg"


def test_no_root_two_roots_and_no_film_are_each_one_clear_line(tmp_path, load):
    root = _root(tmp_path / "films")
    with pytest.raises(UserError, match="chest_xray: no folder of films"):
        load()
    with pytest.raises(UserError, match="both given"):
        load(root=root, manual_dir=root)
    with pytest.raises(UserError, match=r"chest_xray: .*does not exist"):
        load(root=tmp_path / "nowhere")
    (tmp_path / "empty/NORMAL").mkdir(parents=True)
    with pytest.raises(UserError, match=r"chest_xray: no films"):
        load(root=tmp_path / "empty")
    (tmp_path / "empty/NORMAL/a.jpeg").write_text("text")
    with pytest.raises(UserError, match=r"chest_xray: no readable film"):
        load(root=tmp_path / "empty")


def test_a_pickled_builder_reads_the_same_data(tmp_path):
    builder = ChestXray(root=_root(tmp_path / "films"), data_dir=tmp_path)
    assert pickle.loads(pickle.dumps(builder)).data_dir == builder.data_dir


def test_only_a_plain_grey_jpeg_is_stored_as_it_is():
    def encode(image, kind, **options):
        data = io.BytesIO()
        image.save(data, kind, **options)
        return data.getvalue()

    grey = encode(_film(), "JPEG")
    assert _grey_file(grey) == grey
    turned = Image.Exif()
    turned[0x0112] = 6
    for data, size in (
        (encode(_film().convert("CMYK"), "JPEG"), (60, 40)),
        (encode(_film(), "JPEG", exif=turned), (40, 60)),
        (encode(Image.fromarray(np.asarray(_film()).astype(np.uint16) * 257), "PNG"), (60, 40)),
    ):
        with Image.open(io.BytesIO(_grey_file(data))) as stored:
            assert (stored.format, stored.mode, stored.size) == ("PNG", "L", size)


def test_pneumonia_mnist_becomes_a_folder_like_any_other(tmp_path):
    with tfds.testing.mock_data(num_examples=12):
        root = export_pneumonia_mnist(tmp_path)
    assert root == tmp_path / "pneumonia_mnist"
    folder = find_films(root)
    assert {film.split for film in folder.files} == {"train", "val", "test"}
    assert len(folder.files) == 36 and folder.ignored == 0
    assert {film.label for film in folder.files} == {0, 1}
    assert not any(identify(film.path, film.label).known for film in folder.files)
    film = decode_film((root / folder.files[0].path).read_bytes(), Preprocessing(28))
    assert (film.width, film.height) == (28, 28)
    assert not list(tmp_path.glob(".pneumonia_mnist-*"))
    assert export_pneumonia_mnist(tmp_path) == root  # without the mock; nothing is fetched again


def test_pneumonia_mnist_without_a_network_is_one_clear_line(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise ConnectionError("Failed to resolve 'zenodo.org'\nand much more")

    monkeypatch.setattr(tfds, "load", fail)
    with pytest.raises(UserError, match=r"^pneumonia_mnist: .*zenodo.*check the network") as caught:
        export_pneumonia_mnist(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pneumonia_mnist").exists()


def test_a_dicom_film_is_stored_as_its_grey_picture_alone(make_dicom):
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    stored = _grey_file(make_dicom(grey, "lossless"))
    assert b"Secret" not in stored
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), grey)
