import dataclasses

from pneumojax.evaluation.run_facts import film_flow


def test_the_flow_counts_films_and_patients_of_each_side_class_and_pathogen():
    rows = film_flow(
        {
            "train": [
                (1, "virus", "virus-1"),
                (1, "virus", "virus-1"),
                (1, "bacteria", "bacteria-2"),
                (0, "none", "IM-1"),
                (0, "none", "IM-2"),
            ],
            "test": [(0, "none", None), (0, "none", "IM-3")],
        }
    )
    found = [dataclasses.astuple(row) for row in rows]
    assert found == [
        ("train", "NORMAL", "none", 2, 2),
        ("train", "PNEUMONIA", "bacteria", 1, 1),
        ("train", "PNEUMONIA", "virus", 2, 1),
        ("test", "NORMAL", "none", 2, None),  # a patient is unknown, so they cannot be counted
    ]
