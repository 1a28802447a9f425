"""Patients by file name, the division by patient, and the audit of leakage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pneumojax.data.hold_out import divide_into_folds, hold_out
from pneumojax.data.leakage import audit_leakage
from pneumojax.data.patients import Identity, identify
from pneumojax.errors import UserError


class TestIdentify:
    @pytest.mark.parametrize(
        ("path", "label", "identity"),
        [
            ("train/PNEUMONIA/person1_virus_6.jpeg", 1, ("virus-1", "virus")),
            ("train/PNEUMONIA/person1_bacteria_1.jpeg", 1, ("bacteria-1", "bacteria")),
            ("train/PNEUMONIA/person447_virus_921_1.jpeg", 1, ("virus-447", "virus")),
            ("PERSON0012_BACTERIA_3.JPG", 1, ("bacteria-12", "bacteria")),
            ("train/NORMAL/IM-0115-0001.jpeg", 0, ("IM-115", "none")),
            ("train/NORMAL/IM-0429-0001-0002.jpeg", 0, ("IM-429", "none")),
            ("train/NORMAL/NORMAL2-IM-0115-0001.jpeg", 0, ("NORMAL2-IM-115", "none")),
            ("normal2-im-115-0001.png", 0, ("NORMAL2-IM-115", "none")),
            ("NORMAL/person3_virus_1.jpeg", 0, ("virus-3", "none")),
            ("PNEUMONIA/IM-0003-0001.jpeg", 1, ("IM-3", "unknown")),
        ],
    )
    def test_reads_the_names_of_the_set(self, path, label, identity):
        assert identify(path, label) == Identity(*identity, known=True)

    def test_the_number_alone_is_nobody(self):
        names = ["person1_virus_6", "person1_bacteria_1", "IM-0001-0001", "NORMAL2-IM-0001-0001"]
        assert len({identify(f"{name}.jpeg", 1).patient for name in names}) == 4

    @pytest.mark.parametrize("name", ["scan.jpeg", "person_virus_1.jpeg", "xIM-0001-0001.jpeg"])
    def test_a_name_that_says_nothing_is_a_patient_of_its_own(self, name):
        path = f"train/PNEUMONIA/{name}"
        assert identify(path, 1) == Identity(path, "unknown", known=False)
        assert identify(path, 0).pathogen == "none"


def _films(patients_per_class=40, films_per_patient=3):
    names = [f"{kind}-{n}" for kind in ("IM", "virus") for n in range(patients_per_class)]
    patients = [name for name in names for _ in range(films_per_patient)]
    labels = np.array([int(name.startswith("virus")) for name in patients])
    digests = [f"{name}/{i}" for i, name in enumerate(patients)]
    return patients, labels, digests


@st.composite
def _any_films(draw):
    """Films of a few patients with random duplicates; the label depends on the patient."""
    count = draw(st.integers(8, 60))
    numbers = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    contents = draw(st.lists(st.integers(0, 60), min_size=count, max_size=count))
    patients = [f"{'virus' if n % 2 else 'IM'}-{n}" for n in numbers]
    return patients, np.array([n % 2 for n in numbers]), [str(c) for c in contents]


class TestHoldOut:
    def test_takes_the_fraction_of_every_class(self):
        patients, labels, digests = _films()
        validation = hold_out(patients, labels, digests, 0.1, seed=0)
        assert validation.dtype == bool and validation.shape == labels.shape
        assert np.array_equal(np.bincount(labels[validation]), [12, 12])

    @pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.8])
    def test_comes_as_close_as_groups_allow(self, fraction):
        patients, labels, digests = _films()
        validation = hold_out(patients, labels, digests, fraction, seed=3)
        wanted = 120 * fraction
        for label in (0, 1):
            assert abs(np.sum(validation[labels == label]) - wanted) <= max(1.5, 3 - wanted)

    def test_no_film_of_a_patient_who_is_huge_upsets_the_share(self):
        patients, labels, digests = _films()
        patients += ["virus-huge"] * 60
        labels = np.append(labels, [1] * 60)
        digests += [f"huge/{i}" for i in range(60)]
        for seed in range(20):
            validation = hold_out(patients, labels, digests, 0.1, seed)
            assert abs(np.sum(validation & (labels == 1)) - 18) <= 1.5

    @settings(max_examples=80, deadline=None)
    @given(_any_films(), st.floats(0.05, 0.9), st.integers(0, 5))
    def test_no_patient_and_no_identical_file_is_in_both_splits(self, films, fraction, seed):
        patients, labels, digests = films
        try:
            validation = hold_out(patients, labels, digests, fraction, seed)
        except UserError:  # too few groups, see test_a_split_without_a_class_is_refused
            return
        for keys in (np.array(patients), np.array(digests)):
            assert not set(keys[validation]) & set(keys[~validation])
        for side in (validation, ~validation):
            assert set(labels[side]) == {0, 1}

    @settings(max_examples=40, deadline=None)
    @given(_any_films(), st.randoms(use_true_random=False))
    def test_the_order_of_the_files_does_not_matter(self, films, random):
        patients, labels, digests = films
        order = list(range(len(patients)))
        random.shuffle(order)
        shuffled = [patients[i] for i in order], labels[order], [digests[i] for i in order]
        try:
            expected = hold_out(patients, labels, digests, 0.3, 0)[order]
        except UserError:
            with pytest.raises(UserError):
                hold_out(*shuffled, 0.3, 0)
            return
        assert np.array_equal(hold_out(*shuffled, 0.3, 0), expected)

    def test_is_a_function_of_the_seed(self):
        films = _films()
        choices = [hold_out(*films, 0.2, seed) for seed in (0, 0, 1)]
        assert np.array_equal(choices[0], choices[1])
        assert not np.array_equal(choices[0], choices[2])

    def test_another_patient_moves_little(self):
        patients, labels, digests = _films(100, 1)
        before = hold_out(patients, labels, digests, 0.1, 0)
        after = hold_out([*patients, "IM-new"], np.append(labels, 0), [*digests, "new"], 0.1, 0)
        assert np.sum(before != after[:-1]) <= 1

    def test_an_identical_file_under_two_patients_keeps_them_together(self):
        patients, labels, digests = _films()
        of_virus = [i for i, patient in enumerate(patients) if patient.startswith("virus")]
        for left, right in zip(of_virus[0:90:3], of_virus[3:93:3], strict=True):
            digests[right] = digests[left]  # a chain of 31 patients
        chain = {patients[i] for i in of_virus[:93]}
        for seed in range(5):
            validation = hold_out(patients, labels, digests, 0.2, seed)
            splits = {bool(v) for v, p in zip(validation, patients, strict=True) if p in chain}
            assert len(splits) == 1

    def test_two_patients_of_a_class_are_one_on_each_side(self):
        patients, labels = ["IM-1", "IM-2", "virus-1", "virus-2"], np.array([0, 0, 1, 1])
        for fraction in (0.01, 0.5, 0.99):
            validation = hold_out(patients, labels, list("abcd"), fraction, 0)
            assert np.array_equal(np.bincount(labels[validation]), [1, 1])

    def test_a_fraction_of_zero_is_no_validation(self):
        assert not hold_out(*_films(), 0, seed=0).any()
        assert hold_out([], np.array([], int), [], 0.0, 0).shape == (0,)

    def test_a_split_without_a_class_is_refused(self):
        patients, labels = ["IM-1", "IM-1", "virus-1", "virus-2"], np.array([0, 0, 1, 1])
        told = "^config.data.val_fraction is 0.5: .*no film of config.data.negative .*2 in all"
        with pytest.raises(UserError, match=told):
            hold_out(patients, labels, list("abcd"), 0.5, 0)


def _audit(train, validation, known=True):
    """Audits films that are given as (patient, label, digest)."""
    patients, labels, digests = zip(*train, *validation, strict=True)
    is_validation = np.arange(len(patients)) >= len(train)
    splits = {"train": ~is_validation, "validation": np.flatnonzero(is_validation)}
    return audit_leakage(splits, patients, [known] * len(patients), np.array(labels), digests)


class TestAudit:
    def test_proves_that_the_carve_is_disjoint(self):
        patients, labels, digests = _films()
        validation = hold_out(patients, labels, digests, 0.1, 0)
        splits = {"train": ~validation, "validation": validation}
        result = audit_leakage(splits, patients, [True] * len(patients), labels, digests)
        assert result.line() == (
            "audit: train 216 films of 72 patients, validation 24 films of 8 patients; "
            "0 patients and 0 identical files in more than one split: disjoint"
        )
        assert result.patients_known
        assert result.as_dict()["sides"]["train"] == {
            "films": 216,
            "patients": 72,
            "unknown_films": 0,
        }

    def test_sees_a_shared_patient_and_a_shared_file(self):
        train = [("IM-1", 0, "a"), ("IM-2", 0, "b"), ("virus-1", 1, "c"), ("virus-1", 1, "d")]
        validation = [("IM-1", 0, "e"), ("virus-2", 1, "c"), ("virus-1", 1, "f")]
        result = _audit(train, validation)
        assert (result.shared_patients, result.shared_files) == (2, 1)
        assert (
            "; NOT disjoint: 2 patients and 1 identical file in more than one split"
            in result.line()
        )

    def test_without_names_it_never_says_disjoint(self):
        apart = _audit([("x.png", 0, "a")], [("y.png", 1, "b")], known=False)
        shared = _audit([("x.png", 0, "a")], [("y.png", 0, "a")], known=False)
        for result in (apart, shared):
            assert "patients unknown for 2 films" in result.line()
            assert "disjoint" not in result.line()
            assert not result.patients_known and result.unknown_films == 2
        assert "1 identical file in more than one split" in shared.line()

    def test_equal_paths_of_two_folders_are_not_a_shared_patient(self):
        result = _audit([("NORMAL/1.png", 0, "a")], [("NORMAL/1.png", 0, "b")], known=False)
        assert result.shared_patients == 0

    def test_one_unknown_name_is_enough_to_doubt(self):
        patients, labels = ["IM-1", "virus-1", "x.png"], np.array([0, 1, 1])
        splits = {"train": np.array([0]), "validation": np.array([1, 2])}
        result = audit_leakage(splits, patients, [True, True, False], labels, list("abc"))
        assert "patients unknown for 1 film;" in result.line()
        assert "disjoint" not in result.line()
        assert result.splits["validation"].patients == 1

    def test_mentions_duplicates_and_conflicting_labels(self):
        train = [("IM-1", 0, "a"), ("IM-1", 0, "a"), ("IM-2", 0, "b"), ("virus-1", 1, "b")]
        result = _audit(train, [("virus-2", 1, "c")])
        assert (result.duplicate_groups, result.label_conflicts) == (2, 1)
        assert result.line().endswith(
            ": disjoint; 2 groups of identical files; 1 file under both classes"
        )
        assert result.as_dict()["label_conflicts"] == 1

    def test_films_on_neither_side_do_not_count(self):
        patients, labels = ["IM-1", "IM-1", "IM-2"], np.array([0, 0, 1])
        result = audit_leakage(
            {"train": np.array([0]), "test": np.array([2])}, patients, [True] * 3, labels, "aab"
        )
        assert result.duplicate_groups == 0 and result.shared_patients == 0


def _strata(patients, shares=(60, 30, 10)):
    """A stratum for each film; all films of a patient have the same, drawn with these shares."""
    rng = np.random.default_rng([1])
    of = {who: rng.choice(len(shares), p=np.array(shares) / 100) for who in sorted(set(patients))}
    return np.array([of[who] for who in patients])


# The patients held out, and each patient's fold, of `_films()` before there were strata.
HELD_OUT = [11, 14, 17, 24, 50, 52, 59, 64]
FOLDS = "12220002002111010000222021011101211022122200222012010021012212001211100110210210"


class TestStrata:
    """A column's groups keep their shares within each class."""

    def test_the_hold_out_takes_the_fraction_of_every_stratum_of_every_class(self):
        patients, labels, digests = _films(patients_per_class=400)
        strata = _strata(patients)
        chosen = hold_out(patients, labels, digests, 0.2, 0, strata)
        for label in (0, 1):
            for stratum in range(3):
                films = (labels == label) & (strata == stratum)
                # A patient has at most three films, so a stratum may miss its share by one or two.
                assert abs(chosen[films].sum() - 0.2 * films.sum()) <= 2
        alike = hold_out(patients, labels, digests, 0.2, 0)
        assert np.any(chosen != alike)
        sides = {who: set() for who in patients}
        for who, side in zip(patients, chosen, strict=True):
            sides[who].add(bool(side))
        assert all(len(side) == 1 for side in sides.values())

    def test_folds_share_every_stratum_and_stay_equally_large(self):
        patients, labels, digests = _films(patients_per_class=400)
        strata = _strata(patients)
        folds = divide_into_folds(patients, labels, digests, 5, 3, strata)
        for films in [labels == label for label in (0, 1)] + [
            (labels == label) & (strata == stratum) for label in (0, 1) for stratum in range(3)
        ]:
            sizes = np.bincount(folds[films], minlength=5)
            assert np.ptp(sizes) <= 6  # two patients of three films

    def test_one_stratum_is_none(self):
        films = _films()
        one = np.zeros(len(films[0]), int)
        np.testing.assert_array_equal(hold_out(*films, 0.2, 5, one), hold_out(*films, 0.2, 5))
        np.testing.assert_array_equal(
            divide_into_folds(*films, 4, 5, one), divide_into_folds(*films, 4, 5)
        )

    def test_without_strata_the_division_is_that_of_earlier_versions(self):
        films = _films()
        held_out = hold_out(*films, 0.1, 0).reshape(-1, 3)  # a row for each patient
        assert np.flatnonzero(held_out.all(axis=1)).tolist() == HELD_OUT
        assert held_out.sum() == 3 * len(HELD_OUT)
        folds = divide_into_folds(*films, 3, 0).reshape(-1, 3)
        assert "".join(map(str, folds[:, 0])) == FOLDS

    def test_a_patient_of_two_strata_counts_for_that_of_most_films(self):
        patients = ["IM-1"] * 3 + [f"IM-{i}" for i in range(2, 41)] + [f"virus-{i}" for i in "ab"]
        labels = np.array([0] * 42 + [1] * 2)
        strata = np.array([1, 1, 0] + [0] * 39 + [0, 0])
        digests = [str(i) for i in range(len(patients))]
        chosen = hold_out(patients, labels, digests, 0.5, 0, strata)
        assert not chosen[:3].any()  # the only patient of a stratum is never held out
        assert chosen[3:42].sum() == 19  # half of 39


