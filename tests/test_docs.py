"""The README and docs against the code: commands, names, links, numbers, and the examples run."""

import ast
import importlib
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml
from flax import nnx
from PIL import Image

import pneumojax
from pneumojax import runtime
from pneumojax.cli.flags import FLAGS
from pneumojax.cli.parsing import parse
from pneumojax.cli.program import main
from pneumojax.cli.verbs import VERBS, refuse_unread
from pneumojax.config.flat import flatten
from pneumojax.configs import base, inception_v3
from pneumojax.data import chest_xray, phantom, phantom_films
from pneumojax.data import out_of_distribution as scope
from pneumojax.data.classes import CLASS_NAMES
from pneumojax.data.films import SPLITS
from pneumojax.decoding import decompression_limits
from pneumojax.nn import winograd
from pneumojax.nn.inception import Inception, count_parameters
from pneumojax.predict import output
from pneumojax.shipped import config_names
from pneumojax.weights import hdf5
from tests.support import bombs
from tools.docs import results
from tools.docs.network import stages, times

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for name in ("docs", "records") for path in sorted((ROOT / name).rglob("*.md"))),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def read(name):
    return (ROOT / name).read_text()


def code_blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def tables(text):
    """Reads the Markdown tables of a page as lists of rows of cells, the header first."""
    found = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        elif found[-1]:
            found.append([])
    return [[row for row in table if set(row[0]) - set("-")] for table in found if table]


def table(name, *header):
    """Returns the rows below the only header that begins with these cells."""
    (rows,) = [t[1:] for t in tables(read(name)) if t[0][: len(header)] == list(header)]
    return rows


# Commands, fields, names, links


def defined_flags():
    """Returns {flag: its values, or None} for main.py, the benchmarks and the tools."""
    found = {"help": None, "version": None, "mode": tuple(VERBS), "config": None}
    found |= {name: flag.choices or None for name, flag in FLAGS.items()}
    folders = (ROOT / name for name in ("benchmarks", "tools", "tests/support"))
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        found |= dict.fromkeys(re.findall(r'add_argument\("--([\w-]+)"', path.read_text()))
    return found


@each_page
def test_every_flag_and_field_named_exists(page):
    flags = defined_flags()
    fields = flatten(base.get_config()).keys() | flatten(inception_v3.get_config()).keys()
    text = page.read_text()
    # Other programs' own flags: `pip -r`, `pytest -m`, `tensorboard --logdir`.
    text = re.sub(r"\b(tensorboard|xprof) --logdir", "", text)
    text = re.sub(r"\bpip install( --[\w-]+)+", "", text)
    text = re.sub(r"'--runner=[^']+'", "", text)  # options of Apache Beam
    text = re.sub(r"^#SBATCH .*$", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"\b(srun|mpirun|gcloud|docker|mkdocs|ruff)( (?!python|\.venv)[^\s`]+)+", "", text
    )
    for flag, value in re.findall(r"(?<![\w-])--([a-z_-]+)\b(?:=([\w./]+))?", text):
        assert flag in flags, f"--{flag}"
        if value and flags[flag]:
            assert value in flags[flag], f"--{flag}={value}"
        if value and flag == "config":
            is_shipped = (ROOT / value).is_file() or value in config_names()
            assert is_shipped or f"in a file `{value}`:" in text, value
    for field in re.findall(r"(?<![\w/])config\.([a-z][\w.]*\w)", text):
        names = {*fields, *(name.split(".")[0] for name in fields), "json"}
        assert field in names, field


def test_every_command_of_a_page_is_one_that_its_verb_reads():
    read_commands = 0
    for page in PAGES:
        text = page.read_text().replace("\\\n", "")  # lines that go on
        for line in re.findall(r"python main\.py ([a-z-][^`\n]*)", text):
            arguments = shlex.split(re.sub(r"<[^>]*>", "x", line.split(" && ")[0]))
            if not {"--help", "--version"}.intersection(arguments):
                refuse_unread(parse(arguments, tuple(VERBS)))
                read_commands += 1
    assert read_commands > 60


