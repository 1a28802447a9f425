"""A verb refuses the flags that it does not read, and its list of flags is what it reads."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from pneumojax.cli import program
from pneumojax.cli.parsing import parse
from pneumojax.cli.verbs import VERBS, refuse_unread
from pneumojax.config.load import resolve
from pneumojax.errors import UserError
from pneumojax.run.begin import begin

ROOT = Path(__file__).parents[2]
# The work of all verbs, which is replaced so that only the flags are read.
WORK = (
    "pneumojax.training.loop.train",
    "pneumojax.crossvalidate.cross_validate",
    "pneumojax.cli.commands.load",
    "pneumojax.api.training.evaluate_trained",
    "pneumojax.predict.predict.FilesToPredict",
    "pneumojax.serve.serve.serve",
    "pneumojax.evaluation.compare.compare.compare",
    "pneumojax.profiling.profile.profile",
    "pneumojax.preview.preview",
    "pneumojax.profiling.summary.summary",
    "pneumojax.data.table_writing.write_table",
    "pneumojax.tuning.search.tune",
    "pneumojax.run_list.listing.list_runs",
    "pneumojax.run_list.listing.selected_folders",
    "pneumojax.export.export.export",
    "pneumojax.export.export.describe",
    "pneumojax.cli.beam_commands.Engine",
    "pneumojax.beam.ingest.ingest",
    "pneumojax.beam.predict.predict_shards",
    "pneumojax.inference.predictor.Predictor",
    "pneumojax.predict.sources.Sources",
)
# The program reads these before it runs a verb.
OF_THE_PROGRAM = {
    "cache_dir",
    "deterministic",
    "print_config",
    "coordinator",
    "processes",
    "process",
}


def command(*arguments):
    return parse([str(argument) for argument in arguments], tuple(VERBS))


class Recording:
    """Options that remember which of them were read."""

    def __init__(self, options):
        self._options, self.read = options, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self._options, name)


class Idle:
    """Takes the place of any function, class or object, and does nothing."""

    def __call__(self, *_, **__):
        return self

    def __getattr__(self, name):
        return self

    def __bool__(self):
        return False


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_reads_the_flags_that_it_takes_and_no_others(verb, config, tmp_path, monkeypatch):
    begin(tmp_path / "run", resolve(config))
    for work in WORK:
        monkeypatch.setattr(work, Idle())
    needed = ["--films=x", "--output=y.csv"] if verb == "table" else []
    needed = ["--format=onnx", "--output=y"] if verb == "export" else needed
    needed = ["--space=quick"] if verb == "tune" else needed
    needed = ["--output=y"] if verb == "beam-predict" else needed
    given = command(verb, f"--workdir={tmp_path / 'run'}", *needed)
    options = Recording(given.options)
    VERBS[verb].run(replace(given, options=options))
    assert options.read - OF_THE_PROGRAM == set(VERBS[verb].flags) - OF_THE_PROGRAM


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "predict --split=test a.png",
            "--split: predict does not read this flag; evaluate, compare and",
        ),
        ("crossvalidate --download", "--download: crossvalidate does not read this flag; train "),
        (
            "serve --films=x",
            "--films: serve does not read this flag; evaluate, export and",
        ),
        ("--films=x", "--films: train does not read this flag; evaluate, export and"),
        (
            "serve --output=a.csv",
            "; predict, compare, runs, export, beam-predict, table and",
        ),
        ("preview --noverify_films", "--verify_films: preview does not read this flag"),
        ("compare --cache_dir=x a b", "--cache_dir: compare does not read this flag"),
        ("evaluate --print_config", "--print_config: evaluate does not read this flag"),
        ("profile --distributed", "--distributed: profile does not read this flag; train does"),
        ("compare --config=x.py a b", "--config: compare does not read this flag; train, "),
        ("compare a b --config.epochs=3", "--config.epochs: compare does not read this flag"),
        (
            "train a.png",
            "'a.png': train takes no files; predict, compare, runs and ",
        ),
    ],
)
def test_what_a_verb_does_not_read_is_refused_with_the_verbs_that_do(line, told):
    with pytest.raises(UserError) as error:
        refuse_unread(command(*line.split()))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_default_that_is_given_is_refused_like_any_other_value():
    with pytest.raises(UserError, match="^--port: predict does not read this flag; serve does"):
        refuse_unread(command("predict", "--port=7860", "a.png"))


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_each_of_its_flags(verb):
    values = {"split": "test", "port": "1", "processes": "2", "process": "1", "styles": "2"}
    values |= {"format": "onnx", "dtype": "int8", "trials": "2"}
    values |= {"workers": "2", "shard_films": "8"}
    values |= {"sampler": "tpe", "storage": "sqlite"}
    switches = [name for name in VERBS[verb].flags if isinstance(default(name), bool)]
    texts = [name for name in VERBS[verb].flags if name not in switches]
    line = [f"--{name}" for name in switches]
    line += [f"--{name}={values.get(name, 'x')}" for name in texts]
    line += ["--config.epochs=3"] if VERBS[verb].takes_config else []
    line += ["a.png"] if VERBS[verb].arguments else []
    refuse_unread(command(verb, *line))


def default(flag):
    return getattr(command().options, flag)


def test_the_program_refuses_before_it_runs_the_verb(monkeypatch, capsys):
    # Handlers of signals and of faults belong to the process that runs the tests.
    quiet = SimpleNamespace(raise_stopped=lambda: None, end_quietly=lambda: None)
    monkeypatch.setattr(program, "signals", quiet)
    monkeypatch.setattr(program, "_prepare_output", lambda: None)
    with pytest.raises(SystemExit) as ended:
        program.main(["predict", "--split=test", "a.png"])
    assert ended.value.code == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "error: --split: predict does not read this flag; evaluate, compare and beam-ingest do"
    ]


def commands_of_the_pages():
    """The arguments of every `python main.py` of the README and docs, with x for placeholders."""
    found = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = page.read_text().replace("\\\n", " ")
        for line in re.findall(r"python main\.py([^`\n]*)", text):
            if not line.startswith(" <verb>"):  # a synopsis
                found.append(shlex.split(re.sub(r"<[^>]*>", "x", line), comments=True))
    return [line for line in found if not {"--help", "--version"} & set(line)]


def test_commands_of_the_pages_and_of_the_help_give_verbs_only_what_they_read():
    lines = commands_of_the_pages()
    assert len(lines) > 30
    examples = [example for verb in VERBS.values() for example in verb.examples]
    lines += [re.sub(r"<[^>]*>", "x", example).split() for example in examples]
    for line in lines:
        refuse_unread(command(*line))
