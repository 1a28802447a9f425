"""A network as a static definition beside a tree of parameters, built from a config."""

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from ml_collections import ConfigDict

from pneumojax.errors import UserError
from pneumojax.inference.facts import Built, Facts
from pneumojax.nn.ops import plain_operations
from pneumojax.run.agreement import answering
from pneumojax.run.stored_config import OUR_NETWORKS
from pneumojax.sharding import make_mesh
from pneumojax.traced import store_for
from pneumojax.tree_paths import by_path, nested

if TYPE_CHECKING:
    from flax import nnx


@dataclass(frozen=True)
class Network:
    """A network apart from its parameters."""

    define: Callable[[], "nnx.GraphDef"]  # returns the definition, which it makes once
    abstract_params: dict  # shapes of the trained parameters and of batch norm's statistics
    statistics: frozenset[tuple] = frozenset()  # paths of the running statistics in that tree
    views: tuple[str, ...] = ()  # test-time views whose logits are averaged with the film's own
    freeze_statistics: bool = False  # training normalises by the statistics and leaves them too
    explains: bool = False  # the module has `features` and `logits`, which Grad-CAM needs
    precision: str = "default"  # `config.precision`

    def logits(self, params: dict, images: Array) -> dict:
        """Images (batch, h, w, 1) in [0, 1] -> {head: logits (batch,)}, without dropout."""
        return self._heads(self.module(params), images, None)

    def evaluation_logits(self, params: dict, images: Array) -> Array:
        """The predicting head's logits (batch,), averaged over the test-time views."""

        def logits_of(images: Array) -> Array:
            return predicting_logits(self.logits(params, images))

        seen = [images, *views_of(images, self.views)]
        return summed_logits(logits_of, seen) / len(seen)

    def training_logits(
        self, params: dict, statistics: dict, images: Array, dropout_keys: Array, axis: str | None
    ) -> tuple[dict, dict]:
        """As `logits`, with a dropout key for each film; also this batch's means and variances.

        Batch norm takes them over the mesh axis `axis`, or on each device alone if it is None.
        """
        module = self.module(self.join(params, statistics))
        if not self.statistics or self.freeze_statistics:
            return self._heads(module, images, dropout_keys), statistics
        from flax import nnx

        # Without momentum Flax's own batch norm stores this batch's statistics, as ours does: the
        # training step averages them.
        module.set_attributes(
            nnx.BatchNorm,
            use_running_average=False,
            axis_name=axis,
            momentum=0.0,
            raise_if_not_found=False,
        )
        logits = self._heads(module, images, dropout_keys)
        return logits, nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))

    def _heads(self, module: Any, images: Array, dropout_keys: Array | None) -> dict:
        with self.in_precision():
            return _checked(module, images, dropout_keys)

    def in_precision(self) -> AbstractContextManager[Any]:
        """A block in which JAX traces convolutions and products with the config's precision.

        With "default" the environment variable JAX_DEFAULT_MATMUL_PRECISION stays in force.
        """
        if self.precision == "default":
            return nullcontext()
        return jax.default_matmul_precision(self.precision)

    def module(self, params: dict) -> Any:
        """The module with these parameters, for callers that need more than its logits."""
        from flax import nnx  # slow to import, and not needed where a stored program answers

        return nnx.merge(self.define(), params)

    def divide(self, params: dict) -> tuple[dict, dict]:
        """The whole tree -> the trained parameters, and the running statistics ({} if none)."""
        flat = by_path(params)
        statistics = {path: flat.pop(path) for path in self.statistics}
        return nested(flat), nested(statistics)

    def join(self, params: dict, statistics: dict) -> dict:
        """The inverse of `divide`."""
        return nested(by_path(params) | by_path(statistics))


def predicting_logits(heads: Mapping[str, Array]) -> Array:
    """The logits of the head that predicts: the main one, or else the auxiliary one."""
    return heads["main"] if "main" in heads else heads["auxiliary"]


def _checked(module: Any, images: Array, dropout_keys: Array | None) -> dict:
    """A module's logits by head, after a check of their names and shapes while it is traced.

    Logits of shape (batch, 1) would broadcast against the labels and train something else.
    """
    heads, name = module(images, dropout_keys), type(module).__name__
    films = images.shape[0]  # len() would refuse the unknown batch size of an export
    wanted = f"{{'main': logits}}, where the logits of {films} films have shape ({films},)"
    if not isinstance(heads, Mapping) or not {"main", "auxiliary"} & heads.keys():
        found = f"keys {sorted(heads)}" if isinstance(heads, Mapping) else type(heads).__name__
        raise UserError(f"config.model.network: {name} returned {found}; use {wanted}")
    for head, logits in heads.items():
        if logits.shape != (films,):
            raise UserError(
                f"config.model.network: {name} returned {head!r} of shape "
                f"{logits.shape}; use {wanted}"
            )
    return dict(heads)


def make_network(config: ConfigDict) -> Network:
    """The network that `config` describes; only the shapes of its parameters are computed.

    Shapes that were stored are read, because computing them takes a second.
    """

    @cache
    def built() -> Built:
        from pneumojax.inference.module import build  # imports Flax

        return build(config)

    facts = _stored_facts(config, built) or built().facts
    return Network(
        lambda: built().definition,
        facts.abstract_params,
        facts.statistics,
        tuple(config.test_time.views),
        config.finetune.freeze_statistics,
        facts.explains,
        config.precision,
    )


def _stored_facts(config: ConfigDict, built: Callable[[], Built]) -> Facts | None:
    store, key = store_for(make_mesh()), program_key(config, "facts")
    if store is None or key is None:
        return None
    return Facts.of_json(store.facts(key, lambda: built().facts.as_json()))


def program_key(config: ConfigDict, output: str) -> list[Any] | None:
    """What decides the traced program of this output of a network, as JSON values.

    It is None for a class that is not PneumoJAX's, whose source may change unseen.
    """
    if not str(config.model.network).startswith(OUR_NETWORKS):
        return None
    return [output, answering(config)]


_ZOOM = 0.9  # fraction of each side that the closer view shows


def _flip(images: Array) -> Array:
    """Mirrors films. The heart changes sides, so the network must be trained on mirrored films."""
    return images[:, :, ::-1]


def _zoom(images: Array) -> Array:
    batch, height, width, channels = images.shape
    scale = jnp.full(2, 1 / _ZOOM)
    shift = jnp.array([height, width]) * (1 - 1 / _ZOOM) / 2
    return jax.image.scale_and_translate(
        images, (batch, height, width, channels), (1, 2), scale, shift, "linear", antialias=False
    )


VIEWS: dict[str, Callable[[Array], Array]] = {"flip": _flip, "zoom": _zoom}


def views_of(images: Array, names: Sequence[str]) -> list[Array]:
    """The named views of images (batch, h, w, 1), each of their shape."""
    return [VIEWS[name](images) for name in names]


def summed_logits(logits_of: Callable[[Array], Array], seen: Sequence[Array]) -> Array:
    """The sum of the logits (batch,) of images of one shape, of which there is at least one.

    A loop takes them through the network, which then is traced and compiled once. The export to
    ONNX has no such loop, so it holds the network several times.
    """
    if len(seen) == 1 or plain_operations.value:
        return reduce(operator.add, map(logits_of, seen))
    return reduce(operator.add, lax.map(logits_of, jnp.stack(seen)))