@each_page
def test_every_relative_link_and_picture_exists(page):
    for target in re.findall(r"\]\(([^)]+)\)", without_code(page.read_text())):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), target  # the site shows no folders
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target


@each_page
def test_every_path_and_name_in_backticks_exists(page):
    tops = {path.name for path in ROOT.iterdir()}
    for text in re.findall(r"`([^`\n]+)`", without_code(page.read_text())):
        if re.fullmatch(r"pneumojax(\.\w+)+", text):
            module, name = text.rsplit(".", 1)
            assert hasattr(importlib.import_module(module), name), text
        elif re.fullmatch(r"[\w.-]+(/[\w.-]*)*", text) and text.split("/")[0] in tops - {"runs"}:
            assert (ROOT / text).exists(), text
        else:
            for word in text.split():
                if re.fullmatch(r"(benchmarks|configs|tests)/\S+\.py|requirements\S*\.txt", word):
                    assert (ROOT / word).exists(), text


def test_every_program_that_a_page_or_a_program_names_exists():
    folders = (ROOT / name for name in ("benchmarks", "tools", "tests/support"))
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    texts = {path: path.read_text() for path in [*PAGES, *sources]}
    named = {
        (path, name)
        for path, text in texts.items()
        for name in re.findall(r"python -m ((?:benchmarks|tools|tests)[\w.]*\w)", text)
    }
    assert len({name for _, name in named}) > 20
    for path, name in named:
        source = ROOT.joinpath(*name.split("."))
        program = source / "__main__.py" if source.is_dir() else source.with_suffix(".py")
        assert program.is_file(), f"{name} in {path}"
        assert 'if __name__ == "__main__":' in program.read_text(), f"{name} in {path}"


def test_functions_said_to_be_in_a_file_are_there():
    said = r"`(\w+)`(?: returns)? (?:in|of) `(pneumojax/[\w/]+\.py)`"
    pairs = [pair for page in PAGES for pair in re.findall(said, page.read_text())]
    assert len(pairs) >= 8
    for name, path in pairs:
        tree = ast.parse(read(path))
        names = {
            target.id if isinstance(target, ast.Name) else target.name
            for node in ast.walk(tree)
            for target in (node.targets if isinstance(node, ast.Assign) else [node])
            if isinstance(target, ast.Name | ast.FunctionDef | ast.ClassDef)
        }
        assert name in names, f"{name} in {path}"


@pytest.mark.parametrize(
    ("mark", "installed", "program"),
    [("run", "-r requirements.txt", "main.py"), ("test", '-e ".[dev]"', "-m pytest")],
)
def test_the_first_screen_has_each_command_on_one_line(mark, installed, program):
    first_screen = "\n".join(read("README.md").splitlines()[:30])
    (command,) = re.findall(rf"<!-- ci: {mark} -->\n```bash\n(.*)\n```\n", first_screen)
    steps = command.split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[1] == f".venv/bin/pip install {installed}"
    assert steps[2].startswith(f".venv/bin/python {program}")


def stored_result():
    figure = {"value": 0.91, "low": 0.8512, "high": 0.9576, "method": "wilson"}
    whole = {"value": 1.0, "low": None, "high": None, "method": "delong"}
    epoch = {"kind": "epoch", "train_accuracy": 0.78391, "seconds_per_step": 2.0}
    return {
        "config": "base",
        "films": "some",
        "command": "python main.py",
        "hardware": "a machine",
        "versions": {},
        "history": [epoch, {**epoch, "train_accuracy": 0.9262, "seconds_per_step": 2.5}],
        "validation": {"split": "val", "n": 1_521, "patients": 354, "patients_known": True}
        | dict.fromkeys(results.FIGURES, figure)
        | {"auroc": whole},
        "wall_seconds": 605.7,
    }


