"""Scores films with the network of a run, audits the network and writes the evaluation."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pneumojax.evaluation.audits import registry
from pneumojax.evaluation.audits.audit import Subject
from pneumojax.evaluation.films import DEFAULT_FILMS, FilmChoice, choose_films, training_overlap
from pneumojax.evaluation.predictions import Predictions
from pneumojax.evaluation.report.evaluation import Evaluation
from pneumojax.evaluation.report.report import write_report
from pneumojax.evaluation.run_facts import RunFacts, run_facts
from pneumojax.evaluation.summary import summarise
from pneumojax.evaluation.terminal import print_table
from pneumojax.files import printable, refuse_links_out
from pneumojax.inference.ensemble import Spread, output_folder
from pneumojax.inference.predictor import Predictor
from pneumojax.nn.ops import FILMS_IN_CACHE
from pneumojax.run.film_list import SeenFilms
from pneumojax.terminal import say


def evaluate_run(
    workdirs: Sequence[Path],
    cache_dir: Path,
    choice: FilmChoice = DEFAULT_FILMS,
    *,
    results: Path | None = None,
    any_network: bool = False,
) -> dict[str, Any]:
    """Evaluates the best checkpoint of a run, or of several runs that answer together.

    The runs' own configs are used. Test films are scored only if "test" is named. Files are written
    to `evaluation/<name of the films>/` of `results`: by default the run folder, or that of the
    cross-validation, or one for this ensemble beside its first run. `any_network` is as in
    `open_run`. Returns the content of metrics.json.
    """
    out = results or output_folder(workdirs)
    refuse_links_out(out)
    predictor = Predictor.open(workdirs, any_network=any_network, cache_dir=cache_dir)
    return evaluate_predictor(predictor, cache_dir, choice, out).record()


def evaluate_predictor(
    predictor: Predictor, cache_dir: Path, choice: FilmChoice, out: Path
) -> Evaluation:
    """As `evaluate_run`, with networks that are open, and `out` as the folder of the results."""
    refuse_links_out(out)
    trained, workdir = predictor.first, predictor.workdirs[0]
    chosen = choose_films(choice, predictor, cache_dir)
    films = chosen.films
    overlap = training_overlap(predictor.workdirs, films, chosen.split, choice)
    several = len(predictor.members) > 1
    network = predictor.name if several else f"step {trained.meta['step']} of {workdir}"
    say(f"evaluating {printable(network)} on {len(films):,} films of {chosen.split}")
    say(overlap.line)
    seen = SeenFilms.of_runs(predictor.workdirs)
    notes = seen.notes(films)
    size = _batch_size(trained.config.batch_size, len(films), trained.mesh.size)
    predictor = predictor.in_batches_of(size)
    logits, spread = predictor.combine(predictor.logits(films))
    subject = Subject(
        trained=trained,
        decision=predictor.decision,
        films=films,
        predictions=Predictions.of_films(films, logits, notes, trained.class_names),
        score=lambda some: predictor.combine(predictor.logits(some))[0],
    )
    facts = run_facts(trained, workdir, films, chosen.name, overlap)
    if several:
        members = [path.name for path in predictor.workdirs]
        facts = replace(facts, run=predictor.name, members=members)
    return evaluate_subject(out / "evaluation" / chosen.name, subject, facts, spread)


def evaluate_subject(
    folder: Path, subject: Subject, facts: RunFacts, spread: Spread | None = None
) -> Evaluation:
    """Audits a network on films that it has scored, writes the evaluation and prints its table."""
    findings = [found for audit in registry.AUDITS if (found := audit(subject)) is not None]
    summary = summarise(subject.predictions, subject.decision)
    evaluation = Evaluation(facts, subject.predictions, summary, findings, spread)
    write_report(folder, evaluation)
    print_table(summary, cautions=evaluation.cautions, synthetic=facts.synthetic)
    shown = printable(str(folder))
    say(f"written to {shown}; the report is {shown}/report.html")
    return evaluation


def _batch_size(most: int, films: int, devices: int) -> int:
    """Films in a batch: about `most`, and equally many in each batch, so that little is padding.

    The result is a multiple of the films that each device passes through the network at a time.
    The audits score the same films twenty times, and 65 films in batches of 64 would take twice as
    long.
    """
    unit = FILMS_IN_CACHE * devices
    return math.ceil(films / math.ceil(films / most) / unit) * unit
