"""The tunables of malloc are set once, and the rest of the environment stays as it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from pneumojax import runtime

ROOT = Path(__file__).resolve().parents[1]
ASKED = "always [madvise] never"
MALLOC = ["glibc.malloc.tcache_max=24", "glibc.malloc.mxfast=24"]
HUGE = "glibc.malloc.hugetlb=1"


@pytest.mark.parametrize("given", ["", "glibc.malloc.tcache_count=9"])
def test_what_the_user_tunes_stays_and_the_rest_is_added(given):
    environment = {"HOME": "/", **({"GLIBC_TUNABLES": given} if given else {})}
    found = runtime.with_tunables(environment, ASKED)
    assert found["HOME"] == "/"
    assert found["GLIBC_TUNABLES"].split(":") == [*filter(None, [given]), *MALLOC, HUGE]
    assert runtime.with_tunables(found, ASKED) is None  # so it starts only twice


@pytest.mark.parametrize("offered", ["[always] madvise never", "always madvise [never]", ""])
def test_pages_are_not_asked_for_where_that_changes_nothing(offered):
    assert runtime.with_tunables({}, offered)["GLIBC_TUNABLES"].split(":") == MALLOC


@pytest.mark.parametrize("name", ["hugetlb", "tcache_max", "mxfast"])
def test_a_users_choice_stands(name):
    chosen = {"GLIBC_TUNABLES": f"glibc.malloc.{name}=0"}
    tunables = runtime.with_tunables(chosen, ASKED)["GLIBC_TUNABLES"].split(":")
    others = [one for one in [*MALLOC, HUGE] if name not in one]
    assert tunables == [f"glibc.malloc.{name}=0", *others]


def test_the_program_starts_again_with_its_arguments_and_process_number(tmp_path):
    offer = tmp_path / "enabled"
    offer.write_text(ASKED)
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "from pneumojax import runtime\n"
        f"runtime.HUGE_PAGES = pathlib.Path({str(offer)!r})\n"
        "runtime.platform.libc_ver = lambda: ('glibc', '')\n"
        "print('started', os.getpid(), flush=True)\n"
        "runtime.tune_malloc()\n"
        "print(os.environ['GLIBC_TUNABLES'], sys.argv[1:])\n"
    )
    started = subprocess.run(
        [sys.executable, str(program), "--a", "b c"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    first, second, last = started.stdout.splitlines()
    assert first == second
    assert last == f"{':'.join([*MALLOC, HUGE])} ['--a', 'b c']"
