"""Traces of a CPU, a GPU and a TPU are read as the profiler writes them."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.profiler import ProfileData

from pneumojax.nn.layers import Conv
from pneumojax.profiling.trace import described, instructions, times

STATS = 'stat_metadata { key: 1 value { id: 1 name: "hlo_op" } } ' + (
    'stat_metadata { key: 2 value { id: 2 name: "hlo_module" } }'
)


def plane(name, lines):
    """A plane of {line: [(event, start, end, op or None, module)]}, times in nanoseconds."""
    names = sorted({event[0] for events in lines.values() for event in events})
    text = f'name: "{name}" {STATS} '
    for i, event in enumerate(names, 1):
        text += f'event_metadata {{ key: {i} value {{ id: {i} name: "{event}" }} }} '
    for line, events in lines.items():
        text += f'lines {{ name: "{line}" '
        for event, start, end, op, module in events:
            stats = f'stats {{ metadata_id: 1 str_value: "{op}" }} ' if op else ""
            stats += f'stats {{ metadata_id: 2 str_value: "{module}" }}' if module else ""
            text += (
                f"events {{ metadata_id: {names.index(event) + 1} offset_ps: {start * 1000} "
                f"duration_ps: {(end - start) * 1000} {stats} }} "
            )
        text += "} "
    return f"planes {{ {text} }} "


def read(*planes):
    return times(ProfileData.from_text_proto("".join(planes)), "jit_train_step")


HOST = plane(
    "/host:CPU",
    {
        "python": [("train", 0, 1000, None, None)],
        "tf_XLAEigen/1": [
            ("while.1", 0, 100, "while.1", "jit_train_step"),
            ("dot.1", 10, 40, "dot.1", "jit_train_step"),
            ("dot.1", 50, 80, "dot.1", "jit_train_step"),
            ("end: dot.1", 80, 81, None, None),
            ("copy.9", 200, 900, "copy.9", "jit_other"),
        ],
        "tf_XLAEigen/2": [("dot.1", 0, 20, "dot.1", "jit_train_step")],
    },
)


def test_threads_add_up_and_a_loop_counts_without_its_body():
    seconds, calls = read(HOST)
    assert seconds == pytest.approx({"while.1": 40e-9, "dot.1": 80e-9})
    assert calls == {"while.1": 1, "dot.1": 3}


def test_where_devices_have_planes_of_their_own_only_their_streams_count():
    gpu = plane(
        "/device:GPU:0",
        {
            "Stream #7(Compute)": [
                ("cudnn_kernel", 0, 30, "conv.1", "jit_train_step"),
                ("MemcpyH2D", 30, 35, None, None),
            ],
            "XLA Modules": [("jit_train_step", 0, 100, None, None)],
        },
    )
    seconds, _ = read(HOST, gpu)
    assert seconds == pytest.approx({"conv.1": 30e-9, "MemcpyH2D": 5e-9})


def test_an_instruction_of_a_tpu_is_named_by_its_text():
    tpu = plane(
        "/device:TPU:0",
        {
            "XLA Ops": [("%fusion.3 = f32[8] fusion(%x)", 0, 30, None, None)],
            "Steps": [("0", 0, 100, None, None)],
        },
    )
    assert read(tpu)[0] == pytest.approx({"fusion.3": 30e-9})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("jit(train_step)/jvp()/conv_general_dilated", ("forward", "conv_general_dilated")),
        (
            "jit(train_step)/while/body/closed_call/transpose(jvp(modules.0))/branch1/dot_general",
            ("backward", "modules.0/branch1/dot_general"),
        ),
        ("jit(train_step)/transpose(jvp())/branch_0_fun/pad", ("backward", "pad")),
        (
            "jit(train_step)/transpose(jvp(stem3))/transpose(jvp(jit(_gradients)))/add",
            ("backward", "stem3/add"),
        ),
        ("jit(train_step)/mul", ("other", "mul")),
        ("", ("other", "")),
    ],
)
def test_a_path_tells_direction_scopes_and_primitive(path, expected):
    assert described(path) == expected


def test_an_instruction_knows_its_direction_shape_and_the_lines_that_led_to_it():
    conv = Conv(3, 5, (3, 3), rngs=nnx.Rngs(0))
    loss = jax.jit(jax.grad(lambda x: jnp.sum(conv(x) ** 2)))
    program = loss.lower(jnp.ones((2, 8, 8, 3))).compile().as_text()
    found = [i for i in instructions(program).values() if "conv_general" in i.what]
    forward = [i for i in found if i.direction == "forward"]
    assert forward and forward[0].shape == "f32[2,8,8,5]"
    assert {i.direction for i in found} == {"forward", "backward"}
    for instruction in found:
        assert instruction.place.startswith("layers.py:")
        assert "ops.py" not in instruction.place
