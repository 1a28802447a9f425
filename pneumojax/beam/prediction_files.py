"""The contents of a file of predictions, as CSV and as Parquet."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pneumojax.files import read_csv
from pneumojax.predict.output import COLUMNS, csv_of
from pneumojax.predict.prediction import Prediction, RunStamp

_NUMBERS = ("probability", "threshold", "deviation", "lowest", "highest")


def parquet_of(predictions: Iterable[Prediction], stamp: RunStamp) -> bytes:
    """The columns of `csv_of` as Parquet: numbers are float64, and a missing one is null.

    Bytes of a file name that are not UTF-8 are written as "\\\\udc80" to "\\\\udcff".
    """
    import pyarrow
    import pyarrow.parquet

    rows = [vars(each) | vars(stamp) for each in predictions]
    columns = {
        name: pyarrow.array(
            [_cell(row[name]) for row in rows],
            pyarrow.float64() if name in _NUMBERS else pyarrow.string(),
        )
        for name in COLUMNS
    }
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        value = "; ".join(value)
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


FORMATS: dict[str, Callable[[Sequence[Prediction], RunStamp], bytes]] = {
    ".csv": csv_of,
    ".parquet": parquet_of,
}


def read_calls(file: Path) -> list[str]:
    """The call of each film in a file of predictions; "" for a film that could not be read."""
    if file.suffix == ".csv":
        return [row["call"] for row in read_csv(file)]
    import pyarrow.parquet

    return pyarrow.parquet.read_table(file, columns=["call"]).column("call").to_pylist()
