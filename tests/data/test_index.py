"""The index of films returns what was written, and columns compare by value."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumojax.data.films import FilmFile
from pneumojax.data.index import DecodedFilm, IndexWriter, group_numbers, open_index

NAMES = ["train/NORMAL/a.jpeg", "", "train/NORMAL/\udcff\n\u00e9.png", "b", "b"]


def written(folder, names):
    with IndexWriter(folder) as index:
        for i, name in enumerate(names):
            film = DecodedFilm(np.zeros((1, 1), np.uint8), 10 + i, 2**31 - 1, b"", f"{i:064x}", {})
            index.add(FilmFile(name, "train", i % 2, 0, 0), film)
    return open_index(folder)


def test_what_was_written_is_read_whatever_the_names(tmp_path):
    index = written(tmp_path, NAMES)
    assert len(index) == 5 and list(index.paths) == NAMES and index.paths == NAMES
    assert index.paths[-1] == "b" and index.paths[1:3] == NAMES[1:3] and "b" in index.paths
    assert index.paths != NAMES[:4] and index.paths != [*NAMES[:4], "c"]
    assert index.digests[3] == f"{3:064x}" and len(set(index.digests)) == 5
    assert index.sizes.tolist() == [[10 + i, 2**31 - 1] for i in range(5)]
    some = replace(index, rows=np.array([0, 4, 0]))
    assert list(some.paths) == [NAMES[0], "b", NAMES[0]]
    assert some.sizes[:, 0].tolist() == [10, 14, 10]


def test_no_film_at_all_is_an_index_too(tmp_path):
    index = written(tmp_path, [])
    assert len(index) == 0 and list(index.paths) == []


class Colliding(str):
    """Text whose hash has only a few values."""

    def __hash__(self):
        return len(self)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "cc", "dd", "ee", ""])))
def test_values_have_one_number_where_they_are_equal_and_not_where_hashes_are(values):
    numbers = group_numbers([Colliding(value) for value in values])
    assert numbers.shape == (len(values),) and numbers.dtype == np.int64
    for value, number in zip(values, numbers, strict=True):
        assert [v == value for v in values] == (numbers == number).tolist()
    assert not values or 0 <= numbers.min() <= numbers.max() < 2 * len(values)
