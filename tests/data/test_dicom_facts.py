"""The facts of DICOM headers of several entries are joined as one entry has them."""

import pytest

from pneumojax.data.dicom_metadata import METADATA, HeaderCollector, merge_facts

WANTED = ("PatientID", "PatientAge")
FILMS = [
    [{"PatientID": "7", "PatientAge": "034Y"}, {}],
    [{}],  # no DICOM film, so this part has no file of facts
    [{"PatientID": "8", "ViewPosition": "LATERAL"}, {"PatientAge": "006M"}],
]


def collect(folder, cache, headers, first=0):
    folder.mkdir()
    collector = HeaderCollector(WANTED, cache)
    for number, header in enumerate(headers, start=first):
        collector.add(f"train/{number}", header)
    collector.write(folder)
    return folder


@pytest.mark.parametrize("films", [FILMS, [[{}], [{}]]], ids=["DICOM", "none"])
def test_joined_facts_have_the_bytes_of_one_entry(films, tmp_path):
    counts = [len(part) for part in films]
    parts = [
        collect(tmp_path / str(i), tmp_path, part, sum(counts[:i])) for i, part in enumerate(films)
    ]
    whole = collect(tmp_path / "whole", tmp_path, sum(films, []))
    joined = tmp_path / "joined"
    joined.mkdir()
    merge_facts(joined, parts, counts, WANTED)
    assert [path.name for path in joined.iterdir()] == [path.name for path in whole.glob("*.json")]
    for path in joined.iterdir():
        assert path.name == METADATA and path.read_bytes() == (whole / METADATA).read_bytes()
