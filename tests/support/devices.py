"""Compares training on several devices or processes with training on one.

Command:   python -m tests.support.devices --out=/tmp/devices
It runs `equal_steps.py` on 1, 2, 4 and 8 virtual devices of this CPU and in 1, 2 and 4 processes
that talk over the loopback (gloo), and stores the largest differences in
records/reliability/devices.json. Results that --out holds already are not computed again.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.hardware import hardware
from pneumojax.files import write_json
from tests.support import equal_steps

ROOT = Path(__file__).resolve().parents[2]

STORED = ROOT / "records" / "reliability" / "devices.json"
DEVICES, PROCESSES = (1, 2, 4, 8), (1, 2, 4)
# case -> the case on one device that it must equal, and the counts of devices to run it on
RUN_ON = {
    "whole_batch": ("whole_batch", (1,)),
    "plain": ("whole_batch", (2, 4, 8)),
    "two_at_a_time": ("whole_batch", (1, 2, 4)),
    "augmented": ("augmented", DEVICES),
}
TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
Run = Mapping[str, np.ndarray]
Results = dict[str, dict[str, np.ndarray]]


def environment(devices: int = 1) -> dict[str, str]:
    """Returns the environment of a process whose CPU is divided into virtual devices.

    Compilation is quick and its code slow, because the comparison concerns the division of work.
    """
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    flags = f"--xla_force_host_platform_device_count={devices} {quick}"
    return os.environ | {"XLA_FLAGS": flags}


def program(out: Path, *, cases: Sequence[str], devices: Sequence[int] = ()) -> list[str]:
    """Returns the command that runs `equal_steps.py`."""
    line = [sys.executable, "-m", "tests.support.equal_steps", f"--out={out}"]
    line += [f"--cases={','.join(cases)}"]
    return [*line, f"--devices={','.join(map(str, devices))}"] if devices else line


def load(path: Path) -> Results:
    """Reads {"<case>/<type>/<devices>": {name: values}} from a file of `equal_steps.py`."""
    found: Results = {}
    with np.load(path) as stored:
        for name in stored.files:
            *run, what = name.split("/", 3)
            found.setdefault("/".join(run), {})[what] = stored[name]
    return found


def difference(one: Run, other: Run, dtype: str) -> float:
    """Returns the largest difference over losses, logits and all tensors of the state.

    It is absolute in float64. In float32 it is a share of the largest value of each tensor, and
    Adam's second moments are left out, because they are squares of the gradients.
    """
    assert one.keys() == other.keys()
    found = [0.0]
    for what, values in one.items():
        apart = float(np.max(np.abs(values.astype(float) - other[what])))
        if dtype == "float64":
            found.append(apart)
        elif ".nu" not in what:
            found.append(apart / (float(np.max(np.abs(values))) or 1.0))
    return max(found)


def row(one: Results, reference: str, other: Results, case: str, count: int) -> dict[str, Any]:
    """Compares a case on `count` devices or processes with the reference on one."""
    return {"case": case, "count": count} | {
        dtype: difference(one[f"{reference}/{dtype}/1"], other[f"{case}/{dtype}/{count}"], dtype)
        for dtype in TOLERANCE
    }


def agrees(row: Mapping[str, Any]) -> bool:
    """Returns whether a row is within `TOLERANCE`."""
    return all(row[dtype] <= tolerance for dtype, tolerance in TOLERANCE.items())


def on_devices(out: Path, case: str, count: int) -> Results:
    """Runs a case on `count` virtual devices of a new process."""
    path = out / f"{case}-on-{count}-devices.npz"
    if not path.exists():
        line = program(path, cases=[case], devices=[count])
        subprocess.run(line, cwd=ROOT, env=environment(max(DEVICES)), check=True)
    return load(path)


def in_processes(out: Path, case: str, count: int) -> Results:
    """Runs a case in `count` processes of one device each."""
    path = out / f"{case}-in-{count}-processes.npz"
    if not path.exists():
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        line = [*program(path, cases=[case]), "--distributed"]
        line += [f"--coordinator=localhost:{port}", f"--processes={count}"]
        variables = environment()
        job = [
            subprocess.Popen([*line, f"--process={i}"], cwd=ROOT, env=variables)
            for i in range(count)
        ]
        if any([process.wait() for process in job]):
            raise SystemExit(f"a process of {count} failed")
    return load(path)


def measure(out: Path) -> list[dict[str, Any]]:
    """Makes all rows. In processes only the case with the most features runs."""
    found = []
    for case, (reference, counts) in RUN_ON.items():
        one = on_devices(out, reference, 1)
        for count in counts:
            if (case, count) != (reference, 1):
                several = on_devices(out, case, count)
                found.append({"over": "devices"} | row(one, reference, several, case, count))
    case = "augmented"
    one = in_processes(out, case, 1)
    for count in PROCESSES[1:]:
        several = in_processes(out, case, count)
        found.append({"over": "processes"} | row(one, case, several, case, count))
    return found


def main() -> None:
    """Runs the missing cases and stores the differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the results of each run"
    )
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    # Most runs compile the same steps.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out / "xla"))
    rows = measure(out)
    result = {
        "command": "python -m tests.support.devices --out=/tmp/devices",
        "hardware": hardware(),
        "jax": jax.__version__,
        "films": equal_steps.FILMS,
        "batch": equal_steps.BATCH,
        "steps": equal_steps.STEPS,
        "rows": rows,
    }
    write_json(STORED, result)
    for each in rows:
        print(each)


if __name__ == "__main__":
    main()
