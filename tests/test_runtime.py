"""Huge pages: asked for once, where Linux gives them to who asks, and nothing else is changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from pneumojax import runtime

ROOT = Path(__file__).resolve().parents[1]
ASKED = "always [madvise] never"


@pytest.mark.parametrize("given", ["", "glibc.malloc.tcache_count=9"])
def test_what_the_user_tunes_stays_and_huge_pages_are_added(given):
    environment = {"HOME": "/", **({"GLIBC_TUNABLES": given} if given else {})}
    found = runtime.with_huge_pages(environment, ASKED)
    assert found["HOME"] == "/"
    tunables = found["GLIBC_TUNABLES"].split(":")
    assert tunables == [*filter(None, [given]), "glibc.malloc.hugetlb=1"]
    assert runtime.with_huge_pages(found, ASKED) is None  # it is not started a third time


@pytest.mark.parametrize("offered", ["[always] madvise never", "always madvise [never]", ""])
def test_nothing_is_done_where_asking_changes_nothing(offered):
    assert runtime.with_huge_pages({}, offered) is None


def test_a_users_choice_about_huge_pages_stands():
    chosen = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}
    assert runtime.with_huge_pages(chosen, ASKED) is None


def test_the_program_starts_again_with_its_arguments_and_process_number(tmp_path):
    offer = tmp_path / "enabled"
    offer.write_text(ASKED)
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, sys\n"
        "from pneumojax import runtime\n"
        f"runtime.HUGE_PAGES = pathlib.Path({str(offer)!r})\n"
        "print('started', os.getpid(), flush=True)\n"
        "runtime.use_huge_pages()\n"
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
    assert last == "glibc.malloc.hugetlb=1 ['--a', 'b c']"
