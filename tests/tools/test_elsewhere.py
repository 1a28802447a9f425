"""Films of another hospital are scored within each view."""

import numpy as np
import pytest

from tools.elsewhere import figures_within_views


def test_a_network_that_reads_the_view_alone_is_worth_nothing():
    labels = np.array([1, 1, 1, 0, 1, 0, 0, 0])
    views = np.array(["AP"] * 4 + ["PA"] * 4)
    probability = np.where(views == "AP", 0.9, 0.1)
    figures = figures_within_views(labels, views, probability, 0.5)
    assert figures["elsewhere_auroc"]["value"] == 0.5
    assert figures["elsewhere_sensitivity"]["value"] == pytest.approx(3 / 4)
    assert figures["elsewhere_specificity"]["value"] == pytest.approx(3 / 4)


def test_the_mean_weighs_both_views_the_same():
    labels = np.array([1, 0, 1, 0, 1, 0])
    views = np.array(["AP", "AP", "PA", "PA", "PA", "PA"])
    probability = np.array([0.9, 0.1, 0.2, 0.8, 0.3, 0.7])
    figures = figures_within_views(labels, views, probability, 0.5)
    assert figures["elsewhere_auroc_ap"]["value"] == 1
    assert figures["elsewhere_auroc_pa"]["value"] == 0
    assert figures["elsewhere_auroc"]["value"] == 0.5
