"""Reads the elements of a DICOM file that its picture needs, in bounded time and memory.

pydicom takes about 15 us for each element or item and some microseconds for each number of a list,
and a file can hold millions of them. So reads are counted, and the lengths of values are checked
before pydicom parses them.
"""

import io
import zlib
from collections.abc import Collection
from typing import Literal

from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import _read_file_meta_info, read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.values import converters

from pneumojax.decoding.decompression_limits import MAX_PIXELS
from pneumojax.decoding.dicom_header import MAX_TEXT
from pneumojax.decoding.film_error import FilmError
from pneumojax.decoding.pillow import no_warnings

MAX_READS = 100_000  # an element or item takes one to three; a film has some hundred elements
MAX_VALUE = 1 << 16  # bytes of a number, a list of them or a text
MAX_LUTS = 1 << 20  # bytes of a sequence of tables; the largest table takes 131,072
MAX_TABLE = 1 << 18  # bytes of one table
MAX_ITEMS = 1000  # tables in a sequence

_LUTS = ("ModalityLUTSequence", "VOILUTSequence")
_TAGS = [
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration"),
    *("PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelData"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "VOILUTFunction"),
    *_LUTS,
]
_NUMBERS: list[BaseTag | int] = [Tag(name) for name in _TAGS]
_PIXELS, _TABLES = Tag("PixelData"), [Tag(name) for name in _LUTS]
_UNDEFINED = 0xFFFFFFFF
_CHARACTER_SETS: dict[bytes, Literal["little", "big"]] = {
    b"\x08\0\x05\0": "little",
    b"\0\x08\0\x05": "big",
}
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # in either byte order


class _CountedReads(io.BytesIO):
    """Bytes with a limited number of reads: each iteration of pydicom's loops reads once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MAX_READS

    def read(self, size: int | None = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise FilmError("DICOM of too many elements")
        data = super().read(size)
        if size == 8:
            _check_character_set(data)
        return data


def _check_character_set(header: bytes) -> None:
    """Checks the length of a character set's name, which pydicom converts even if unasked."""
    order = _CHARACTER_SETS.get(header[:4])
    if order is None or header[4:6] == b"CS":  # the length of type CS has 16 bits only
        return
    typed = header[4:6].isalpha() and header[4:6].isupper()
    if typed or int.from_bytes(header[4:8], order) > MAX_VALUE:
        raise FilmError("damaged DICOM")


def read_elements(data: bytes, texts: Collection[str] = ()) -> Dataset:
    """Reads the elements that a picture needs, and the transfer syntax, from a DICOM file.

    `texts` are the keywords of further elements, for `text_of`.

    Raises:
        FilmError: too many elements, values that are too long, or more deflated data than any film
            has.
        Exception: a damaged file may raise nearly any other.
    """
    wanted = [*_NUMBERS, *map(Tag, texts)]
    with no_warnings():  # warnings about invalid values might quote them
        meta, rest = _meta(data)
        if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
            stream = _CountedReads(_inflated(data[rest:]))
            dataset = read_dataset(stream, False, True, None, _check_element, specific_tags=wanted)
            dataset.file_meta = meta
        else:
            stream = _CountedReads(data)
            dataset = read_partial(stream, _check_element, force=True, specific_tags=wanted)
        for name in _LUTS:
            _check_tables(dataset, name)
        for name in _TAGS:  # converts the values, which may warn as well
            dataset.get(name)
    if "TransferSyntaxUID" not in dataset.file_meta:  # pydicom guessed it and does not store it
        _, little = dataset.original_encoding
        # Right for the implicit syntax too, which stores pixels in the same way.
        syntax = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def text_of(dataset: Dataset, keyword: str) -> str:
    """The text of an element as it is stored; "" if it is missing, empty, too long or no text.

    pydicom does not convert it, since that may fail or warn, and a film with a damaged text is
    still a film.
    """
    value = getattr(dataset.get_item(keyword), "value", None)
    if not isinstance(value, bytes) or len(value) > MAX_TEXT:
        return ""
    return value.decode("latin-1").strip(" \0")


def _meta(data: bytes) -> tuple[FileMetaDataset, int]:
    """The file meta information and its end; lengths are checked before it is read."""
    stream = _CountedReads(data)
    read_preamble(stream, True)
    start = stream.tell()
    read_dataset(stream, False, True, stop_when=_check_meta)
    stream.seek(start)
    return _read_file_meta_info(stream), stream.tell()


def _check_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Refuses values that pydicom would take long to convert; True after the last element."""
    if tag >> 16 != 2:
        return True
    # pydicom parses a value of unknown type again, by lengths that are not checked here.
    unknown = vr is not None and vr not in converters
    if unknown or length == _UNDEFINED or (length > MAX_VALUE and vr != "OB"):
        raise FilmError("damaged DICOM")
    return False


def _check_element(tag: BaseTag, vr: str | None, length: int) -> bool:
    """Refuses elements of `_TAGS` that pydicom would take long to convert; always False."""
    if tag not in _NUMBERS or tag == _PIXELS:
        return False
    if tag in _TABLES:
        if length != _UNDEFINED and length > MAX_LUTS:
            raise FilmError("DICOM of too many tables")
    elif vr == "SQ" or length > MAX_VALUE:
        raise FilmError("damaged DICOM")
    return False


def _check_tables(dataset: Dataset, name: str) -> None:
    """Refuses a sequence of too many tables, or with a first table that is too long."""
    raw = getattr(dataset.get_item(name), "value", None)
    if isinstance(raw, bytes) and max(raw.count(item) for item in _ITEMS) > MAX_ITEMS:
        raise FilmError("DICOM of too many tables")
    sequence = dataset.get(name)
    for part in ("LUTDescriptor", "LUTData") if sequence else ():
        element = sequence[0].get_item(part)
        value = getattr(element, "value", None)
        typed = getattr(element, "VR", None)
        if typed == "SQ" or (isinstance(value, bytes) and len(value) > MAX_TABLE):
            raise FilmError("damaged DICOM")


def _inflated(deflated: bytes) -> bytes:
    """Inflates a dataset; a first pass, which stores nothing, checks that it is not too long."""
    inflate, left, most = zlib.decompressobj(-zlib.MAX_WBITS), deflated, 2 * MAX_PIXELS
    while left and not inflate.eof and most > 0:
        most -= len(inflate.decompress(left, 1 << 20))
        left = inflate.unconsumed_tail
    if most <= 0:
        raise FilmError("deflated DICOM: too large")
    return zlib.decompress(deflated, -zlib.MAX_WBITS)
