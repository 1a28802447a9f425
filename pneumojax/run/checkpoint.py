"""Checkpoints by Orbax: the latest to resume from, the best by validation to evaluate.

Two of each are kept, so that a damaged one has another before it. `latest` has the items `params`,
`training` (the rest of the state, see `TrainState.to_items`) and `meta`. `best` has `params`, which
are joined with the running statistics, and `meta`. `meta` is JSON with everything that is needed to
use the parameters: config, preprocessing, class names, fingerprint of the films, versions; in
`best` also the decision and the training distribution. It holds digests of the arrays, because
Orbax would restore a flipped bit silently, of their layout, and of the metadata itself (`seal`).
"""

import contextlib
import errno
import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import jax

from pneumojax import runtime
from pneumojax.errors import UserError
from pneumojax.files import failing_clearly, printable
from pneumojax.run.seal import STORED_AS, cast, check_seal, digest, layout, sealed
from pneumojax.terminal import say

KEPT = 2
OTHER_BYTES = 500_000  # upper limit for everything in a checkpoint except arrays


class Checkpoints:
    """The checkpoints of one run, in the absolute `<workdir>/checkpoints`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._has_warned = False  # about a checkpoint without a seal

    @property
    def workdir(self) -> Path:
        return self._folder.parent

    def save_latest(self, step: int, items: dict[str, Any], meta: dict[str, Any]) -> None:
        """Saves the items of a training state after `step`, which an exact resume needs."""
        self._save("latest", step, items, meta)

    def save_best(
        self, step: int, params: dict, meta: dict[str, Any], stored_as: str | None = None
    ) -> None:
        """Saves the parameters for evaluation after `step`, from `evaluation_params`.

        `stored_as` names another type for the arrays on the disk, such as "float16";
        `restore_best` converts them back to the network's own.
        """
        if stored_as:
            params, meta = cast(params, stored_as), meta | {"stored_as": stored_as}
        self._save("best", step, {"params": params}, meta)

    def restore_latest(
        self, abstract: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest undamaged items and their metadata, or None if there is no checkpoint.

        Damaged ones are moved to `checkpoints/damaged/`.
        """
        self._check_layout(abstract)
        return self._restore("latest", abstract, set_aside=True)

    def restore_best(self, abstract_params: dict) -> tuple[dict, dict[str, Any]]:
        """Parameters to evaluate: the best ones, or the latest in a run without validation."""
        for kind in ("best", "latest"):
            found = self._restore(kind, {"params": abstract_params}, set_aside=False)
            if found is not None:
                items, meta = found
                return items["params"], meta
        raise UserError(f"no checkpoint in {str(self._folder)!r}: train the run first")

    def newest_meta(self, *kinds: str) -> dict[str, Any] | None:
        """The newest undamaged metadata, read without any array; None if there is none."""
        for kind in kinds:
            for step in self.steps(kind):
                with contextlib.suppress(Exception):  # restoring the checkpoint reports the damage
                    meta = self._load(kind, step, {})["meta"]
                    check_seal(meta)
                    return meta
        return None

    def steps(self, kind: str) -> list[int]:
        """Steps saved under "latest" or "best", newest first."""
        if not (self._folder / kind).is_dir():
            return []
        import orbax.checkpoint as ocp  # takes half a second, which a start can do without

        return sorted(ocp.utils.checkpoint_steps(self._folder / kind), reverse=True)

    def prepare(self) -> None:
        """Imports Orbax, which otherwise the first save does."""
        importlib.import_module("orbax.checkpoint.checkpoint_managers")

    def _save(self, kind: str, step: int, items: dict[str, Any], meta: dict[str, Any]) -> None:
        if step in self.steps(kind):
            return  # after a kill between two saves, the first is repeated with equal contents
        digests = {name: digest(tree) for name, tree in items.items()}
        meta = sealed({**meta, "step": step, "digests": digests, "layout": layout(items)})
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import LatestN

        # Saving must be synchronous: on a CPU the saved arrays may be the buffers that are donated
        # to the next step.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=LatestN(KEPT), enable_async_checkpointing=False
        )
        self._check_space(kind, step, items)
        try:
            with ocp.CheckpointManager(self._folder / kind, options=options) as manager:
                saved = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
                manager.save(step, args=ocp.args.Composite(**saved, meta=ocp.args.JsonSave(meta)))
        except Exception as error:  # TensorStore raises ValueError for a full disk
            if runtime.is_of_another_process(error):
                raise
            for unfinished in (self._folder / kind).glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            raise UserError(
                f"cannot save checkpoint {kind}/{step} in {str(self._folder)!r}: "
                f"{_reason(error)}. Earlier checkpoints are whole; once this is mended, the same "
                "command goes on from them"
            ) from error

    def _check_space(self, kind: str, step: int, items: dict[str, Any]) -> None:
        """Raises UserError if the disk is too full; each thread of Orbax would print an error."""
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(items)) + OTHER_BYTES
        with failing_clearly(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise UserError(
                f"cannot save checkpoint {kind}/{step} in {str(self._folder)!r}: No space left on "
                f"device ({needed / 1e6:,.1f} MB needed, {free / 1e6:,.1f} free). Earlier "
                "checkpoints are whole; with more space the same command goes on from them"
            )

    def _check_layout(self, wanted: dict[str, Any]) -> None:
        """Raises UserError if every readable checkpoint holds arrays of another version."""
        latest, layouts = self._folder / "latest", set()
        for step in self.steps("latest"):
            with contextlib.suppress(Exception):  # restoring the checkpoint reports the damage
                layouts.add(self._load("latest", step, {})["meta"]["layout"])
        if layouts and layout(wanted) not in layouts:
            raise UserError(
                f"the checkpoints in {str(latest)!r} were written by another version of PneumoJAX, "
                "whose training has other arrays: go on with that version, or begin a new run "
                f"from their weights with --config.start.weights={str(self._folder.parent)!r}"
            )

    def _load(self, kind: str, step: int, abstract: dict[str, Any]) -> Any:
        """These items and "meta", unchecked."""
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(read_only=True)
        with ocp.CheckpointManager(self._folder / kind, options=options) as manager:
            wanted = {name: ocp.args.StandardRestore(tree) for name, tree in abstract.items()}
            return manager.restore(
                step, args=ocp.args.Composite(**wanted, meta=ocp.args.JsonRestore())
            )

    def _restore(
        self, kind: str, abstract: dict[str, Any], set_aside: bool
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        steps = self.steps(kind)
        for step in steps:
            try:
                return self._read(kind, step, abstract)
            except Exception as error:  # damage may raise any exception
                if runtime.is_of_another_process(error):
                    raise
                say(
                    f"checkpoint {kind}/{step} is damaged ({type(error).__name__}: "
                    f"{printable(_first_line(error))}); using the one before it"
                )
                if set_aside:
                    self._set_aside(kind, step)
        if steps and set_aside:
            raise UserError(
                f"every checkpoint in {str(self._folder / kind)!r} is damaged; they now lie in "
                f"{str(self._folder / 'damaged')!r}. Run again to start from step 0"
            )
        return None

    def _set_aside(self, kind: str, step: int) -> None:
        """Moves a damaged checkpoint away, after every process of the job has tried to read it."""
        runtime.barrier(f"{kind} {step} is damaged")
        if runtime.is_leader():
            target = self._folder / "damaged" / f"{kind}-{step}"
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            (self._folder / kind / str(step)).rename(target)

    def _read(
        self, kind: str, step: int, abstract: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        restored = self._load(kind, step, abstract)
        meta = restored["meta"]
        has_seal = check_seal(meta)
        if meta.get("step") != step:
            raise ValueError(f"its metadata is of step {meta.get('step')!r}")
        items = {name: restored[name] for name in abstract}
        stored_as = meta.get("stored_as")
        if stored_as is not None and stored_as not in STORED_AS:
            raise ValueError(f"its arrays are stored as {str(stored_as)[:40]!r}")
        for name, tree in items.items():
            # Orbax converts to the type asked for; the digest is of the arrays on the disk.
            as_saved = cast(tree, stored_as) if stored_as else tree
            if digest(as_saved) != meta["digests"][name]:
                raise ValueError(f"the arrays of {name!r} are not those that were saved")
        if not has_seal and not self._has_warned:
            self._has_warned = True
            say(
                f"{str(self._folder)!r} was written by an earlier version: damage to its "
                "threshold, calibration and preprocessing would not be noticed"
            )
        return items, meta


def _reason(error: Exception) -> str:
    """The system's message if the error contains it, else the first line of the error."""
    for number in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.ENOTDIR, errno.EFBIG):
        if os.strerror(number) in str(error):
            return os.strerror(number)
    return _first_line(error) or type(error).__name__


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:160]
