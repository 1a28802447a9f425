"""Whether disk and memory have room for films, decoded or as files."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pneumojax.data.films import FilmFile
from pneumojax.decoding.film import Preprocessing
from pneumojax.errors import UserError

DISK = 0.9  # share of a disk's free bytes that decoded films may take of themselves
# And of the memory, all of it: pages that do not stay in it are read from disk one by one, which
# is slower than decoding (docs/data.md).
MEMORY = 0.5
_CONTAINER = Path("/sys/fs/cgroup/memory.max")


def too_large(entry: Path, films: int, preprocessing: Preprocessing, max_cache_gb: float) -> str:
    """Why so many films are not kept decoded in `entry`; empty where they are.

    Args:
        max_cache_gb: 10^9 bytes that they may take. 0: `DISK` of what the disk has free and
            `MEMORY` of the memory, or as much as they do where they lie there already.

    Raises:
        UserError: `max_cache_gb` is negative.
    """
    if not max_cache_gb >= 0:
        raise UserError(f"config.data.max_cache_gb is {max_cache_gb}: it is 0 or more.")
    needed = films * preprocessing.image_size**2
    what = f"{films:,} films take {_bytes(needed)} decoded"
    if max_cache_gb:
        is_too_large = needed > max_cache_gb * 1e9
        return f"{what}, more than data.max_cache_gb, {max_cache_gb:g} GB" if is_too_large else ""
    if entry.is_dir():
        return ""
    free, memory = _free(entry), _memory()
    if needed > DISK * free:
        return f"{what}, more than {DISK:.0%} of the {_bytes(free)} free in --cache_dir"
    if needed > MEMORY * memory:
        return f"{what}, more than {MEMORY:.0%} of the {_bytes(memory)} of memory"
    return ""


def require_room(entry: Path, files: Sequence[FilmFile], why: str) -> None:
    """Raises UserError where the disk cannot take the files in shards, before any is written.

    Args:
        why: they are not kept decoded, from `too_large`.
    """
    needed, free = sum(file.size for file in files), _free(entry)
    if needed > free:
        raise UserError(
            f"--cache_dir: {why}; in shards they take {_bytes(needed)}, and {_bytes(free)} are "
            f"free for {str(entry.parent)!r}; make room or name another folder"
        )


def _free(path: Path) -> int:
    """Bytes that the disk has free on which `path` would be made."""
    return shutil.disk_usage(next(parent for parent in path.parents if parent.exists())).free


def _memory() -> int:
    """Bytes of this machine's memory, or of its container's."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else "max"
    return min(physical, int(limit)) if limit.isdigit() else physical


def _bytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} GB"
