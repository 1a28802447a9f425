"""The wheel: what it holds, and that it works outside the checkout.

The quick tests install it without its requirements, which this environment has. The slow one makes
a new environment with the versions of requirements-lock.txt.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import pneumojax
from pneumojax.data.phantom_films import write_films

ROOT = Path(__file__).parents[1]
PARTS = ("pneumojax", "configs", "models", "pyproject.toml", "README.md", "LICENSE")
LOCK = ROOT / "requirements-lock.txt"
METADATA = f"pneumojax-{pneumojax.__version__}.dist-info"


def run(*arguments, cwd, **variables):
    """The standard output and error of a command, which must succeed."""
    result = subprocess.run(
        [*map(str, arguments)],
        cwd=cwd,
        env=os.environ | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that this checkout makes, built without the network."""
    source = tmp_path_factory.mktemp("source")
    for name in (*PARTS, *(path.name for path in ROOT.glob("requirements*.txt"))):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir=dist")
    run(sys.executable, "-m", "pip", "wheel", ".", *options, cwd=source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the installed wheel, and nothing that it requires."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--quiet", f"--target={folder}")
    run(sys.executable, "-m", "pip", "install", wheel, *options, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A drawn film in a folder of its own, outside the checkout."""
    root = tmp_path_factory.mktemp("elsewhere")
    write_films(root, train={"none": 1}, test={})
    return min(root.rglob("*.jpeg"))


def files_below(folder, skipped=()):
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not {*skipped, "__pycache__"} & {*path.relative_to(folder).parts}
    }


def test_a_wheel_holds_the_package_the_configs_and_the_reference_network_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    packed = {name for name in names if not name.startswith(f"{METADATA}/")}
    wanted = {
        f"pneumojax/{name}" for name in files_below(ROOT / "pneumojax", ("configs", "models"))
    }
    wanted |= {f"pneumojax/configs/{name}" for name in files_below(ROOT / "configs")}
    wanted |= {f"pneumojax/models/{name}" for name in files_below(ROOT / "models")}
    assert packed == wanted


def test_importing_the_package_is_quick_and_loads_no_framework(installed, tmp_path):
    program = """
import sys, time
began = time.perf_counter()
import pneumojax
print(time.perf_counter() - began, pneumojax.__file__)
assert not {"numpy", "jax", "flax", "tensorflow", "keras", "absl"} & sys.modules.keys()
"""
    seconds = []
    for _ in range(3):  # the machine may be busy
        out, _ = run(sys.executable, "-c", program, cwd=tmp_path, PYTHONPATH=installed)
        assert out.split()[1] == str(installed / "pneumojax" / "__init__.py")
        seconds.append(float(out.split()[0]))
    assert min(seconds) < 0.5


def test_the_installed_command_names_itself_and_its_configs(installed, tmp_path):
    command = installed / "bin" / "pneumojax"
    help_text, _ = run(command, "train", "--help", cwd=tmp_path, PYTHONPATH=installed)
    assert help_text.startswith("usage: pneumojax train ")
    names = "base, distilled, inception_v3, quick, reference, two_heads"
    assert names in " ".join(help_text.split())
    version, _ = run(command, "--version", cwd=tmp_path, PYTHONPATH=installed)
    assert version.startswith(f"PneumoJAX {pneumojax.__version__} (jax ")


def test_a_config_of_a_users_own_starts_from_an_installed_one(installed, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from pneumojax.configs import base\n"
        "def get_config():\n    config = base.get_config()\n    config.seed = 7\n"
        "    return config\n"
    )
    command = installed / "bin" / "pneumojax"
    for config, seed in (("mine.py", 7), ("reference", 0)):
        arguments = (f"--config={config}", "--print_config")
        out, _ = run(command, *arguments, cwd=tmp_path, PYTHONPATH=installed)
        assert f'"seed": {seed},' in out


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("name", ["requirements.txt", "requirements-serve.txt"])
def test_the_locked_versions_are_those_that_the_requirements_allow(name, version):
    on = {"python_version": version, "python_full_version": f"{version}.0"}
    on |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    lines = [line.rstrip(" \\") for line in LOCK.read_text().splitlines() if line[:1].isalpha()]
    locked = {pin.name: pin for pin in map(Requirement, lines) if applies(pin, on)}
    written = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    for wanted in map(Requirement, filter(None, written)):
        if applies(wanted, on):
            (pin,) = locked[wanted.name.lower().replace("_", "-")].specifier
            assert wanted.specifier.contains(pin.version), wanted.name


def applies(requirement, environment):
    return requirement.marker is None or requirement.marker.evaluate(environment)


def interpreter(version):
    """A Python of this version that can make environments; None if there is none."""
    folders = os.environ["PATH"].split(os.pathsep)
    here = [sys.executable] if version == f"{sys.version_info[0]}.{sys.version_info[1]}" else []
    for path in (*here, *(Path(folder) / f"python{version}" for folder in folders)):
        check = [str(path), "-c", "import ensurepip"]
        # A pyenv shim is there for versions that are not chosen, and fails.
        if Path(path).exists() and subprocess.run(check, capture_output=True).returncode == 0:
            return path
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_works_in_a_new_environment_with_the_locked_versions(wheel, film, version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    with tempfile.TemporaryDirectory(prefix="pneumojax-environment-") as folder:
        here = Path(folder)
        run(python, "-m", "venv", "env", cwd=here)
        pip = (here / "env/bin/python", "-m", "pip")
        # Python compiles what is imported. pip would compile all files, which takes a minute.
        locked = ("--no-compile", "--require-hashes", f"--requirement={LOCK}")
        run(*pip, "install", "--quiet", *locked, cwd=here)
        before = set(next(here.glob("env/lib/*/site-packages")).iterdir())
        run(*pip, "install", "--quiet", wheel, cwd=here)
        run(*pip, "check", cwd=here)
        after = set(next(here.glob("env/lib/*/site-packages")).iterdir())
        assert {path.name for path in after - before} == {"pneumojax", METADATA}
        uses_the_network(here, film)


def uses_the_network(here, film):
    """Checks the command and the module of an environment on one film."""
    outside = {"XDG_CACHE_HOME": here / "cache", "JAX_COMPILATION_CACHE_DIR": ""}
    out, _ = run(here / "env/bin/pneumojax", "--help", cwd=here, **outside)
    assert out.startswith("usage: pneumojax ")
    run(here / "env/bin/pneumojax", "predict", film, "--output=out.csv", cwd=here, **outside)
    (row,) = csv.DictReader((here / "out.csv").read_text().splitlines())
    program = f"""
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None  # an import of these fails
import pneumojax
(answer,) = pneumojax.load().predict({str(film)!r})
print(answer.probability)
"""
    out, err = run(here / "env/bin/python", "-c", program, cwd=here, **outside)
    assert (out.strip(), err) == (row["probability"], "")
