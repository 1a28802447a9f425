"""Checkpoints: which ones are kept, the effects of damage, and runs without validation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pneumojax.errors import UserError
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.run.seal import digest
from pneumojax.sharding import make_mesh, placed


def state_at(step):
    params = {"layer": {0: jnp.arange(6.0).reshape(2, 3) * step, 1: jnp.ones(4)}}
    training = {"step": jnp.int32(step), "optimizer": (jnp.zeros(3) + step,)}
    return {"params": params, "training": training}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Three states saved as latest, the second as best, and the lines printed on reading."""
    lines = []
    monkeypatch.setattr("pneumojax.run.checkpoint.say", lines.append)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 3):
        checkpoints.save_latest(step, state_at(step), {"epoch": step, "best": None})
    checkpoints.save_best(2, state_at(2)["params"], {"epoch": 2, "figures": {"val_auroc": 0.9}})
    return checkpoints, tmp_path / "checkpoints", lines


def abstract():
    return placed(jax.eval_shape(lambda: state_at(0)), make_mesh())


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_what_is_restored_equals_what_was_saved(saved):
    checkpoints, _, lines = saved
    state, meta = checkpoints.restore_latest(abstract())
    assert_same(state, state_at(3))
    assert meta["epoch"] == 3 and meta["step"] == 3
    params, meta = checkpoints.restore_best(abstract()["params"])
    assert_same(params, state_at(2)["params"])
    assert meta["figures"] == {"val_auroc": 0.9}
    assert not lines


def test_two_latest_and_the_best_are_kept(saved):
    checkpoints, _, _ = saved
    assert checkpoints.steps("latest") == [3, 2]
    assert checkpoints.steps("best") == [2]


def test_latest_survives_when_every_later_validation_is_worse(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_best(1, state_at(1)["params"], {})
    for step in (1, 2, 3, 4):
        checkpoints.save_latest(step, state_at(step), {})
    assert checkpoints.steps("latest")[0] == 4 and checkpoints.steps("best") == [1]


ON_EIGHT = """
from pathlib import Path
import jax, jax.numpy as jnp
from pneumojax.run.checkpoint import Checkpoints
from pneumojax.sharding import make_mesh, replicated

params = {"layer": {0: jnp.arange(6.0).reshape(2, 3) * 7, 1: jnp.ones(4)}}
training = {"step": jnp.int32(7), "optimizer": (jnp.zeros(3) + 7,)}
items = {"params": params, "training": training}
mesh = make_mesh()
assert mesh.size == 8
Checkpoints(Path(FOLDER)).save_latest(7, jax.device_put(items, replicated(mesh)), {})
"""


@pytest.mark.slow
def test_a_checkpoint_of_eight_devices_is_restored_on_one(on_virtual_devices, tmp_path):
    on_virtual_devices(ON_EIGHT.replace("FOLDER", repr(str(tmp_path))), 8)
    state, _ = Checkpoints(tmp_path).restore_latest(abstract())
    assert_same(state, state_at(7))
    assert {leaf.sharding.num_devices for leaf in jax.tree.leaves(state)} == {1}


# Orbax reads many files at once and retrieves only the first of their errors.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied"])
@pytest.mark.fault
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(saved, damage):
    checkpoints, folder, lines = saved
    for path in (folder / "latest" / "3").rglob("*"):
        if path.is_file() and "ocdbt" not in path.name:
            data = path.read_bytes()
            if damage == "truncated":
                path.write_bytes(data[: len(data) // 2])
            elif damage == "emptied":
                path.write_bytes(b"")
            elif "/d/" in str(path) and data:
                path.write_bytes(data[:-1] + bytes([data[-1] ^ 4]))
    state, meta = checkpoints.restore_latest(abstract())
    assert_same(state, state_at(2))
    assert meta["step"] == 2
    assert len(lines) == 1 and "latest/3 is damaged" in lines[0]
    assert (folder / "damaged" / "latest-3").is_dir()  # set aside, so that 3 can be saved again
    checkpoints.save_latest(3, state_at(3), {})
    assert_same(checkpoints.restore_latest(abstract())[0], state_at(3))


@pytest.mark.fault
def test_arrays_that_are_not_those_saved_are_damage_even_where_orbax_restores_them(
    saved, monkeypatch
):
    checkpoints, _, lines = saved
    digests = iter(["0" * 64])
    monkeypatch.setattr("pneumojax.run.checkpoint.digest", lambda tree: next(digests, digest(tree)))
    state, _ = checkpoints.restore_latest(abstract())
    assert int(state["training"]["step"]) == 2 and "not those that were saved" in lines[0]


@pytest.mark.fault
def test_all_damaged_is_an_error_and_nothing_is_deleted(saved):
    checkpoints, folder, _ = saved
    for step in ("2", "3"):
        largest_file(folder / "latest" / step).write_bytes(b"")
    with pytest.raises(UserError, match="every checkpoint in .* is damaged"):
        checkpoints.restore_latest(abstract())
    assert sorted(p.name for p in (folder / "damaged").iterdir()) == ["latest-2", "latest-3"]


def test_arrays_of_another_version_are_no_damage_and_stay_where_they_are(saved):
    checkpoints, folder, lines = saved
    training = {"optimizer": {"moments": jax.ShapeDtypeStruct((6,), jnp.float32)}}
    other = abstract() | {"training": training}
    with pytest.raises(UserError, match="written by another version of PneumoJAX"):
        checkpoints.restore_latest(placed(other, make_mesh()))
    assert checkpoints.steps("latest") == [3, 2] and not (folder / "damaged").exists()
    assert not lines
    assert checkpoints.restore_latest(abstract())


def test_without_a_best_the_latest_is_evaluated(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(UserError, match="no checkpoint in"):
        checkpoints.restore_best(abstract()["params"])
    checkpoints.save_latest(5, state_at(5), {})
    params, meta = checkpoints.restore_best(abstract()["params"])
    assert_same(params, state_at(5)["params"])


def test_reading_for_evaluation_moves_nothing(saved):
    checkpoints, folder, lines = saved
    largest_file(folder / "best" / "2").write_bytes(b"")
    params, _ = checkpoints.restore_best(abstract()["params"])
    assert_same(params, state_at(3)["params"])
    assert "best/2 is damaged" in lines[0] and (folder / "best" / "2").is_dir()


def test_arrays_stored_smaller_come_back_in_the_networks_type(tmp_path):
    params = {"layer": {0: jnp.full((2, 3), 1 / 3), 1: jnp.arange(4.0)}}
    wanted = placed(jax.eval_shape(lambda: params), make_mesh())
    Checkpoints(tmp_path).save_best(1, params, {}, "float16")
    restored, _ = Checkpoints(tmp_path).restore_best(wanted)
    assert {leaf.dtype for leaf in jax.tree.leaves(restored)} == {jnp.dtype("float32")}
    assert_same(restored, jax.tree.map(lambda leaf: leaf.astype("float16"), params))
