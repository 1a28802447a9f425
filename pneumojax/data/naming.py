"""How the films of a set are named: the classes, the columns of a table and the patients.

These are the fields of `config.data` that describe a set and not a recipe:

- `Classes` (`classes.py`): the names of classes to look for. `ClassNames`,
  a pair of texts, has the names to show. A run's own are "class_names" in its checkpoint.
- `PatientPattern` (`patients.py`): `patient_pattern`, which finds the patient in a film's path.
  A table with a column of patients does not need it.
- `Columns`: the names of the columns of a table that have a meaning. All other columns are kept as
  text in `FilmFolder.columns` and `FilmSet.columns`, with "" for a missing value.
- `dicom_metadata`: the elements of DICOM headers that become patients and columns of a `FilmSet`.
"""

from dataclasses import dataclass, field

from ml_collections import ConfigDict

from pneumojax.data.classes import Classes
from pneumojax.data.patients import PatientPattern


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a table that have a meaning, as `config.data.columns`."""

    path: str = "path"
    label: str = "label"
    patient: str = "patient"  # a table need not have this one
    split: str = "split"  # nor this one


@dataclass(frozen=True)
class FilmNaming:
    """The names that describe a set of films."""

    classes: Classes = field(default_factory=Classes)
    patients: PatientPattern = field(default_factory=PatientPattern)
    columns: Columns = field(default_factory=Columns)
    dicom_metadata: tuple[str, ...] = ()  # keywords, such as "PatientAge"


# The fields of `config.data` that may describe other films than those of the run.
DESCRIBING = ("columns.", "negative", "positive", "ignored", "patient_pattern", "dicom_metadata")
KERMANY = FilmNaming()  # folders NORMAL and PNEUMONIA, and patients in the names of the files


def films_field(config: ConfigDict) -> str:
    """The field that names the films of a config, for the beginning of a message."""
    return "config.data.table" if config.data.table else "config.data.root"


def naming_of(config: ConfigDict) -> FilmNaming:
    """The naming that a checked config describes."""
    data = config.data
    columns = data.columns
    return FilmNaming(
        Classes(tuple(data.negative), tuple(data.positive), tuple(data.ignored)),
        PatientPattern(data.patient_pattern),
        Columns(columns.path, columns.label, columns.patient, columns.split),
        tuple(data.dicom_metadata),
    )
