"""Says where the patients of films come from, and which column of a table may name them."""

import re
import shlex

import numpy as np

from pneumojax.config.rules import plain
from pneumojax.data.film_set import FilmSet
from pneumojax.data.films import FilmFolder

# Plain names of columns. Others that begin like them, such as "Patient Age", tell something else.
_COLUMN_OF_PATIENTS = re.compile(
    r"(patient|subject|participant|person)(s|id|ids|no|nr|number|name|code|key)?|pid|mrn"
)


def patients_lines(films: FilmSet, folder: FilmFolder) -> list[str]:
    """How many films get their patient from where, and a note on a column that is not used.

    `films` are those of `folder` that can be read.
    """
    naming, told = films.naming, films.facts.patients
    has_column = any(file.patient for file in folder.files)
    is_told = np.zeros(len(films), bool) if told is None else told != ""
    is_known = np.array(films.patients_known, bool)
    column = f"by the column {naming.columns.patient!r}"
    counts = (
        (is_told, column if has_column else "by their DICOM headers"),
        (is_known & ~is_told, f"by config.data.patient_pattern ({naming.patients.rule!r})"),
        (~is_known, "that each count as a patient of their own"),
    )
    parts = [f"{some.sum():,} films {how}" for some, how in counts if some.any()]
    lines = [f"patients: {', '.join(parts)}"]
    unused = [name for name in folder.columns if _COLUMN_OF_PATIENTS.fullmatch(plain(name))]
    # An empty field says that no column is to be used.
    if unused and not has_column and naming.columns.patient:
        field = shlex.quote(f"--config.data.columns.patient={unused[0]}")
        lines.append(
            f"note: the column {unused[0]!r} is not used. {field} keeps the films of a patient "
            "together"
        )
    return lines
