"""The README's tables come from the records and from the pages that they summarise."""

import pytest

from tools.docs.front import CONTESTS, PEERS, ROWS, render_peers, render_released, render_speed


def test_a_row_that_the_page_of_peers_no_longer_has_is_named():
    page = PEERS.read_text().replace(f"| {ROWS[0]} |", "| renamed |")
    with pytest.raises(ValueError, match=ROWS[0]):
        render_peers(page)


def test_links_between_pages_work_from_the_readme_and_others_stay():
    page = "| expected | how |\n| --- | --- |\n"
    page += "".join(f"| {name} | [page](data.md#a), [site](https://x.org) |\n" for name in ROWS)
    shown = render_peers(page)
    assert "](docs/data.md#a)" in shown and "](https://x.org)" in shown


def test_speed_is_the_median_over_rounds_beside_the_faster_of_a_library_s_contestants():
    seconds = {"PneumoJAX": [1.0, 2.0, 4.0], "PyTorch": [9.0, 9.0, 9.0]}
    seconds["PyTorch, compiled"] = [3.0, 4.0, 4.0]  # 3, 2 and 1 times PneumoJAX's
    contestants = {name: {"seconds": found} for name, found in seconds.items()}
    result = {"contestants": contestants, "hardware": "a machine", "date": "a day"}
    shown = render_speed(dict.fromkeys(CONTESTS, [result]))
    assert f"| {CONTESTS['latency']} |  | 2.00 |  | a machine, a day |" in shown


def test_films_of_another_hospital_have_an_auroc_for_each_view():
    share = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = ("sensitivity", "specificity", "auroc")
    counts = {"films": 10, "patients": 5}
    card = {
        "validation": {**counts, "figures": dict.fromkeys(names, share)},
        "crossvalidation": {**counts, **dict.fromkeys(names, share)},
        "forecast": {
            "sensitivity": [0.8, 0.9],
            "specificity": [0.6, 0.95],
            "groups": [{"auroc": {"value": 0.91}}, {"auroc": {"value": 0.89}}],
        },
    }
    test = {"network": "reference_1", "films": 6, **dict.fromkeys(names, 0.7)}
    kinds = ("sensitivity", "specificity", "auroc_ap", "auroc_pa")
    there = {"films": 4, "figures": {f"elsewhere_{name}": share for name in kinds}}
    shown = render_released(card, test, {"reference": there, "reference_1": there})
    interval = "0.500 (0.400 to 0.600)"
    assert shown.count(f"{interval} among AP films, {interval} among PA films") == 2
    assert shown.count("0.700 |") == 3
    assert (
        "range over 2 held-out groups | 0.800 to 0.900 | 0.600 to 0.950 | 0.890 to 0.910 |" in shown
    )
