"""Small films and a small network for every test. Nothing needs network access or many seconds."""

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from pneumojax.data.tensorflow_import import quiet

# Most of a small run's time is compilation, and many tests compile the same few steps, so this
# process and those that tests start share a compilation cache. JAX reads the variables when it is
# imported. The workers of pytest-xdist share the folder of the process that started them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="pneumojax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
quiet()


@pytest.fixture(scope="session")
def films_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the Kaggle layout: 70 training and 14 test films, with patients in the names."""
    from pneumojax.data import phantom_films

    root = tmp_path_factory.mktemp("films")
    phantom_films.write_films(
        root,
        train={"none": 28, "bacteria": 22, "virus": 20},
        test={"none": 6, "bacteria": 4, "virus": 4},
    )
    return root


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of decoded films for the whole session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def on_virtual_devices() -> Callable[[str, int], str]:
    """`(program, count) -> its output`, from a process whose CPU is divided into devices."""

    def run(program: str, count: int) -> str:
        flag = f"--xla_force_host_platform_device_count={count}"
        result = subprocess.run(
            [sys.executable, "-c", program],
            env=dict(os.environ, XLA_FLAGS=flag, PYTHONPATH="."),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture(scope="session")
def make_config(films_root: Path) -> Callable[[], ConfigDict]:
    """Returns `configs/base.py` made small: 32 pixels, a narrow network, batches of 16."""
    from pneumojax.configs import base

    def make() -> ConfigDict:
        config = base.get_config()
        config.data.root = str(films_root)
        config.data.image_size = 32
        config.data.val_fraction = 0.2
        config.model.stem = (4, 4, 8)
        config.model.modules = ((4, 4, 8, 2, 4, 4),)
        config.batch_size = 16
        config.epochs = 2
        config.checkpoint.every_steps = 2
        return config.lock()

    return make


@pytest.fixture
def config(make_config: Callable[[], ConfigDict]) -> ConfigDict:
    """The config of `make_config`; a test may change it."""
    return make_config()


@pytest.fixture(scope="session")
def make_dicom() -> Callable[..., bytes]:
    """`(pixels, codec="", **elements) -> a DICOM file` of somebody named Secret^Name."""
    import imagecodecs
    import pydicom
    from pydicom import uid
    from pydicom.encaps import encapsulate

    def lossless(pixels, bits):
        return imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits)

    def jpeg_2000(pixels, bits):
        return imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", bitspersample=bits)

    codecs = {
        "baseline": (
            uid.JPEGBaseline8Bit,
            lambda pixels, bits: imagecodecs.jpeg8_encode(pixels, 100),
        ),
        "lossless": (uid.JPEGLosslessSV1, lossless),
        "lossless, any predictor": (uid.JPEGLossless, lossless),
        "ls": (uid.JPEGLSLossless, lambda pixels, bits: imagecodecs.jpegls_encode(pixels)),
        "2000": (uid.JPEG2000Lossless, jpeg_2000),
    }
    plain = {
        "": uid.ExplicitVRLittleEndian,
        "implicit": uid.ImplicitVRLittleEndian,
        "big endian": uid.ExplicitVRBigEndian,
        "deflated": uid.DeflatedExplicitVRLittleEndian,
    }

    def make(pixels, codec="", *, meta=True, **elements) -> bytes:
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.SOPClassUID, data.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2"
        data.PatientName, data.PatientID, data.PatientBirthDate = "Secret^Name", "ID-77", "20200131"
        data.Rows, data.Columns = pixels.shape[:2]
        data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        if pixels.ndim == 3:
            data.PlanarConfiguration = 0
        data.BitsAllocated = 8 * pixels.itemsize
        data.BitsStored = elements.get("BitsStored", data.BitsAllocated)
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(pixels.dtype.kind == "i")
        data.PixelData = pixels.astype(
            pixels.dtype.newbyteorder("><"[codec != "big endian"])
        ).tobytes()
        data["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
        data.file_meta.TransferSyntaxUID = plain.get(codec, uid.ExplicitVRLittleEndian)
        if codec in codecs:
            data.file_meta.TransferSyntaxUID, encode = codecs[codec]
            data.PixelData = encapsulate([encode(pixels, data.BitsStored)])
            data["PixelData"].is_undefined_length = True
        elif codec == "rle":
            data.compress(uid.RLELossless, generate_instance_uid=False)
        for name, value in elements.items():
            setattr(data, name, value)
            if value is None:
                delattr(data, name)
        stream = io.BytesIO()
        if meta:
            data.save_as(stream, enforce_file_format=True)
        else:
            del data.file_meta
            data.save_as(stream, implicit_vr=codec == "implicit", little_endian=True)
        return stream.getvalue()

    return make
