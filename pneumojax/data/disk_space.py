"""Decides whether films fit on the disk and in memory, decoded or as files."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pneumojax.data.films import FilmFile
from pneumojax.decoding.preprocessing import Preprocessing
from pneumojax.errors import UserError

# Decoded films may take this share of the disk's free bytes and of the memory, unless the config
# says otherwise. Pages that do not stay in memory are read from the disk one by one, which is
# slower than decoding (docs/input.md).
DISK = 0.9
MEMORY = 0.5
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def too_large(entry: Path, films: int, preprocessing: Preprocessing, max_cache_gb: float) -> str:
    """Says why films should not be kept decoded in `entry`, or "" if they should.

    Args:
        max_cache_gb: 10^9 bytes that they may take. 0 stands for `DISK` of the free disk and
            `MEMORY` of the memory, or for any size if they are stored already.
    """
    needed = films * preprocessing.image_size**2
    taken = f"{films:,} films take {_bytes(needed)} decoded"
    if max_cache_gb:
        is_too_large = needed > max_cache_gb * 1e9
        most = f"config.data.max_cache_gb, {max_cache_gb:g} GB"
        return f"{taken}, more than {most}" if is_too_large else ""
    if entry.is_dir():
        return ""
    free, memory = _free(entry), _memory()
    if needed > DISK * free:
        return f"{taken}, more than {DISK:.0%} of the {_bytes(free)} free in the cache folder"
    if needed > MEMORY * memory:
        return f"{taken}, more than {MEMORY:.0%} of the {_bytes(memory)} of memory"
    return ""


def require_disk_space(entry: Path, files: Sequence[FilmFile], reason: str) -> None:
    """Raises UserError before anything is written if the disk cannot take the files in shards."""
    needed, free = sum(file.size for file in files), _free(entry)
    if needed > free:
        raise UserError(
            f"{reason}; in shards they take {_bytes(needed)}, and {_bytes(free)} are free for "
            f"{str(entry.parent)!r}; make room or name another folder",
            flag="cache_dir",
        )


def _free(path: Path) -> int:
    """The free bytes of the disk that `path` would be made on."""
    return shutil.disk_usage(next(parent for parent in path.parents if parent.exists())).free


def _memory() -> int:
    """The bytes of memory of this machine, or of its container."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else "max"
    return min(physical, int(limit)) if limit.isdigit() else physical


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"
