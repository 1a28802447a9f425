"""Nothing of a DICOM header that names a person reaches a file or the terminal."""

import io
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.datadict import DicomDictionary

ROOT = Path(__file__).parents[1]
TEXTS = ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040, 0x4008)
CHARACTER_SET = 0x00080005
# Shorter texts would occur by chance in pictures and compressed arrays.
MARK, UID, BIRTH = b"ZQX00", b"1.2.777000777", b"19370213"
TINY = (
    "--config=configs/base.py",
    "--config.epochs=1",
    "--config.batch_size=16",
    "--config.data.image_size=32",
    "--config.data.val_fraction=0.3",
    "--config.data.max_rejected_fraction=0.5",
    "--config.data.dicom_metadata=('PatientID','PatientAge','PatientSex','ViewPosition')",
    "--config.model.stem=(4,4,8)",
    "--config.model.modules=((4,4,8,2,4,4),)",
)


def planted(data: bytes, numbers) -> bytes:
    """A DICOM file with its own text in every element of text, and dates of birth in all dates."""
    dataset = pydicom.dcmread(io.BytesIO(data))

    def text():
        return f"{MARK.decode()}{next(numbers):05d}"

    for tag, (vr, *_) in DicomDictionary.items():
        if tag >> 16 in GROUPS and tag != CHARACTER_SET:
            if vr in TEXTS:
                dataset.add_new(tag, vr, text())
            elif vr == "DA":
                dataset.add_new(tag, vr, BIRTH.decode())
            elif vr == "UI" and tag != 0x00080016:
                dataset.add_new(tag, vr, f"{UID.decode()}.{next(numbers)}")
    inner = pydicom.Dataset()
    inner.PatientID, inner.PatientName = text(), text()
    dataset.OtherPatientIDsSequence = [inner]
    block = dataset.private_block(0x0011, text(), create=True)
    block.add_new(1, "LO", text())
    block.add_new(2, "UN", text().encode())
    meta = dataset.file_meta
    meta.ImplementationVersionName = meta.SourceApplicationEntityTitle = text()
    meta.PrivateInformationCreatorUID = f"{UID.decode()}.1"
    meta.PrivateInformation = text().encode()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def damaged(data: bytes) -> dict[str, bytes]:
    """Files that fail in their own ways, each with a text where pydicom may quote it."""
    at = data.index(b"MONOCHROME2")
    return {
        "cut": data[: len(data) * 2 // 3],
        "kind": data[:at] + b"ZQX0000001 " + data[at + 11 :],
        "window": data.replace(b"128.25", b"ZQX001"),
        "set": data.replace(b"ISO_IR 100", b"ZQX0000002"),
        "syntax": data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.777000777.10002\0"),
        "bits": data.replace(b"US\x02\0\x08\0", b"SH\x02\0ZQ"),
    }


@pytest.fixture(scope="module")
def films(tmp_path_factory, films_root, make_dicom):
    """A folder of DICOM films with planted texts: train, test, and six damaged ones."""
    root, numbers = tmp_path_factory.mktemp("films"), itertools.count(10)
    for folder in ("train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"):
        (root / folder).mkdir(parents=True)
        for i, film in enumerate(sorted((films_root / folder).iterdir())[:20]):
            grey = np.asarray(Image.open(film).convert("L"))
            data = make_dicom(
                grey, SpecificCharacterSet="ISO_IR 100", WindowCenter=128.25, WindowWidth=256
            )
            dataset = pydicom.dcmread(io.BytesIO(planted(data, numbers)))
            dataset.PatientAge = f"{i * 5:03d}Y"
            if i % 2:  # the others keep a text that is no code
                dataset.PatientSex, dataset.ViewPosition = "FM"[i % 4 // 2], ("AP", "LL")[i % 3 > 1]
            dataset.save_as(root / folder / f"{i}.dcm")
    whole = (root / "train" / "NORMAL" / "0.dcm").read_bytes()
    for name, contents in damaged(whole).items():
        assert contents != whole
        (root / "train" / "NORMAL" / f"{name}.dcm").write_bytes(contents)
    assert whole.count(MARK) > 600
    return root


def run(*arguments):
    """Runs a command, and returns all that it prints."""
    result = subprocess.run(
        [sys.executable, "main.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        timeout=900,
    )
    assert result.returncode == 0 or arguments[0] == "predict", result.stderr.decode()
    return result.stdout + result.stderr


@pytest.mark.slow
def test_no_text_of_a_header_is_written_or_printed(films, tmp_path):
    workdir, cache = tmp_path / "run", f"--cache_dir={tmp_path / 'cache'}"
    out = [
        run("train", *TINY, f"--config.data.root={films}", f"--workdir={workdir}", cache),
        run("evaluate", f"--workdir={workdir}", "--split=test", cache),
        run("predict", films, f"--workdir={workdir}", f"--overlays={tmp_path / 'maps'}", cache),
        run("predict", films, f"--workdir={workdir}", f"--output={tmp_path / 'all.jsonl'}", cache),
    ]
    printed = b"".join(out)
    assert b"lateral" in printed and b"train/NORMAL/cut.dcm" in printed
    rejected = (workdir / "rejected_films.csv").read_bytes()
    assert rejected.count(b"\n") == 6 and b"ZQ" not in rejected
    report = (workdir / "evaluation" / "test" / "report.html").read_text()
    assert "Subgroups by metadata" in report and "age: 18 to 39" in report
    assert "2 of the films scored are lateral views by their DICOM headers" in report
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 50
    for path in files:
        contents = path.read_bytes()
        for secret in (MARK, UID, BIRTH):
            assert secret not in contents, f"{secret!r} is in {path}"
    assert not any(secret in printed for secret in (MARK, UID, BIRTH))
