"""Measures correctness and speed on this machine's accelerator.

Command:   python -m benchmarks.accelerator [--minutes=8] [--full] [--smoke]
Each case is stored in records/accelerator/<card>.json as it ends; the same command goes on with
what is missing. docs/accelerator.md says what the parts mean.
"""

import argparse
import math
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "records" / "accelerator"
# A smoke run only tries the program, so compiling should be quick and its code may be slow.
_QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def main() -> int:
    """Runs the cases that are missing; 0 if all of them have a result at the end."""
    arguments = _parsed()
    _prepare(arguments)
    # JAX reads the environment when it is imported.
    from benchmarks.accelerator.identity import card_name, identity
    from benchmarks.accelerator.plan import cases
    from benchmarks.accelerator.record import Record
    from benchmarks.accelerator.runner import run_cases
    from pneumojax import runtime
    from pneumojax.errors import UserError

    try:
        if arguments.coordinator or arguments.distributed:
            runtime.join(arguments.coordinator, arguments.processes, arguments.process)
        name = card_name() + ("-smoke" if arguments.smoke else "")
        record = Record(arguments.output / f"{name}.json", identity(smoke=arguments.smoke))
        planned = cases(record, smoke=arguments.smoke, full=arguments.full)
        chosen = [c for c in planned if not arguments.only or c.name.startswith(arguments.only)]
        print(f"record: {record.path}", flush=True)
        missing = run_cases(chosen, record, arguments.minutes)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"missing: {', '.join(missing)}" if missing else "complete: every case has a result")
    return 1 if missing else 0


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="leave out what ends later")
    parser.add_argument("--output", type=Path, default=FOLDER, help="the folder of records")
    parser.add_argument("--full", action="store_true", help="measure more: see docs/accelerator.md")
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, only to try the program")
    parser.add_argument("--only", default="", help="cases whose names begin so: training/base")
    parser.add_argument("--distributed", action="store_true", help="join a job of processes")
    parser.add_argument("--coordinator", help="host:port of process 0, outside a known cluster")
    parser.add_argument("--processes", type=int, help="how many processes the job has")
    parser.add_argument("--process", type=int, help="the number of this one, from 0")
    return parser.parse_args()


def _prepare(arguments: argparse.Namespace) -> None:
    """Sets what JAX reads when it is imported; what the environment has already stays."""
    # PyTorch and child processes share the card, which JAX would take three quarters of.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / "runs" / "xla"))
    if arguments.smoke:
        given = os.environ.get("XLA_FLAGS", "")
        if _QUICK not in given:
            os.environ["XLA_FLAGS"] = f"{given} {_QUICK}".strip()


if __name__ == "__main__":
    sys.exit(main())
