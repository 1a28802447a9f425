"""Runs the planned cases one after the other, stores each and prints a line for it."""

import gc
import time
import traceback
from collections.abc import Callable, Sequence

import jax

from benchmarks.accelerator.plan import Case
from benchmarks.accelerator.record import Record
from benchmarks.accelerator.table import line_of
from pneumojax.runtime import is_leader


def run_cases(planned: Sequence[Case], record: Record, minutes: float) -> list[str]:
    """Runs the cases that have no result yet, and returns the names of those that still lack one.

    A case that failed before is tried again. Cases that were begun and never ended, as when they
    brought the process down, come after the others. A case that would not end within `minutes` by
    its estimate is left out, and shorter ones after it are still tried.
    """
    began = time.monotonic()
    waiting = [case for case in planned if not record.has(case.name)]
    if len(waiting) < len(planned):
        print(f"{len(planned) - len(waiting)} of {len(planned)} cases have a result already")
    _store(lambda: record.set_missing([case.name for case in waiting]))
    for case in sorted(waiting, key=lambda case: record.attempts(case.name)):
        if time.monotonic() - began + case.seconds > 60 * minutes:
            print(f"{case.name}: left out, it may take {case.seconds:.0f} s", flush=True)
            continue
        _run(case, record)
    return [case.name for case in planned if not record.has(case.name)]


def _run(case: Case, record: Record) -> None:
    _store(lambda: record.begin(case.name))
    began = time.perf_counter()
    try:
        result = case.run()
    # One case may fail, for want of memory or in a vendor's library; the others still count.
    except Exception as error:
        traceback.print_exc()
        seconds, failed = time.perf_counter() - began, error
        _store(lambda: record.fail(case.name, failed, seconds))
        print(f"{case.name}: failed: {type(error).__name__}", flush=True)
    else:
        seconds = time.perf_counter() - began
        _store(lambda: record.finish(case.name, result, seconds))
        print(f"{case.name}: {line_of(case.part, result)} [{seconds:.1f} s]", flush=True)
    jax.clear_caches()  # compiled programs hold memory of the card
    gc.collect()


def _store(write: Callable[[], None]) -> None:
    """Has one process of a job write for all."""
    if is_leader():
        write()
