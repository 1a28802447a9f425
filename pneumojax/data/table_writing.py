"""Writes the films of a folder as a table, which trains to the same bits as the folder."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pneumojax.data.cache import FilmCache, load_split
from pneumojax.data.films import FilmFolder, find_films
from pneumojax.data.naming import Columns, FilmNaming
from pneumojax.data.styles import SIDE, styles_of
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError
from pneumojax.files import failing_clearly, write_csv
from pneumojax.terminal import say

STYLE = "style"  # the name of the column


@dataclass(frozen=True)
class Styles:
    """A request for a column of styles, and the cache for the films, which have to be decoded."""

    count: int
    cache: FilmCache

    def column(self, folder: FilmFolder) -> dict[str, str]:
        """The style of each readable training film by its path."""
        split = "train" if "train" in folder.splits else folder.splits[0]
        films = load_split(
            folder, split, Preprocessing(SIDE), self.cache, max_rejected_fraction=0.01
        )
        numbers = styles_of(films, self.count).tolist()
        return {path: f"style {n + 1}" for path, n in zip(films.paths, numbers, strict=True)}


def write_table(
    films: Path, output: Path, naming: FilmNaming, styles: Styles | None = None
) -> None:
    """Writes a row for each film of a folder, and prints how to train on the table.

    Paths are relative to the root of the folder, and labels are the names of the class folders. The
    patients are a column only if every path tells one: a row without a patient could not be used,
    while `data.patient_pattern` works for a table as it does for the folder. The splits are a
    column only if the folder has some. With `styles` there is a column "style", which is empty for
    films that are not for training.

    Raises:
        UserError: the folder has no film, a path is not text, or the file cannot be written.
    """
    folder = find_films(films, "--films", naming)
    if not folder.files:
        raise UserError(f"{folder.named_by}: {folder.shown} holds no film")
    for file in folder.files:
        if not file.path.isprintable():
            raise UserError(
                f"{folder.named_by}: the name {file.path!r} is not printable text, so it cannot "
                "stand in a table; rename the file"
            )
    who = [folder.naming.patients.identify(file.path, file.label) for file in folder.files]
    known = all(identity.known for identity in who)
    has_splits = folder.splits != ["all"]
    style_of = styles.column(folder) if styles else {}
    columns = Columns()
    header = [columns.path, columns.label]
    header += [columns.patient] * known + [columns.split] * has_splits + [STYLE] * bool(styles)
    with failing_clearly(output.parent, "output", "name another file"):
        write_csv(
            output,
            header,
            (
                [file.path, PurePosixPath(file.path).parent.name]
                + [identity.patient] * known
                + [file.split] * has_splits
                + [style_of.get(file.path, "")] * bool(styles)
                for file, identity in zip(folder.files, who, strict=True)
            ),
        )
    for line in _lines(folder, output, sum(not identity.known for identity in who)):
        say(line)


def _lines(folder: FilmFolder, output: Path, unknown: int) -> list[str]:
    lines = [f"{len(folder.files):,} films of {folder.shown} are listed in {str(output)!r}"]
    if unknown:
        lines.append(
            f"the patients of {unknown:,} films are not known from their names, so the table has "
            "no column of patients"
        )
    fields = f"--config.data.table={output}"
    if output.parent.resolve() != folder.root.resolve():
        fields += f" --config.data.root={folder.root}"
    return [*lines, f"train on it with {fields}"]