class TestFolds:
    def test_each_film_is_in_one_fold_and_no_patient_in_two(self):
        patients, labels, digests = _films()
        folds = divide_into_folds(patients, labels, digests, 5, seed=3)
        assert set(folds) == set(range(5))
        of_patient = {}
        for patient, fold in zip(patients, folds, strict=True):
            assert of_patient.setdefault(patient, fold) == fold
        for label in (0, 1):
            sizes = np.bincount(folds[labels == label])
            assert sizes.max() - sizes.min() <= 3  # a patient has at most three films

    def test_patients_who_share_a_film_share_a_fold(self):
        patients, labels, digests = _films()
        digests[3] = digests[0]
        shared = divide_into_folds(patients, labels, digests, 4, seed=1)
        assert len(set(shared[:6])) == 1

    def test_folds_are_a_function_of_seed_and_names_and_not_of_the_order(self):
        patients, labels, digests = _films()
        order = np.random.default_rng(0).permutation(len(patients))
        folds = divide_into_folds(patients, labels, digests, 5, seed=3)
        turned = divide_into_folds(
            [patients[i] for i in order], labels[order], [digests[i] for i in order], 5, seed=3
        )
        np.testing.assert_array_equal(turned, folds[order])
        assert np.any(divide_into_folds(patients, labels, digests, 5, seed=4) != folds)

    def test_too_few_patients_are_refused(self):
        patients, labels, digests = _films(patients_per_class=3)
        with pytest.raises(UserError, match=r"config.data.folds is 4: .*config.data.negative"):
            divide_into_folds(patients, labels, digests, 4, seed=0)
