"""Checkpoint metadata: damage to it, wrong values in it, and a config.json that differs."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from pneumojax.data.out_of_distribution import STATISTICS
from pneumojax.data.splits import preprocessing_of
from pneumojax.errors import UserError
from pneumojax.inference.decision import Decision
from pneumojax.inference.predictor import Predictor
from pneumojax.inference.trained_run import open_run
from pneumojax.run.agreement import check_config, check_meta
from pneumojax.run.begin import begin
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.seal import check_seal, sealed
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.warm_start import read_source


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The place of the run folder that each test gets a copy of."""
    return tmp_path_factory.mktemp("seal") / "a-run"


@pytest.fixture
def workdir(template, tmp_path, config):
    """A run of a small network with one best checkpoint."""
    if not template.exists():
        make_run(template, config)
    return Path(shutil.copytree(template, tmp_path / "a-run"))


def make_run(folder, config):
    begin(folder, config)
    state = jax.jit(lambda: initial_state(config, make_optimizer(config, 1)))()
    meta = {
        "config": config.to_dict(),
        "preprocessing": preprocessing_of(config).as_dict(),
        "class_names": ["NORMAL", "PNEUMONIA"],
        "synthetic": False,
        "decision": Decision("youden", 2.0, 0.42, 10, "")._asdict(),
        "scope": None,
        "epoch": 1,
    }
    Checkpoints(folder / "checkpoints").save_best(1, state.params, meta)


def metadata_of(workdir):
    return workdir / "checkpoints" / "best" / "1" / "meta" / "metadata"


def rewrite(workdir, change, *, seal):
    """Changes the metadata as a stranger may, with a new seal or in the form without one."""
    path = metadata_of(workdir)
    meta = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("seal", "format")}
    change(meta)
    path.write_text(json.dumps(sealed(meta) if seal else meta))


def test_no_flipped_bit_of_the_metadata_passes():
    meta = sealed({"step": 1, "decision": {"threshold": 0.42}, "digests": {"params": "00ff"}})
    text = json.dumps(meta).encode()
    for place in range(len(text)):
        for bit in range(8):
            flipped = bytearray(text)
            flipped[place] ^= 1 << bit
            try:
                told = json.loads(bytes(flipped))
                assert check_seal(told) and told == meta
            except ValueError:
                continue


def test_names_of_format_and_seal_both_damaged_do_not_make_a_checkpoint_an_earlier_one():
    meta = sealed({"step": 1})
    meta["fermat"], meta["sealt"] = meta.pop("format"), meta.pop("seal")
    with pytest.raises(ValueError, match="unknown field"):
        check_seal(meta)


# Orbax reads many files at once and retrieves only the first of their errors.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_flipped_bits_of_the_small_files_give_the_same_answer_or_a_refusal(workdir, capsys):
    best = workdir / "checkpoints" / "best"
    before = open_run(workdir)
    small = sorted(p for p in best.rglob("*") if p.is_file() and p.stat().st_size < 20_000)
    rng = np.random.default_rng([21])
    for path in small:
        data = path.read_bytes()
        for place in rng.integers(0, len(data), 6):
            flipped = bytearray(data)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            try:
                after = open_run(workdir)
            except UserError:
                continue
            finally:
                path.write_bytes(data)
            assert after.answers == before.answers, (path, place)
            jax.tree.map(np.testing.assert_array_equal, after.params, before.params)
    assert len(small) > 4


def test_a_changed_threshold_is_refused(workdir, capsys):
    path = metadata_of(workdir)
    path.write_text(path.read_text().replace("0.42", "0.02"))
    with pytest.raises(UserError, match="no checkpoint"):
        open_run(workdir)
    assert "the metadata is not what was saved" in capsys.readouterr().out


def test_a_checkpoint_of_an_earlier_version_opens_with_one_line(workdir, capsys):
    rewrite(workdir, lambda meta: None, seal=False)
    assert open_run(workdir).decision.threshold == 0.42
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 1 and "written by an earlier version: damage to its threshold" in told[0]


@pytest.mark.parametrize("name", ["config", "class_names", "decision"])
def test_metadata_without_what_every_version_wrote_is_refused(workdir, name):
    rewrite(workdir, lambda meta: meta.pop(name), seal=False)
    with pytest.raises(UserError, match=f"its metadata's {name} is absent"):
        open_run(workdir)


def test_a_scope_is_kept_as_it_is(workdir):
    rewrite(workdir, lambda meta: meta.update(scope=SCOPE), seal=True)
    assert open_run(workdir).meta["scope"] == SCOPE


