"""Records a trace of a few steps for xprof or TensorBoard, and reads its operations."""

import re
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
from jax.profiler import ProfileData, ProfileOptions, StepTraceAnnotation

from pneumojax.data.pipeline import Batch
from pneumojax.errors import UserError
from pneumojax.training.calls import CompiledCalls
from pneumojax.training.state import TrainState

CALLS = 3  # few, since every loop iteration adds events: a step on a CPU takes megabytes
# Every layer calls these files, so their lines do not tell to which layer an operation belongs.
PRIMITIVES = tuple(
    f"nn/{name}.py" for name in ("ops", "pools", "winograd", "chunked", "batch_norm", "branches")
)
PACKAGE = str(Path(__file__).parents[1])  # the prefix of source files in a trace
_TRANSFORMS = re.compile(
    r"\b(?:jvp|transpose|vmap|remat|checkpoint|custom_jvp|custom_vjp)"
    r"\(((?:p?jit\([^()]*\)|[^()])*)\)"
)
_NO_NAME = re.compile(  # parts that JAX's own control flow adds to a path
    r"|while|body|cond|closed_call|eval_jaxpr|shard_map|checkpoint|branch_\d+_fun|p?jit\(.*\)"
)
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.-]+) = (\S+) [\w-]+\(.*?metadata=\{(.*?)\}(?:,|$)")
_TABLE_ROW = re.compile(r"^(\d+) (.*)$")


@dataclass(frozen=True)
class Instruction:
    """The origin of one instruction of a compiled program.

    direction: "forward", "backward" or "other" (optimizer, metrics, copies).
    what: the scopes of its layer, if there are any, then the primitive that it came from.
    shape: of the result, as XLA writes it.
    source: lines of this package that led to it, outermost first: `nn/inception.py:87`.
    """

    direction: str
    what: str
    shape: str
    source: tuple[str, ...]

    @property
    def place(self) -> str:
        """The innermost three lines of the network that led to it, or else the innermost line."""
        lines = [line for line in dict.fromkeys(self.source) if line.startswith("nn/")]
        layers = [line for line in lines if not line.startswith(PRIMITIVES)] or lines
        return " > ".join(line.removeprefix("nn/") for line in layers[-3:] or self.source[-1:])


@dataclass(frozen=True)
class Operation:
    """One instruction in a traced step on one device, summed over loop iterations and threads."""

    name: str
    seconds: float
    share: float  # of the time of all instructions
    calls: float
    instruction: Instruction

    def to_json(self) -> dict[str, Any]:
        """The form in which profile.json stores it."""
        stored = asdict(self)
        instruction = stored.pop("instruction")
        return stored | instruction | {"place": self.instruction.place}


def record(
    train_step: CompiledCalls, state: TrainState, batches: Iterator[Batch], folder: Path
) -> TrainState:
    """Makes `CALLS` calls under the profiler; the trace lies in `folder`/plugins/profile/<time>."""
    options = ProfileOptions()
    options.python_tracer_level = 0  # Python frames would make up most of the file
    jax.profiler.start_trace(str(folder), profiler_options=options)
    try:
        for call in range(CALLS):
            with StepTraceAnnotation("train", step_num=call):
                state, metrics = train_step(state, next(batches))
                jax.block_until_ready(metrics)
    finally:
        _write(folder)
    return state


def _write(folder: Path) -> None:
    try:
        jax.profiler.stop_trace()
    except (OSError, jax.errors.JaxRuntimeError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        # XLA's message names the file and, after a semicolon, the system's reason.
        reason = str(error).strip().splitlines()[0].rpartition("; ")[-1]
        raise UserError(f"cannot write the trace to {str(folder)!r}: {reason}") from error


def operations(folder: Path, program: str, steps: int) -> list[Operation]:
    """Every instruction that ran in the newest trace of `folder`, the longest first.

    `program` is the compiled step's text, which describes instructions. Times and calls are means
    over the steps of a call on all devices, of which there are `steps`.
    """
    known = instructions(program)
    module = re.match(r"HloModule ([\w.-]+)", program)
    path = max(folder.glob("plugins/profile/*/*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    seconds, calls = times(ProfileData.from_file(str(path)), module[1] if module else "")
    total = sum(seconds.values())
    each = CALLS * steps
    nothing = Instruction("other", "", "", ())
    return [
        Operation(name, took / each, took / total, calls[name] / each, known.get(name, nothing))
        for name, took in sorted(seconds.items(), key=lambda item: -item[1])
    ]


def times(data: ProfileData, module: str) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds and calls of each instruction of a program in a trace.

    Time inside a nested instruction, such as one of a loop's body, counts only for that one. GPUs
    and TPUs have planes of their own, with a line for each stream or a line "XLA Ops"; the threads
    of a CPU are lines of the host's plane.
    """
    planes = [plane for plane in data.planes if plane.name.startswith("/device:")]
    lines = [
        line
        for plane in planes
        for line in plane.lines
        if line.name.startswith("Stream") or line.name == "XLA Ops"
    ] or [line for plane in data.planes if plane.name == "/host:CPU" for line in plane.lines]
    seconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for line in lines:
        inside: list[tuple[float, str]] = []
        for start, end, name in _events(line, module, on_device=bool(planes)):
            while inside and inside[-1][0] <= start:
                inside.pop()
            if inside:
                seconds[inside[-1][1]] -= (end - start) / 1e9
            seconds[name] += (end - start) / 1e9
            calls[name] += 1
            inside.append((end, name))
    return dict(seconds), dict(calls)


def _events(line: Any, module: str, on_device: bool) -> list[tuple[float, float, str]]:
    """(start, end, instruction) of a program's events in nanoseconds, outer events first."""
    found = []
    with warnings.catch_warnings():
        # Reading the first statistics creates a type without __module__. If this warning were an
        # error, as in tests, the process would abort.
        warnings.filterwarnings("ignore", "builtin type event_stats", DeprecationWarning)
        for event in line.events:
            statistics = dict(event.stats)
            if statistics.get("hlo_module", module) != module:
                continue
            name = statistics.get("hlo_op")
            # The event is a copy, or it comes from a TPU, where its name is the instruction's text.
            if name is None and on_device:
                text = re.match(r"%?([\w.-]+)", event.name)
                name = text[1] if text else event.name
            if name is not None:
                found.append((event.start_ns, event.start_ns + event.duration_ns, str(name)))
    return sorted(found, key=lambda event: (event[0], -event[1]))


def instructions(program: str) -> dict[str, Instruction]:
    """The instructions of a compiled program's text, by name."""
    frames = _frames(program)
    found = {}
    for line in program.splitlines():
        if not (match := _INSTRUCTION.match(line)):
            continue
        name, shape, metadata = match.groups()
        path = re.search(r'op_name="((?:[^"\\]|\\.)*)"', metadata)
        frame = re.search(r"stack_frame_id=(\d+)", metadata)
        direction, what = described(path[1] if path else "")
        source = frames.get(int(frame[1]), ()) if frame else _inline_source(metadata)
        found[name] = Instruction(direction, what, re.sub(r"\{.*", "", shape), source)
    return found


def described(path: str) -> tuple[str, str]:
    """The direction and origin that an instruction's path tells.

    `jit(f)/while/body/transpose(jvp(stem3))/dot_general` -> "backward", "stem3/dot_general".
    """
    forward = "forward" if "jvp(" in path else "other"
    direction = "backward" if "transpose(" in path else forward
    while (shorter := _TRANSFORMS.sub(r"\1", path)) != path:
        path = shorter
    return direction, "/".join(part for part in path.split("/") if not _NO_NAME.fullmatch(part))


def _frames(program: str) -> dict[int, tuple[str, ...]]:
    """For each stack frame in the text's tables, its lines of this package, outermost first."""
    tables: dict[str, dict[int, str]] = {}
    rows: dict[int, str] = {}
    for line in program.splitlines():
        if line in ("FileNames", "FunctionNames", "FileLocations", "StackFrames"):
            rows = tables.setdefault(line, {})
        elif match := _TABLE_ROW.match(line):
            rows[int(match[1])] = match[2]
        elif tables and line.startswith(("%", "ENTRY")):
            break

    def field(row: str, name: str) -> int:
        value = re.search(rf"\b{name}=(\d+)", row)
        return int(value[1]) if value else 0

    found: dict[int, tuple[str, ...]] = {}
    for number, row in sorted(tables.get("StackFrames", {}).items()):
        location = tables["FileLocations"][field(row, "file_location_id")]
        file = tables["FileNames"][field(location, "file_name_id")].strip('"')
        # Parents are numbered from 2 (1 stands for none), and are printed before their children.
        outer = found.get(field(row, "parent_frame_id") - 1, ())
        found[number] = outer + _place(file, field(location, "line"))
    return found


def _inline_source(metadata: str) -> tuple[str, ...]:
    file = re.search(r'source_file="([^"]*)"', metadata)
    line = re.search(r"source_line=(\d+)", metadata)
    return _place(file[1], int(line[1])) if file and line else ()


def _place(file: str, line: int) -> tuple[str, ...]:
    if not file.startswith(PACKAGE):
        return ()
    return (f"{file.removeprefix(PACKAGE).lstrip('/')}:{line}",)
