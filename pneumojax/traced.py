"""Programs that JAX has traced, on disk, so that a later process need not trace them again.

Tracing a network takes seconds of Python, and reading what was traced a few milliseconds. JAX's
compilation cache does not avoid it: the traced program is the key to what was compiled. So the
program is stored too, as `jax.export` writes it, in that cache's folder. A stored program is used
only if the source of this package, the versions, JAX's settings and the caller's key are those it
was traced with. Nothing is stored without that cache, or for several devices or an accelerator.
"""

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jax
from jax import export
from jax.sharding import Mesh

from pneumojax.errors import UserError
from pneumojax.files import replacing

MOST = 60  # stored files; the oldest are deleted first
_VERSIONS = ("jax", "jaxlib", "flax", "numpy", "optax")
_SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_enable_x64",
    "jax_numpy_dtype_promotion",
    "jax_threefry_partitionable",
)


class TracedStore:
    """The stored programs and facts of one folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def program(
        self, key: Sequence[Any], make: Callable[[], Callable[..., Any]], *arguments: Any
    ) -> Callable[..., Any]:
        """A function for arguments of these shapes, to be jitted by the caller.

        Args:
            key: JSON values that, with the shapes of the arguments, decide what `make` returns.
            make: returns the function to trace. It is called only if the program is not stored.
            arguments: trees of arrays or of their shapes. The results must be in lists, tuples and
                dicts with text keys, because a stored program knows no other trees.
        """
        leaves, tree = jax.tree.flatten(arguments)
        name = self._name([*key, str(tree), [str(jax.typeof(leaf)) for leaf in leaves]])
        data = self._read(name)
        if data is None:
            function = make()
            of_leaves = jax.jit(lambda leaves: function(*jax.tree.unflatten(tree, leaves)))
            data = bytes(export.export(of_leaves)(leaves).serialize())
            self._write(name, data)
        stored = export.deserialize(bytearray(data))
        return lambda *arguments: stored.call(jax.tree.leaves(arguments))

    def facts(self, key: Sequence[Any], make: Callable[[], Any]) -> Any:
        """The JSON value that `make` returns, or returned when these facts were stored."""
        name = self._name(["facts", *key])
        data = self._read(name)
        if data is None:
            data = json.dumps(make()).encode()
            self._write(name, data)
        return json.loads(data)

    @staticmethod
    def _name(key: Sequence[Any]) -> str:
        settings = [str(getattr(jax.config, name)) for name in _SETTINGS]
        parts = [_source(), _versions(), settings, jax.default_backend(), *key]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _read(self, name: str) -> bytes | None:
        try:
            stored = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, data = stored[:32], stored[32:]
        return data if hashlib.sha256(data).digest() == digest else None

    def _write(self, name: str, data: bytes) -> None:
        """Stores a file and deletes the oldest beyond `MOST`; a failure only costs time later."""
        with contextlib.suppress(OSError, UserError):
            with replacing(self._folder / name) as temporary:
                temporary.write_bytes(hashlib.sha256(data).digest() + data)
            stored = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for path in stored[:-MOST]:
                path.unlink(missing_ok=True)


def store_for(mesh: Mesh) -> TracedStore | None:
    """The store beside JAX's compilation cache; None if programs for this mesh are not stored.

    A program for several devices would depend on their number, and no accelerator was measured.
    """
    folder = jax.config.jax_compilation_cache_dir
    if not folder or mesh.size > 1 or mesh.devices.flat[0].platform != "cpu":
        return None
    return TracedStore(Path(folder) / "traced")


@cache
def _versions() -> list[str]:
    return [importlib.metadata.version(package) for package in _VERSIONS]


@cache
def _source() -> str:
    """SHA-256 of this package's Python files, any of which may change what is traced."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()
