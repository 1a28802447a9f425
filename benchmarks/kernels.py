"""The kernels of a training step on an H100, counted from the program that XLA compiles for it.

Command:   python -m benchmarks.kernels --write
XLA compiles for a GPU that is only described, so no GPU is needed, but the packages of
requirements-gpu.txt are. Nothing is run and no time is measured: without the device XLA cannot try
cuDNN's algorithms either. --write stores the counts in records/performance/kernels.json.
"""

import argparse
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh
from ml_collections import ConfigDict

from pneumojax.configs import base, inception_v3
from pneumojax.files import write_json
from pneumojax.inference.network import make_network
from pneumojax.sharding import placed, split
from pneumojax.training.optimizer import make_optimizer
from pneumojax.training.state import initial_state
from pneumojax.training.step import make_train_step

STORED = Path(__file__).resolve().parents[1] / "records" / "performance" / "kernels.json"
CONFIGS = {"base": base, "inception_v3": inception_v3}
STEPS = (("base", 64, "bfloat16"), ("base", 64, "float32"), ("inception_v3", 128, "bfloat16"))
# An H100 SXM as XLA describes it (openxla/xla, pull request 25919).
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
_FUNCTION = re.compile(
    r"^(?P<entry>ENTRY )?%(?P<name>[\w.-]+) \(.*?\) -> [^\n]*\{\n(?P<body>.*?)^\}", re.M | re.S
)
_INSTRUCTION = re.compile(
    r"^  (?:ROOT )?%(?P<name>[\w.-]+) = (?P<type>\(.*?\)|\S+) (?P<operation>[\w-]+)"
    r"\((?P<operands>[^)]*)\)(?P<rest>.*)$",
    re.M,
)
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+))\[([\d,]*)\]")
_NO_KERNEL = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
# Kinds of kernels by a part of their name. The first that fits counts.
_KINDS = {
    "cudnn": "convolutions",
    "gemm": "products",
    "cublas": "products",
    "transpose": "transposes",
    "copy": "copies",
    "slice": "slices",
    "concatenate": "concatenations",
    "scatter": "scatters",
    "reduce": "reductions and pools",
}


class _Instruction(NamedTuple):
    name: str
    type: str
    operation: str
    operands: tuple[str, ...]
    number: int  # of a parameter, otherwise 0
    calls: str  # the function that a fusion consists of, or ""


@dataclass(frozen=True)
class Kernels:
    """The kernels of one run of a compiled program."""

    kinds: dict[str, int]  # the number of kernels of each kind
    gigabytes: float  # read and written, each operand and result counted as a whole
    temporary_gigabytes: float  # memory beside arguments and results

    @property
    def count(self) -> int:
        return sum(self.kinds.values())


def kernels(compiled: jax.stages.Compiled) -> Kernels:
    """Counts the kernels of a program without loops that was compiled for a GPU."""
    kinds, moved = counted(compiled.as_text() or "")
    memory = compiled.memory_analysis()
    assert memory, "a compiler for GPUs says how much memory a program needs"
    return Kernels(kinds, moved / 1e9, memory.temp_size_in_bytes / 1e9)


def counted(program: str) -> tuple[dict[str, int], int]:
    """The numbers of kernels by kind, and the bytes that they move, of an optimised HLO text."""
    functions = {found["name"]: found for found in _FUNCTION.finditer(program)}
    (entry,) = (found for found in functions.values() if found["entry"])
    instructions = list(_instructions(entry["body"]))
    types = {each.name: each.type for each in instructions}
    kinds: Counter[str] = Counter()
    moved = 0
    for each in instructions:
        if each.operation in _NO_KERNEL:
            continue
        called = f"{each.name} {each.operation}"
        kinds[next((kind for part, kind in _KINDS.items() if part in called), "other")] += 1
        reads = [_bytes(types[operand]) for operand in each.operands]
        if each.operation == "fusion":
            reads = _read_of_parameters(functions[each.calls]["body"])
        moved += _bytes(each.type) + sum(reads)
    return dict(kinds.most_common()), moved


