"""The texts of a DICOM header that can become facts about a film, and what they say.

No other text of a header is read. The values come from strangers' files, so only the codes that are
known here are passed on; an ID of a patient is passed on as it is, for `data` to hash.
"""

import re
from collections.abc import Mapping

# The keyword of each element, and the column of a table that it corresponds to.
COLUMNS = {
    "PatientID": "patient",
    "PatientAge": "age",
    "PatientSex": "sex",
    "ViewPosition": "view",
}
MAX_TEXT = 256  # bytes; the longest is PatientID, with 64 characters

_LATERAL = ("LL", "RL", "LATERAL", "LAT")
# The defined terms of ViewPosition for chest films (PS3.3, C.8.1.1), and those of public data sets.
_VIEWS = (*_LATERAL, "AP", "PA", "LLD", "RLD", "LLO", "RLO")
_SEXES = ("M", "F", "O")
_AGE = re.compile(r"(\d{1,3})([YMWD])")  # type AS (PS3.5, 6.2), as in "045Y" or "006M"
_A_YEAR = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}


def is_lateral(header: Mapping[str, str]) -> bool:
    """Whether the ViewPosition of a header says that the film is a lateral view."""
    return header.get("ViewPosition", "").upper() in _LATERAL


def metadata(header: Mapping[str, str]) -> dict[str, str]:
    """The values of a header by column, "" for a missing value or one without a meaning.

    Age is in years, such as "45" or "0.5". Sex is "M", "F" or "O". View is a code in capitals.
    """
    values = {COLUMNS[name]: text.strip() for name, text in header.items()}
    for column, known in (("sex", _SEXES), ("view", _VIEWS)):
        if column in values and (code := values[column].upper()):
            values[column] = code if code in known else ""
    if "age" in values:
        match = _AGE.fullmatch(values["age"].upper())
        values["age"] = f"{int(match[1]) / _A_YEAR[match[2]]:.4g}" if match else ""
    return values
