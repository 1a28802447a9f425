"""What the sections of a report say of films, threshold, temperature and checkpoint."""

from dataclasses import replace

from pneumojax.evaluation.report.run_sections import films, identity, selection
from pneumojax.evaluation.report.sections import calibration, operating_point
from pneumojax.evaluation.run_facts import FilmCount
from pneumojax.inference.decision import Decision


def test_pathogens_and_the_unused_root_of_a_table_are_left_out(evaluation, facts):
    def shown(facts):
        found = replace(evaluation, facts=facts)
        return films(found).tables[0].headings, dict(identity(found).tables[1].rows)

    rows = [FilmCount("test", "sick", pathogen, 9, 4) for pathogen in ("bacteria", "unknown")]
    config = {"data.root": "synthetic", "data.table": ""}
    for table, some, hidden in (("", rows, False), ("films.csv", rows[1:], True)):
        flow = replace(facts.flow, films=some)
        named = replace(facts, flow=flow, config=config | {"seed": 0, "data.table": table})
        headings, fields = shown(named)
        assert ("pathogen" not in headings) == hidden
        assert ("not used" in fields["data.root"]) == hidden


def test_validation_is_not_sold_as_films_that_chose_nothing(evaluation, facts):
    validated = replace(evaluation, facts=replace(facts, split="val"))
    told = "somewhat better than on other films"
    assert told in " ".join(selection(validated).text)
    text = " ".join(operating_point(validated).text)
    assert "validation films, which are the films scored here" in text
    assert "none of them is scored here" in " ".join(operating_point(evaluation).text)


def test_a_network_that_was_joined_says_what_its_figures_rest_on(evaluation, facts):
    decision = Decision("worst_case", 1.1, 0.7, 14_760, "")
    summary = replace(evaluation.summary, decision=decision)
    joined = replace(evaluation, summary=summary, facts=replace(facts, epoch=0))
    assert "fitted on 14,760 scores of several kinds: 1.1" in " ".join(calibration(joined).text)
    text = " ".join(selection(joined).text)
    assert "made from the weights of other runs" in text and "epoch 0" not in text
