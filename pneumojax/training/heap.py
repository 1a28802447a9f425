"""A step's temporary memory, kept by the process from one step to the next (glibc, one CPU)."""

import ctypes
import functools
import platform

# Numbers of `mallopt`, and the values that glibc begins with or arrives at by itself.
_MAX_MAPPED_BLOCKS, _MAPPED_FROM, _TRIMMED_FROM = -4, -3, -1
LARGE = 32 << 20
_DEFAULTS = {_MAX_MAPPED_BLOCKS: 65_536, _MAPPED_FROM: LARGE, _TRIMMED_FROM: 2 * LARGE}


@functools.cache  # once for steps of one size: they take turns with the block
def reserve(size: int) -> None:
    """Leaves a free block in the calling thread's heap for the temporary memory of its steps.

    glibc asks the system for a large block at each request, and gives it back when it is freed.
    A step then waits for the system to clear 2 GB (Inception-v3, 16 films of 299 pixels), and
    where the machine is a guest, for its host to find them. A free block that lies in the heap
    between two others is neither given back nor cleared, and requests are served from what fits
    them best. Until a step writes to it, it costs addresses and no memory.

    Only the main thread's heap can hold it, so steps have to be computed by the thread that calls
    them (`make_mesh` asks for that). Where the block is in use or could not be had, memory comes
    from the system as it would have.

    Args:
        size: bytes. Below `LARGE` nothing is done: glibc keeps such blocks by itself.
    """
    if size < LARGE or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.mallopt(_MAX_MAPPED_BLOCKS, 0)
    # Small requests are served from what fits them best: from the first block as long as it lasts,
    # since it is smaller than what a step leaves free of the second, and an address right behind
    # the step's memory would make the second too small. The fences are never written to; they are
    # of a size that does not fit between others.
    spare, fence = size // 4, size // 8
    small, _, block, _ = (libc.malloc(n) for n in (spare, fence, size + 2 * spare, fence))
    for parameter, value in _DEFAULTS.items():
        libc.mallopt(parameter, value)
    libc.free(small)
    libc.free(block)
