"""Answers from Python: those of the command line, and the same words about doubtful films."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

import pneumojax
from pneumojax.api.describing import description_of
from pneumojax.api.load import load
from pneumojax.cli import commands
from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS
from pneumojax.errors import UserError
from pneumojax.inference.overlay import Tile, captioned
from pneumojax.predict.overlays import tile_of
from tests.predict.conftest import save


def from_the_command_line(workdirs, films, output, *more):
    named = ",".join(map(str, workdirs))
    arguments = ["predict", f"--workdir={named}", f"--output={output}", *more, *map(str, films)]
    commands.predict(parse(arguments, tuple(VERBS)))
    return output.read_bytes()


@pytest.mark.parametrize("count", [1, 5, 14])
def test_the_command_line_writes_the_same_bytes(workdir, films, tmp_path, count):
    told = from_the_command_line([workdir], films[:count], tmp_path / "cli.csv")
    predictions = load(workdir).predict(films[:count])
    predictions.to_csv(tmp_path / "python" / "out.csv")
    assert (tmp_path / "python" / "out.csv").read_bytes() == told
    rows = list(csv.DictReader(io.StringIO(told.decode())))
    assert [str(p) for p in predictions.probability.tolist()] == [r["probability"] for r in rows]


def test_an_ensemble_answers_as_on_the_command_line(pair, films, tmp_path):
    told = from_the_command_line(pair, films[:6], tmp_path / "cli.csv")
    both = load(pair).predict(films[:6])
    both.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == told
    each = [load(folder).predict(films[:6]).probability for folder in pair]
    # The command line rounds probabilities to nine digits.
    assert both.probability == pytest.approx(np.mean(each, axis=0), abs=1e-8)
    assert [p.lowest for p in both] == pytest.approx(np.min(each, axis=0), abs=1e-8)
    assert both[0].deviation > 0


def test_folders_patterns_and_generators_name_the_same_films(model, films):
    whole = model.predict(films)
    folder = films[0].parents[1]
    for named in (folder, str(folder / "*" / "*"), (film for film in films), np.array(films)):
        assert model.predict(named).to_dicts() == whole.to_dicts()


def test_an_array_is_answered_as_the_film_in_its_file(model, films, tmp_path):
    pictures = [Image.open(film).convert("L") for film in films[:5]]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    of_files = model.predict(sorted(tmp_path.glob("*.png"))).probability
    arrays = [np.asarray(picture) for picture in pictures]
    assert np.array_equal(model.predict(arrays).probability, of_files)
    assert np.array_equal(model.predict(pictures).probability, of_files)
    small = model.predict(np.stack([np.asarray(p.resize((64, 64))) for p in pictures]))
    assert len(small) == 5 and [row.file for row in small][-1] == "array[4]"


def test_an_unreadable_film_is_a_row_with_its_error(model, films, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    floats = Image.fromarray(np.ones((40, 40), np.float32))
    predictions = model.predict([films[0], tmp_path / "bad.png", floats])
    good, bad, unfit = predictions
    assert good.errors == () and 0 < good.probability < 1
    assert bad.probability is None and bad.call == "" and bad.errors == ("damaged PNG header",)
    assert unfit.errors == ("picture of floats: pass np.asarray(picture) and a value_range",)
    assert np.isnan(predictions.probability[1:]).all()
    assert predictions.errors == [(), bad.errors, unfit.errors]
    with pytest.raises(UserError, match="bad.png': damaged PNG header"):
        model.logits([films[0], tmp_path / "bad.png"])


def test_warnings_have_the_words_of_the_command_line(workdir, films, config, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    Image.new("L", (20, 40), 7).save(blank)
    told = from_the_command_line([workdir], [blank], tmp_path / "cli.csv").decode()
    printed = capsys.readouterr().out
    (row,) = predictions = load(workdir).predict(np.full((40, 20), 7, np.uint8))
    assert row.warnings == ("tiny: 20 x 40 pixels, the network sees 32 x 32", "blank")
    assert "; ".join(row.warnings) in told
    assert predictions.notes and all(note in printed for note in predictions.notes)


@pytest.mark.slow
def test_nothing_is_printed_unless_progress_is_asked_for(workdir, films, capfd, monkeypatch):
    monkeypatch.setattr("pneumojax.terminal.Progress.is_due", lambda _: True)
    model = load(workdir)
    model.predict(films)
    model.explain(films[:2])
    model.logits(films[:2])
    assert capfd.readouterr() == ("", "")
    model.predict(films, progress=True)
    assert "14/14 films" in capfd.readouterr().err


def test_logits_are_those_behind_the_probabilities(workdir, films):
    model = load(workdir)
    logits = model.logits(films)
    assert logits.shape == (14,)
    # The temperature of the run is 2, and rows hold nine digits.
    expected = 1 / (1 + np.exp(-logits.astype(np.float64) / 2))
    assert model.predict(films).probability == pytest.approx(expected, abs=1e-8)
    assert model.threshold == 0.4


@pytest.mark.slow
def test_maps_are_those_of_the_overlays(workdir, films, tmp_path):
    folder = tmp_path / "seen"
    from_the_command_line([workdir], films[:3], tmp_path / "cli.csv", f"--overlays={folder}")
    explanations = load(workdir).explain(films[:3])
    drawn = {path.stem.rsplit("-", 1)[0]: path for path in folder.glob("*-*.png")}
    for film, row in zip(films, explanations, strict=False):
        lines = tile_of(row.overlay, row.prediction).lines
        assert drawn[film.stem].read_bytes() == captioned(Tile(row.overlay, lines))
        assert row.evidence.shape == (32, 32) and row.evidence.min() >= 0
    assert explanations.predictions[0] == explanations[0].prediction
    assert Image.open(io.BytesIO(explanations._repr_png_())).format == "PNG"
    assert explanations[:1].predictions.call == [explanations[0].prediction.call]


def test_predictions_show_themselves(model, films, tmp_path):
    named = tmp_path / "<b>bad.png"
    named.write_bytes(b"")
    predictions = model.predict([*films, named])
    text, page = repr(predictions), predictions._repr_html_()
    assert text.startswith("15 films: probability of pneumonia, called from 0.4")
    for shown in (text, page):
        assert "Research and education only" in shown and films[0].name in shown
        assert "empty file" in shown and "unreadable" in shown
    assert "<b>bad" not in page and "&lt;b&gt;bad" in page
    assert isinstance(predictions[2:4], pneumojax.Predictions) and len(predictions[2:4]) == 2
    assert json.dumps(predictions.to_dicts())
    assert predictions.to_dicts()[-1]["errors"] == ("empty file",)
    with pytest.raises(AttributeError):
        predictions[0].call = "normal"


def test_a_run_tells_its_films_and_its_validation(workdir, films):
    info = load(workdir).info
    assert info.classes == ("NORMAL", "PNEUMONIA") and info.image_size == 32
    assert info.validated == "not yet: `evaluate` measures the figures" and info.figures == {}
    record = {"n": 20, "auroc": {"value": 0.9, "low": 0.8, "high": None}, "mcc": {"value": None}}
    (workdir / "evaluation" / "val").mkdir(parents=True)
    (workdir / "evaluation" / "val" / "metrics.json").write_text(json.dumps(record))
    info = load(workdir).info
    assert info.validated.startswith("20 validation films") and info.figures["auroc"].low == 0.8
    record["auroc"]["value"] = "high"
    (workdir / "evaluation" / "val" / "metrics.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="auroc.value is 'high', not null or a finite number"):
        load(workdir).info  # noqa: B018
    assert "auroc: 0.900" in repr(info) and "Not a medical device" in repr(info)


@pytest.mark.parametrize("name, part", [(None, "validation"), ("reference_1", "crossvalidation")])
def test_a_published_network_tells_what_its_model_card_says(name, part):
    info = pneumojax.load(name).info
    with open("records/reference/card.json") as stream:
        measured = json.load(stream)[part]
    assert info.licence == "CC BY 4.0" and info.films == 4695 and "Kermany" in info.trained_on
    for key, figure in info.figures.items():
        of_card = measured.get("figures", measured)[key]
        assert [figure.value, figure.low, figure.high] == [
            of_card[bound] for bound in ("value", "low", "high")
        ]
    assert len(info.figures) == 5 and info.threshold == measured["decision"]["threshold"]
    assert f"{measured['films']:,} films of {measured['patients']:,} patients" in info.validated


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("nowhere", "no run in '.*nowhere'"),
        ([], r"runs is \[\]; pass a run folder"),
        ([3], r"runs is \[3\]"),
        (3, "runs is 3; pass a run folder"),
    ],
)
def test_a_wrong_run_is_refused_in_words_that_name_no_flag(runs, said):
    with pytest.raises(UserError, match=said) as told:
        load(runs)
    assert "--" not in str(told.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (3, "data is 3; pass a dict"),
        ({"positiv": ("x",)}, "data has the unknown field 'positiv'; did you mean 'positive'"),
        ({"positive": "x"}, r"\['positive'\] is 'x'; pass a tuple, such as \('PNEUMONIA',\)"),
        ({"positive": ("normal",)}, "config.data.negative has the name 'normal' as well"),
    ],
)
def test_a_wrong_description_of_films_is_refused(config, data, said):
    with pytest.raises(UserError, match=said):
        description_of(data, config)
    named = description_of({"positive": ("sick",), "columns.label": "state"}, config)
    assert named.classes.positive == ("sick",) and named.columns.label == "state"


def test_runs_that_do_not_fit_together_are_refused(pair, config):
    with pytest.raises(UserError, match="named twice"):
        load([pair[0], pair[0]])
    with config.unlocked():
        config.data.resize = "nearest"
    save(pair[1], config, step=3)
    with pytest.raises(UserError) as told:
        load(pair)
    assert not str(told.value).startswith("--")