def test_one_of_this_version_opens_without_a_line(workdir, capsys):
    open_run(workdir)
    assert not capsys.readouterr().out


SCOPE = {
    "mean": [0.0] * STATISTICS,
    "whitening": [[1.0] * STATISTICS] * STATISTICS,
    "limit": 5.0,
    "films": 300,
}
WRONG = [
    (("decision", "threshold"), float("nan")),
    (("decision", "threshold"), 1.5),
    (("decision", "threshold"), "0.4"),
    (("decision", "temperature"), -1.0),
    (("decision", "temperature"), 0),
    (("decision", "rule"), []),
    (("decision", "films"), -3),
    (("decision",), [1, 2]),
    (("preprocessing",), None),
    (("preprocessing", "image_size"), 10**6),
    (("preprocessing", "image_size"), True),
    (("class_names",), ["PNEUMONIA", "NORMAL"]),
    (("synthetic",), "no"),
    (("config",), 3),
    (("config", "batch_size"), 2.5),
    (("config", "batch_size"), 10**7),
    (("decision", "extra"), 1),
    (("decision", "note"), None),
    (("decision_of_validation",), {"rule": "youden"}),
    (("scope",), []),
    (("scope",), {}),
    (("scope",), {"mean": [0.0], "whitening": [[1.0]], "limit": 1.0, "films": 300}),
    (("scope",), SCOPE | {"limit": -1.0}),
    (("scope",), SCOPE | {"mean": [float("nan")] * STATISTICS}),
    (("scope",), SCOPE | {"whitening": [[1.0]] * STATISTICS}),
    (("scope",), SCOPE | {"more": 1}),
    (("scope",), SCOPE | {"films": "many"}),
    (("films",), ["a", "b"]),
    (("films",), {"train": 1, "validation": None}),
    (("epoch",), "last"),
    (("figures",), {"val_auroc": "high"}),
    (("versions",), {"jax": 1}),
    (("digests",), {"params": None}),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda v: str(v)[:30])
def test_a_wrong_value_is_one_line_that_names_the_field(workdir, config, place, value):
    meta = json.loads(metadata_of(workdir).read_text())
    group = meta
    for key in place[:-1]:
        group = group[key]
    group[place[-1]] = value
    with pytest.raises(UserError) as refused:
        check_meta(meta, workdir)
        check_config(meta, config, workdir)
    assert place[0] in str(refused.value) and str(workdir) in str(refused.value)
    assert place[-1] in str(refused.value) or place == ("decision", "extra")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("seal", [True, False], ids=["sealed", "earlier"])
@pytest.mark.parametrize("read", [open_run, read_source], ids=["run", "start"])
def test_a_run_with_a_wrong_value_is_not_opened(workdir, seal, read):
    rewrite(workdir, lambda meta: meta["decision"].update(threshold=1.5), seal=seal)
    with pytest.raises(UserError, match="decision.threshold is 1.5"):
        read(workdir)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("data", "normalise", "film"),
        ("data", "image_size", 48),
        ("data", "resize", "nearest"),
        ("test_time", "views", ["flip"]),
        ("model", "activation", "gelu"),
    ],
)
@pytest.mark.parametrize(
    "read", [open_run, read_source, lambda f: Predictor.open([f])], ids=["run", "start", "ensemble"]
)
def test_a_config_that_would_change_answers_is_refused(workdir, group, name, value, read):
    path = workdir / "config.json"
    values = json.loads(path.read_text())
    assert values[group][name] != value
    values[group][name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=f"{group}.{name} is .* in its checkpoint"):
        read(workdir)


def test_fields_that_decide_no_answer_may_be_changed(workdir):
    path = workdir / "config.json"
    values = json.loads(path.read_text())
    values["epochs"], values["log"]["every_steps"] = 99, 7
    path.write_text(json.dumps(values))
    assert open_run(workdir).config.epochs == 99


@pytest.mark.parametrize("place", ["decision", "config", "precision"])
def test_whatever_decides_an_answer_is_part_of_the_identity(workdir, tmp_path, place):
    before = Predictor.open([workdir]).identity
    other = tmp_path / "other"
    shutil.copytree(workdir, other)
    assert Predictor.open([other]).identity == before

    def change(meta):
        if place == "decision":
            meta["decision"]["threshold"] = 0.43
        else:
            values = json.loads((other / "config.json").read_text())
            for config in (values, meta["config"]):
                if place == "config":
                    config["data"]["normalise"] = "film"
                else:
                    config["precision"] = "highest"
            (other / "config.json").write_text(json.dumps(values))

    rewrite(other, change, seal=True)
    assert Predictor.open([other]).identity != before
