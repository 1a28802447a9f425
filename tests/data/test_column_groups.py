"""Columns of text become few groups with names, and none that would name a film or a patient."""

import numpy as np
import pytest

from pneumojax.data.column_groups import AGE_BANDS, group_films


def named(column, values, patients=None):
    """The name of each film's group."""
    groups = group_films(column, values, patients)
    assert not groups.reason
    for i, films in enumerate(groups.films):
        assert films.size and np.all(groups.of_film[films] == i)
    return [groups.names[i] for i in groups.of_film]


def test_ages_fall_into_their_bands():
    ages = ["0.5", "0", "1", "4.9", "5", "17", "18", "39", "40", "64", "65", "79", "80", "101"]
    assert named("age", ages) == [
        *("under 1", "under 1", "1 to 4", "1 to 4", "5 to 17", "5 to 17", "18 to 39", "18 to 39"),
        *("40 to 64", "40 to 64", "65 to 79", "65 to 79", "80 or more", "80 or more"),
    ]
    assert len(AGE_BANDS) == 7


def test_ages_that_nobody_has_and_missing_ones_are_unknown():
    found = named("Patient Age", ["50", "-1", "1961", "", "NA", "unknown", "70"])
    assert found == ["40 to 64", *["unknown"] * 5, "65 to 79"]


def test_numbers_are_divided_at_their_quartiles_and_equal_ones_stay_together():
    values = [str(i) for i in range(100)]
    assert named("exposure", values) == [
        f"{25 * (i // 25)} to {25 * (i // 25) + 24}" for i in range(100)
    ]
    tied = ["1"] * 60 + [str(i) for i in range(2, 42)]
    found = named("exposure", tied)
    assert set(found[:60]) == {"1"} and "1" not in found[60:]


def test_few_numbers_are_codes_and_no_quantities():
    assert set(named("site", ["1", "2", "3", "3", "2", "1"] * 5)) == {"1", "2", "3"}


def test_the_most_frequent_ten_values_keep_their_names():
    values = [f"site {i}" for i in range(14) for _ in range(20 - i)]
    found = named("site", [*values, "", "n/a"])
    assert found[:20] == ["site 0"] * 20
    kept = {f"site {i}" for i in range(10)}
    assert set(found) == {*kept, "other", "unknown"}
    assert found.count("other") == sum(20 - i for i in range(10, 14))
    assert found[-2:] == ["unknown"] * 2


@pytest.mark.parametrize(
    "values, reason",
    [
        ([""] * 9, "no film has a value"),
        (["AP"] * 9, "all films have the same value"),
        ([f"Name {i}" for i in range(30)], "most films have a value of their own"),
        ([f"study {i // 2}" for i in range(60)], "it has 30 different values"),
    ],
)
def test_columns_that_divide_nothing_or_name_films_are_left_out(values, reason):
    groups = group_films("column", values)
    assert groups.names == () and groups.reason == reason


def test_ages_of_one_band_make_no_groups():
    assert group_films("age", ["50", "51", "52"]).reason == "all films are in one group, 40 to 64"


def test_values_of_one_patient_each_are_left_out_as_names():
    patients = [f"p{i // 5}" for i in range(40)]
    names = [f"Name {i // 5}" for i in range(40)]
    assert group_films("name", names, patients).reason == "each value belongs to one patient"
    assert set(named("name", names)) == set(names)  # with patients unknown, it cannot be told
    sexes = ["F" if i // 5 % 2 else "M" for i in range(40)]
    assert set(named("sex", sexes, patients)) == {"F", "M"}
