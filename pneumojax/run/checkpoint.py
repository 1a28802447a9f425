"""Checkpoints by Orbax: the latest to resume from, the best by validation to evaluate.

Two of each are kept, so that a damaged one has one before it. A checkpoint has three items:
`params`, `training` (step, optimizer, sums of the epoch) and `meta`, JSON with everything needed
to use the parameters: config, preprocessing, class names, films' fingerprint, versions, a digest
of the arrays, since Orbax would restore a flipped bit without a word, one of their layout, and
one of the metadata itself (`seal`).
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import LatestN

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.files import failing_clearly, printable
from pneumojax.run.seal import check_seal, sealed
from pneumojax.training.state import State

KEPT = 2
STORED_AS = ("float16", "float32", "bfloat16", "float64")
ROOM_BESIDES = 500_000  # bytes of a checkpoint that are not arrays, at most


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: `<workdir>/checkpoints`, absolute.
        log: told about every damaged checkpoint.
    """

    def __init__(self, folder: Path, log: Callable[[str], None] = print):
        self._folder = folder
        self._log = log
        self._told = False  # that a checkpoint is of a version without seals

    @property
    def workdir(self) -> Path:
        """The run folder."""
        return self._folder.parent

    def save_latest(self, state: State, meta: dict[str, Any]) -> None:
        """Saves what an exact resume needs, under the state's step."""
        training = {key: value for key, value in state.items() if key != "params"}
        items = {"params": state["params"], "training": training}
        self._save("latest", int(state["step"]), items, meta)

    def save_best(
        self, step: int, params: dict, meta: dict[str, Any], stored_as: str | None = None
    ) -> None:
        """Saves what a network is evaluated with after `step`, as `evaluation_params` gives it.

        `stored_as` names another type to store the arrays in, such as "float16"; `restore_best`
        gives them in the network's own again.
        """
        if stored_as:
            params, meta = cast(params, stored_as), meta | {"stored_as": stored_as}
        self._save("best", step, {"params": params}, meta)

    def restore_latest(self, abstract: State) -> tuple[State, dict[str, Any]] | None:
        """The newest undamaged state, placed as `abstract` says, or None where there is none.

        Damaged ones are moved to `checkpoints/damaged/`.

        Raises:
            UserError: there are checkpoints and all are damaged, or of another layout.
        """
        training = {key: value for key, value in abstract.items() if key != "params"}
        wanted = {"params": abstract["params"], "training": training}
        self._check_layout(wanted)
        found = self._restore("latest", wanted, set_aside=True)
        if found is None:
            return None
        items, meta = found
        return {**items["training"], "params": items["params"]}, meta

    def restore_best(self, abstract_params: dict) -> tuple[dict, dict[str, Any]]:
        """Parameters to evaluate: the best's, or the latest's in a run without validation.

        Raises:
            UserError: there is no undamaged checkpoint.
        """
        for kind in ("best", "latest"):
            found = self._restore(kind, {"params": abstract_params}, set_aside=False)
            if found is not None:
                items, meta = found
                return items["params"], meta
        raise UserError(f"no checkpoint in {str(self._folder)!r}: train the run first")

    def newest_meta(self) -> dict[str, Any] | None:
        """The undamaged metadata that `restore_best` meets first, read without any array."""
        for kind in ("best", "latest"):
            for step in self.steps(kind):
                with contextlib.suppress(Exception):  # damage, which is met when it is restored
                    meta = self._meta(kind, step)
                    check_seal(meta)
                    return meta
        return None

    def steps(self, kind: str) -> list[int]:
        """Steps saved under "latest" or "best", newest first."""
        if not (self._folder / kind).is_dir():
            return []
        return sorted(ocp.utils.checkpoint_steps(self._folder / kind), reverse=True)

    def _save(self, kind: str, step: int, items: dict[str, Any], meta: dict[str, Any]) -> None:
        if step in self.steps(kind):
            return  # a repeat after a kill between two saves has the same contents
        meta = {
            **meta,
            "step": step,
            "digests": {name: digest(tree) for name, tree in items.items()},
            "layout": _layout(items),
        }
        meta = sealed(meta)
        # Not asynchronous: on a CPU the saved arrays may be the very buffers that the next step
        # is given to overwrite.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=LatestN(KEPT), enable_async_checkpointing=False
        )
        self._check_room(kind, step, items)
        try:
            with ocp.CheckpointManager(self._folder / kind, options=options) as manager:
                saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
                manager.save(step, args=ocp.args.Composite(**saved, meta=ocp.args.JsonSave(meta)))
        except Exception as error:  # TensorStore's threads tell of the disk as ValueError
            if runtime.is_of_another_process(error):
                raise
            for unfinished in (self._folder / kind).glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            raise UserError(
                f"cannot save checkpoint {kind}/{step} in {str(self._folder)!r}: "
                f"{_reason(error)}. Those before it are whole; once it is mended, the same "
                "command goes on from them"
            ) from error

    def _check_room(self, kind: str, step: int, items: dict[str, Any]) -> None:
        """Raises UserError where one will not fit, of which each of Orbax's threads would tell."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(items)) + ROOM_BESIDES
        with failing_clearly(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise UserError(
                f"cannot save checkpoint {kind}/{step} in {str(self._folder)!r}: No space left on "
                f"device ({needed / 1e6:,.1f} MB needed, {free / 1e6:,.1f} free). Those before it "
                "are whole; with more room the same command goes on from them"
            )

    def _check_layout(self, wanted: dict[str, Any]) -> None:
        """Raises UserError where all that can be read are of a version with other arrays."""
        latest, layouts = self._folder / "latest", set()
        for step in self.steps("latest"):
            with contextlib.suppress(Exception):  # damage, which is met when it is restored
                layouts.add(self._meta("latest", step).get("layout", "of before there was any"))
        if layouts and _layout(wanted) not in layouts:
            raise UserError(
                f"the checkpoints in {str(latest)!r} were written by another version of PneumoJAX, "
                "whose training has other arrays: go on with that version, or begin a new run "
                f"from their weights with --config.start.weights={str(self._folder.parent)!r}"
            )

    def _meta(self, kind: str, step: int) -> dict[str, Any]:
        options = ocp.CheckpointManagerOptions(read_only=True)
        with ocp.CheckpointManager(self._folder / kind, options=options) as manager:
            return manager.restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta

    def _restore(
        self, kind: str, abstract: dict[str, Any], set_aside: bool
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        steps = self.steps(kind)
        for step in steps:
            try:
                return self._read(kind, step, abstract)
            except Exception as error:  # damage surfaces as nearly any exception
                if runtime.is_of_another_process(error):
                    raise
                reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
                self._log(
                    f"checkpoint {kind}/{step} is damaged ({type(error).__name__}: "
                    f"{printable(reason)}); using the one before it"
                )
                if set_aside:
                    runtime.barrier(f"{kind} {step} is damaged")  # all have tried to read it
                if set_aside and runtime.is_leader():
                    target = self._folder / "damaged" / f"{kind}-{step}"
                    target.parent.mkdir(exist_ok=True)
                    shutil.rmtree(target, ignore_errors=True)
                    (self._folder / kind / str(step)).rename(target)
        if steps and set_aside:
            raise UserError(
                f"every checkpoint in {str(self._folder / kind)!r} is damaged; they now lie in "
                f"{str(self._folder / 'damaged')!r}. Run again to start from step 0"
            )
        return None

    def _read(
        self, kind: str, step: int, abstract: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        with ocp.CheckpointManager(
            self._folder / kind, options=ocp.CheckpointManagerOptions(read_only=True)
        ) as manager:
            wanted = {name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()}
            restored = manager.restore(
                step, args=ocp.args.Composite(**wanted, meta=ocp.args.JsonRestore())
            )
        meta = restored["meta"]
        has_seal = check_seal(meta)
        if meta.get("step") != step:
            raise ValueError(f"its metadata is of step {meta.get('step')!r}")
        items = {name: restored[name] for name in abstract}
        stored_as = meta.get("stored_as")
        if stored_as is not None and stored_as not in STORED_AS:
            raise ValueError(f"its arrays are stored as {str(stored_as)[:40]!r}")
        for name, tree in items.items():
            # Orbax gives the type asked for; the digest is of what lies on the disk.
            as_saved = cast(tree, stored_as) if stored_as else tree
            if digest(as_saved) != meta["digests"][name]:
                raise ValueError(f"the arrays of {name!r} are not those that were saved")
        if not has_seal and not self._told:
            self._told = True
            self._log(
                f"{str(self._folder)!r} was written by an earlier version: damage to its "
                "threshold, calibration and preprocessing would not be noticed"
            )
        return items, meta


def _reason(error: Exception) -> str:
    """The system's words where they stand in an error's, else how it begins."""
    text = str(error).strip() or type(error).__name__
    for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ENOTDIR, errno.EFBIG):
        if os.strerror(number) in text:
            return os.strerror(number)
    return text.splitlines()[0][:160]


def cast(tree: Any, dtype: str) -> Any:
    """A tree's arrays in another type, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)


def _layout(items: dict[str, Any]) -> str:
    """SHA-256 over the places, types and shapes of arrays."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(items):
        total.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}\n".encode())
    return total.hexdigest()


def digest(tree: Any) -> str:
    """SHA-256 over every array of a tree, with its place, type and shape."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()