def test_a_stored_result_becomes_one_row_in_each_table(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(stored_result()))
    text = results.render(results.load(tmp_path))
    assert "| [base](records/results/one.json) | some | validation, 1,521 films of 354 p" in text
    assert "| 0.910 (0.851 to 0.958) |" in text and "| 1.000 (no interval) |" in text
    assert "| 0.784, 0.926 | 2.25 | 10:05 | a machine |" in text
    assert {len(row) for row in tables(text)[0]} == {7}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "extra"),
        ({"history": []}, "history"),
        ({"validation": {"split": "test"}}, "t"),
    ],
)
def test_a_stored_result_that_is_malformed_or_of_test_is_refused(tmp_path, change, message):
    (tmp_path / "one.json").write_text(json.dumps(stored_result() | change))
    with pytest.raises(ValueError, match=message):
        results.load(tmp_path)


def test_pictures_are_all_shown_and_small():
    pictures = set((ROOT / "docs" / "images").iterdir())
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text())
    }
    assert shown == {path.resolve() for path in pictures}
    assert sum(path.stat().st_size for path in pictures) < 800_000


def test_every_page_is_in_the_navigation_of_the_site_once():
    named = re.findall(r"^ +- .*: (\S+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert len(named) == len(set(named))
    assert set(named) == pages | {"CHANGELOG.md", "CONTRIBUTING.md"}


def test_every_verb_is_on_the_page_of_the_command_line():
    assert [row[0].strip("`") for row in table("docs/commands.md", "verb")] == [*VERBS]


def test_the_citation_names_the_version_and_the_licence_of_the_package():
    citation = yaml.safe_load(read("CITATION.cff"))
    package = tomllib.loads(read("pyproject.toml"))["project"]
    assert citation["version"] == pneumojax.__version__
    assert citation["license"] == package["license"]


# Examples


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A cache that the first pages share, because compiling the released network takes long."""
    return tmp_path_factory.mktemp("compiled")


@pytest.mark.slow  # it compiles the released network
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_python_lines_of_a_first_page_predict_a_film(
    page, films_root, tmp_path, compiled, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runtime, "CACHE_DIR", str(compiled))
    shutil.copy(min((films_root / "test" / "PNEUMONIA").iterdir()), "film.jpeg")
    (block,) = code_blocks(read(page), "python")
    exec(compile(block, page, "exec"), {})
    assert "film.jpeg" in capfd.readouterr().out


@pytest.mark.slow  # it trains four times
def test_the_commands_of_the_quickstart_lead_from_films_to_a_comparison(
    films_root, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    cache = f"--cache_dir={tmp_path / 'cache'}"
    small = ["--config.epochs=1", "--config.data.image_size=32", "--config.batch_size=16"]
    small += ["--config.model.stem=(4,4,8)", "--config.model.modules=((4,4,8,2,4,4),)"]
    Path("chest_xray").symlink_to(films_root)
    Path("path/to").mkdir(parents=True)
    Path("path/to/folder").symlink_to(films_root / "test")
    shutil.copy(min((films_root / "test" / "PNEUMONIA").iterdir()), "film.jpeg")
    main(["table", f"--films={films_root}", "--output=films.csv"])
    rows = Path("films.csv").read_text()
    named = rows.replace(",PNEUMONIA,", ",sick,").replace(",NORMAL,", ",healthy,")
    named = re.sub(r"^(?=train/|test/)", "chest_xray/", named, flags=re.MULTILINE)
    Path("films.csv").write_text(named)
    blocks = "".join(code_blocks(read("docs/quickstart.md"), "bash"))
    lines = [line for line in blocks.splitlines() if line.startswith("python main.py")]
    assert len(lines) == 7
    for line in lines:
        capfd.readouterr()
        _, _, verb, *arguments = line.split()
        arguments += small if verb == "train" else []
        main([verb, *arguments, *([] if verb == "compare" else [cache])])
    assert "AUROC" in capfd.readouterr().out


def test_the_examples_of_extending_run(tmp_path, monkeypatch):
    own, *examples = code_blocks(read("docs/extending.md"), "python")
    assert len([line for line in own.splitlines() if line]) <= 20
    (tmp_path / "my_networks.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {}
    for block in examples:
        exec(compile(block, "docs/extending.md", "exec"), namespace)


@pytest.mark.slow
def test_the_commands_of_extending_lead_from_a_file_to_a_comparison(films_root, tmp_path):
    own, *_ = code_blocks(read("docs/extending.md"), "python")
    (commands, *_) = code_blocks(read("docs/extending.md"), "bash")
    (tmp_path / "my_networks.py").write_text(own)
    small = [f"--config.data.root={films_root}", f"--cache_dir={tmp_path / 'cache'}"]
    small += ["--config.epochs=1", "--config.data.image_size=32", "--config.batch_size=16"]
    small += ["--config.model.stem=(4,4,8)", "--config.model.modules=((4,4,8,2,4,4),)"]
    for line in commands.splitlines():
        _, *arguments = line.replace("runs/", f"{tmp_path}/").split()
        if " compare " not in line:
            arguments += small
        if " profile " in line:
            arguments.append(f"--workdir={tmp_path / 'profiled'}")
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, (line, result.stderr)
    assert "AUROC" in result.stdout


@pytest.mark.slow  # it trains and evaluates
def test_the_examples_of_the_python_interface_run(films_root, make_dicom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    film = min((films_root / "test" / "PNEUMONIA").iterdir())
    shutil.copy(film, tmp_path / "films" / "person1.jpeg")
    (tmp_path / "films" / "scan.dcm").write_bytes(make_dicom(np.asarray(Image.open(film))))
    (tmp_path / "own_films").symlink_to(films_root)
    monkeypatch.setattr(runtime, "CACHE_DIR", str(tmp_path / "cache"))
    namespace = {}
    for block in code_blocks(read("docs/api.md"), "python"):
        exec(compile(block, "docs/api.md", "exec"), namespace)
    assert len(namespace["predictions"]) == 2 and not any(namespace["predictions"].errors)
    assert namespace["evaluated"].report.is_file() and (tmp_path / "evidence.png").is_file()


@pytest.mark.slow  # TensorFlow Datasets takes half a minute; tests/data checks its builder
def test_the_example_of_the_tfds_builder_runs(films_root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").symlink_to(films_root)
    (block,) = code_blocks(read("docs/data.md"), "python")
    exec(compile(block, "docs/data.md", "exec"), {})


# Numbers


@pytest.fixture(scope="module")
def params():
    """The shapes of the parameters of `configs/base.py` with both heads."""
    model = base.get_config().model
    options = {name: model[name] for name in ("channels", "stem", "modules")}
    abstract = nnx.eval_shape(
        lambda: Inception(image_size=150, heads=("main", "auxiliary"), rngs=nnx.Rngs(0), **options)
    )
    return nnx.to_pure_dict(nnx.state(abstract, nnx.Param))


def multiply_adds(part, positions):
    """Counts the multiply-adds of a part whose kernels apply at `positions` positions."""
    leaves = jax.tree.leaves_with_path(part)
    return positions * sum(leaf.size for path, leaf in leaves if "kernel" in str(path[-1]))


def parts(params):
    modules = {f"modules.{i}": module for i, module in params["modules"].items()}
    return {name: part for name, part in params.items() if name != "modules"} | modules


def work(params):
    """Counts the multiply-adds of each part of the network with the auxiliary head alone."""
    area = {name: shape[0] * shape[1] for name, shape in stages().items() if len(shape) == 3}
    head = params["auxiliary_head"]
    counts = {n: multiply_adds(p, area[n]) for n, p in parts(params).items() if n in area}
    narrow = multiply_adds(head["narrow"], area["auxiliary_narrow"])
    return counts | {"auxiliary_head": narrow + multiply_adds(head["classifier"], 1)}


def test_shapes_and_parameters_in_architecture_are_those_of_the_modules(params):
    shapes = {name: times(shape) for name, shape in stages().items()}
    counts = {name: count_parameters(part) for name, part in parts(params).items()}
    rows = {row[0]: row[2:] for row in table("docs/architecture.md", "stage")}
    total = count_parameters(params)
    alone = total - counts["main_head"]
    expected = {
        "film": [shapes["input"], "0"],
        "pool": [shapes["pool"], "0"],
        "auxiliary_head": ["one logit", f"{counts['auxiliary_head']:,}"],
        "main_head": ["one logit", f"{counts['main_head']:,}"],
        "total, auxiliary head alone": ["", f"{alone:,}"],
        "total, both heads": ["", f"{total:,}"],
    }
    for name in ("stem1", "stem2", "stem3", "modules.0", "modules.1"):
        expected[name] = [shapes[name], f"{counts[name]:,}"]
    assert rows == expected
    for name in ("README.md", "docs/architecture.md"):
        assert f"{alone:,}" in read(name) and f"{total:,}" in read(name)
    widths = base.get_config().model.modules
    listed = [row[1] for row in table("docs/architecture.md", "stage") if "modules" in row[0]]
    assert listed == [f"Inception {list(each)}" for each in widths]
    hidden = count_parameters(params["auxiliary_head"]["classifier"]["hidden"])
    assert f"auxiliary head has {hidden:,} parameters" in read("docs/architecture.md")


def test_heads_in_architecture_are_those_of_the_modules(params):
    shapes = stages()
    main, auxiliary = params["main_head"], params["auxiliary_head"]
    dense = {
        name: [count_parameters(head["classifier"][layer]) for layer in ("hidden", "logit")]
        for name, head in (("main", main), ("auxiliary", auxiliary))
    }
    units = auxiliary["classifier"]["logit"]["kernel"].shape[0]
    assert [[shape, count] for _, shape, count in table("docs/architecture.md", "layer")] == [
        [times(shapes["auxiliary_pool"]), "0"],
        [times(shapes["auxiliary_narrow"]), f"{count_parameters(auxiliary['narrow']):,}"],
        [times(shapes["auxiliary_flat"]), "0"],
        [str(units), f"{dense['auxiliary'][0]:,}"],
        ["1", f"{dense['auxiliary'][1]:,}"],
        [times(shapes["global_pool"]), "0"],
        [str(units), f"{dense['main'][0]:,}"],
        ["1", f"{dense['main'][1]:,}"],
    ]


def test_what_factorizing_saves_is_counted_from_the_modules(params):
    def row(name, kind, a_to_b, plain, factorized, plain_work, factorized_work):
        cells = [name, kind, a_to_b]
        for before, after in ((plain, factorized), (plain_work, factorized_work)):
            cells += [f"{before:,}", f"{after:,}", f"{1 - after / before:.1%}".replace("%", " %")]
        return cells

    height, width, _ = stages()["modules.0"]
    expected, saved, saved_work = [], 0, 0
    for i, module in params["modules"].items():
        for k in (3, 5):
            column, line = module[f"branch{k}_column"], module[f"branch{k}_row"]
            assert column["kernel"].shape[:2] == (k, 1) and line["kernel"].shape[:2] == (1, k)
            a, b = column["kernel"].shape[2:]
            counts = (k * k * a * b + b, count_parameters([column, line]))
            products = (
                k * k * a * b * height * width,
                multiply_adds([column, line], height * width),
            )
            saved, saved_work = (
                saved + counts[0] - counts[1],
                saved_work + products[0] - products[1],
            )
            expected.append(row(f"modules.{i}", f"{k}×{k}", f"{a} to {b}", *counts, *products))
    alone = count_parameters(params) - count_parameters(params["main_head"])
    total = sum(work(params).values())
    whole = (alone + saved, alone, total + saved_work, total)
    expected.append(row("whole network", "all four", "", *whole))
    assert table("docs/architecture.md", "module") == expected


def test_multiply_adds_in_architecture_are_those_of_the_modules(params):
    rows = table("docs/architecture.md", "part")
    counts = work(params)
    assert {name: count for name, count in rows} == {n: f"{c:,}" for n, c in counts.items()}
    stem = sum(count for name, count in counts.items() if name.startswith("stem"))
    assert 0.45 < stem / sum(counts.values()) < 0.5  # "nearly half of the work in the stem"


def test_numbers_in_data_are_those_of_the_code():
    text, cached = read("docs/data.md"), read("docs/input.md")
    for line in chest_xray.ChestXray.__doc__.splitlines():
        if line.strip().startswith(("| train", "| test")):
            assert line.strip() in text
    for split, counts in (("train", phantom_films.TRAIN_FILMS), ("test", phantom_films.TEST_FILMS)):
        cells = [str(counts[pathogen]) for pathogen in phantom.PATHOGENS]
        drawn = table("docs/data.md", "split", "normal", "bacteria")
        assert [split, *cells, str(sum(counts.values()))] in drawn
    assert f"`synthetic-v{phantom_films.VERSION}/`" in cached
    side = base.get_config().data.image_size
    assert f"At {side} pixels a film takes {side * side:,} bytes" in cached
    for name in (*CLASS_NAMES, *SPLITS):
        assert name in text


def test_figures_of_streaming_in_input_are_those_that_are_stored():
    points = json.loads(read("records/performance/streaming.json"))["points"]
    sizes = sorted(points["streamed"], key=int)
    rows = [(n, way, points[way][n]) for n in sizes for way in points if n in points[way]]
    assert table("docs/input.md", "films", "way") == [
        [f"{int(n):,}", way]
        + [f"{p['preparing']['seconds']:,.0f}"]
        + [f"{p[name]:,.0f}" for name in ("films_per_second", "films_per_second_from_disk")]
        + [f"{p['reading'][name]:,.0f}" for name in ("all_mb", "own_mb")]
        for n, way, p in rows
    ]
    few, many = points["streamed"][sizes[0]], points["streamed"][sizes[-1]]
    least, most = (point["reading"]["all_mb"] for point in (few, many))
    grown = many["preparing"]["peak_mb"] - few["preparing"]["peak_mb"]
    a_film = grown * 1e6 / (int(sizes[-1]) - int(sizes[0]))
    text = read("docs/input.md")
    assert f"from {least:,.0f} to {most:,.0f} MB" in text
    assert f"peak grew by {a_film:,.0f} bytes a film" in text
    assert f"reading {many['films_read']:,} films" in text


def test_the_decoders_that_input_compares_are_those_that_are_stored():
    stored = json.loads(read("records/performance/jpeg_decoders.json"))
    text = read("docs/input.md")
    low, high = stored["quartiles"]
    assert f"{stored['films']} films {stored['times_as_fast']:.2f} times as fast" in text
    assert f"quartiles {low:.2f} and {high:.2f}" in text


def test_speeds_of_the_cache_in_input_are_those_that_are_stored():
    stored = json.loads(read("records/performance/cache_throughput.json"))["batches"]
    speeds = [(row["batch_size"], *row["films_per_second"].values()) for row in stored]
    assert table("docs/input.md", "batch", "in memory, films/s") == [
        [f"{round(value):,}" for value in row] for row in speeds
    ]
    text, side = read("docs/input.md"), base.get_config().data.image_size
    limits = {row[0]: row for row in table("docs/roofline.md", "limit", "TFLOP/s")}
    most, share = limits["H100 bfloat16"][-2:]
    assert f"{most} films a second in bfloat16, which is {share} of its peak" in text
    assert f"{speeds[1][1]:,.0f} films a second is {speeds[1][1] * side**2 / 1e9:.1f} GB/s" in text
    most_films = int(most.replace(",", ""))
    assert f"That many films are {most_films * side**2 / 1e9:.1f} GB/s" in text
    assert f"copies {speeds[1][1] / most_films:.1f} times as many" in text


@pytest.mark.parametrize(
    ("name", "patient", "pathogen"), [tuple(row) for row in table("docs/data.md", "name")]
)
def test_names_in_data_are_read_as_the_page_says(name, patient, pathogen):
    from pneumojax.data.patients import identify

    identity = identify(name.strip("`"), int(pathogen != "none"))
    assert (identity.patient, identity.pathogen, identity.known) == (patient, pathogen, True)


def test_keys_of_metrics_in_run_folder_are_those_that_are_written():
    sources = "".join(p.read_text() for p in (ROOT / "pneumojax" / "training").glob("*.py"))
    for cell, *_ in table("docs/run_folder.md", "key"):
        for key in re.findall(r"`(\w+)`", cell):
            assert f'"{key}"' in sources, key


def test_the_run_folder_that_is_described_is_the_one_in_the_code():
    described = re.findall(r"^([\w.]+/?)  +\w", read("pneumojax/run/__init__.py"), re.MULTILINE)
    assert [row[0].strip("`") for row in table("docs/run_folder.md", "in it")] == described


def test_numbers_in_reliability_are_the_stored_ones():
    rows = table("docs/reliability.md", "target")
    assert rows
    for _, inputs, kinds, broken, link in rows:
        stored = json.loads(read(re.search(r"\(\.\./(.*)\)", link)[1]))
        found = (stored["executions"], stored["corpus"], len(stored["broken"]))
        assert (inputs, kinds, broken) == tuple(f"{number:,}" for number in found)


def test_products_of_winograds_convolution_are_those_of_its_matrices():
    rows = table("docs/cpu_methods.md", "kernel")
    assert len(rows) == 4
    for kernel, *numbers, share in rows:
        taps = [int(side) for side in kernel.split(",")[0].split("×")]
        outputs = math.prod(winograd.OUTPUTS[side] for side in taps)
        products = math.prod(len(winograd.matrices(side).tile) for side in taps)
        terms = outputs * math.prod(taps)
        assert [int(number) for number in numbers] == [outputs, terms, products]
        assert share == f"{products / terms:.0%}".replace("%", " %")


def test_numbers_in_predict_are_the_stored_ones():
    stored = json.loads(read("records/data/out_of_distribution.json"))
    rows = {name: row for name, row in stored.items() if isinstance(row, dict)}
    assert {
        name: {"pictures": int(of), "warned": int(warned)}
        for name, warned, of in table("docs/predict.md", "pictures")
    } == rows
    assert stored["quantile"] == scope.QUANTILE and stored["fitted_on"] == scope.MOST_FILMS
    text = read("docs/predict.md")
    assert f"{scope.MOST_FILMS:,} of its films" in text and f"{scope.LEAST_FILMS} films, or" in text
    assert f"more than {scope.MOST_COLOUR:g} of 255" in text
    assert f"less than {scope.LEAST_CONTRAST:g} of 255" in text
    described = scope.statistics(np.zeros((1, 32, 32), np.uint8))
    assert f"computes {described.shape[1]} statistics" in text
    columns = [row[0].strip("`") for row in table("docs/predict.md", "column")]
    assert tuple(columns) == output.COLUMNS


def test_limits_in_security_are_those_of_the_code():
    rows = {row[0]: row[1] for row in table("docs/security.md", "limit")}
    number = {
        name: int(re.search(r"[\d,]+", value)[0].replace(",", "")) for name, value in rows.items()
    }
    assert number["sides"] == decompression_limits.MIN_SIDE
    assert number["pixels"] == decompression_limits.MAX_PIXELS
    assert number["file"] << 30 == decompression_limits.MAX_BYTES == hdf5.LARGEST
    assert number["deflated DICOM"] == 2 * decompression_limits.MAX_PIXELS
    assert number["scans of a JPEG"] == decompression_limits.MAX_SCANS
    assert number["tiles of a JPEG 2000 film"] == decompression_limits.MAX_TILES
    assert number["its precincts and code blocks"] == decompression_limits.MAX_CELLS
    assert f"{decompression_limits.MOST_NUMBERS:,}" in rows["values of a TIFF or EXIF directory"]
    assert f"{decompression_limits.LARGE:,}" in rows["decoded at once"]
    (most,) = re.findall(r"MAX_UPLOAD = (\d+) << 20", read("pneumojax/serve/page.py"))
    assert f"{most} MB" in rows["file"]  # the page needs more packages


def test_the_bombs_that_the_pages_tell_of_are_those_that_are_stored():
    stored = json.loads(read("records/reliability/bombs.json"))
    assert {row["file"] for row in stored["bombs"]} == bombs.BOMBS.keys()
    assert all(row["as_it_should"] for rows in stored.values() for row in rows)
    assert f"{len(bombs.BOMBS)} small files" in read("docs/reliability.md")
    largest = max(row["grew_by_mb"] for row in stored["largest"])
    assert f"takes {largest / 1000:.1f} GB" in read("docs/security.md")
