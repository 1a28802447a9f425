"""The table of votes ranks networks as the rule of the plan does."""

from tools.docs.votes import ELSEWHERE, votes


def figures(**values):
    return {name: {"value": value} for name, value in values.items()}


def test_votes_are_ranked_and_compared_with_the_other_hospital():
    shown = votes(
        {
            "first": figures(auroc=0.99, matched_auroc=0.90, **{ELSEWHERE: 0.70}),
            "second": figures(auroc=0.98, matched_auroc=0.95, **{ELSEWHERE: 0.80}),
            "third": figures(auroc=0.97, matched_auroc=0.95, **{ELSEWHERE: 0.90}),
        }
    ).splitlines()
    assert shown[0] == "| rank by | AUROC | on matched pairs | another hospital | mean rank |"
    assert shown[2:5] == [
        "| `first` | 1 | 3 | 3 | 2.33 |",
        "| `second` | 2 | 1.5 | 2 | 1.83 |",
        "| `third` | 3 | 1.5 | 1 | 1.83 |",
    ]
    assert shown[5] == "| rank correlation with another hospital | -1.00 | 0.87 |  |  |"


def test_a_vote_that_one_network_lacks_is_left_out():
    alone = figures(auroc=0.9, **{ELSEWHERE: 0.7})
    shown = votes({"a": alone | figures(matched_auroc=0.8), "b": alone})
    assert "matched" not in shown.splitlines()[0]