def _instructions(body: str) -> Iterator[_Instruction]:
    for found in _INSTRUCTION.finditer(body):
        operands = tuple(re.findall(r"%([\w.-]+)", found["operands"]))
        calls = re.search(r"calls=%([\w.-]+)", found["rest"])
        yield _Instruction(
            found["name"],
            found["type"],
            found["operation"],
            operands,
            number=int(found["operands"]) if found["operation"] == "parameter" else 0,
            calls=calls[1] if calls else "",
        )


def _read_of_parameters(body: str) -> list[int]:
    """The bytes that a fusion reads of each of its parameters, in their order.

    A fusion computes no more of an intermediate than its results need. If they need a slice of it,
    only the same slice of its inputs is read, through all operations that keep the shape.
    """
    instructions = list(_instructions(body))
    needed: Counter[str] = Counter({instructions[-1].name: _elements(instructions[-1].type)})
    types = {each.name: each.type for each in instructions}
    read: dict[int, int] = {}
    for each in reversed(instructions):
        if each.operation == "parameter":
            size = _bytes(each.type) // max(_elements(each.type), 1)
            read[each.number] = size * min(needed[each.name], _elements(each.type))
        for operand in each.operands:
            whole = _elements(types[operand])
            in_part = each.operation == "slice" or whole == _elements(each.type)
            needed[operand] += needed[each.name] if in_part else whole
    return [read[number] for number in sorted(read)]


def _elements(kind: str) -> int:
    return sum(math.prod(_sides(sides)) for _, _, sides in _ARRAY.findall(kind))


def _bytes(kind: str) -> int:
    """The bytes of an array type such as "bf16[64,35,35,8]{3,2,1,0}", or of a tuple of them."""
    return sum(
        math.ceil(int(bits or 8) / 8) * math.prod(_sides(sides))
        for _, bits, sides in _ARRAY.findall(kind)
    )


def _sides(text: str) -> list[int]:
    return [int(side) for side in text.split(",") if side]


def compiled_step(config: ConfigDict, mesh: Mesh) -> jax.stages.Compiled:
    """The training step of a config, compiled for the devices of the mesh."""
    network, optimizer = make_network(config), make_optimizer(config, 10)
    step = make_train_step(config, network, optimizer, 10, mesh)
    state = placed(jax.eval_shape(lambda: initial_state(config, optimizer)), mesh)
    films, size = config.batch_size, config.data.image_size
    shapes: dict[str, Any] = {
        "image": ((films, size, size, 1), jnp.uint8),
        "label": ((films,), jnp.int32),
        "mask": ((films,), jnp.float32),
        "film": ((films,), jnp.int32),
    }
    batch = {
        name: jax.ShapeDtypeStruct(*shape, sharding=split(mesh)) for name, shape in shapes.items()
    }
    return jax.jit(step, donate_argnums=0).lower(state, batch).compile()


def described_gpu() -> Mesh:
    """A mesh of one H100, which need not be there."""
    # JAX's check for the driver's libraries would fail; compiling does not need them.
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    jax.config.update("jax_platforms", "cpu")
    devices = topologies.get_topology_desc(platform="cuda", target_config=H100, topology="1x1x1")
    return topologies.make_mesh(devices, (1,), ("data",))


def main() -> None:
    """Compiles each step, prints its kernels, and stores them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store the counts in records/")
    arguments = parser.parse_args()
    mesh = described_gpu()
    rows = []
    for name, films, dtype in STEPS:
        config = CONFIGS[name].get_config()
        config.batch_size, config.model.dtype = films, dtype
        if name == "inception_v3":  # as published
            config.data.image_size, config.model.heads = 299, ("main", "auxiliary")
        found = kernels(compiled_step(config, mesh))
        rows.append({"config": name, "batch": films, "dtype": dtype} | asdict(found))
        print(f"{name}, {films} films, {dtype}: {found.count} kernels, {found}", flush=True)
    if arguments.write:
        command = "python -m benchmarks.kernels --write"
        write_json(STORED, {"command": command, "jax": jax.__version__, "rows": rows})


if __name__ == "__main__":
    main()
