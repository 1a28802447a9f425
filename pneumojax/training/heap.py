"""Keeps the temporary memory of a step in the process from one step to the next.

This is for glibc and a single CPU; elsewhere it does nothing.
"""

import ctypes
import functools
import platform

# Parameters of `mallopt`, and the values that glibc has at the start or reaches by itself.
_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -4, -3, -1
LARGE = 32 << 20
_DEFAULTS = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: LARGE, _TRIM_THRESHOLD: 2 * LARGE}


@functools.cache  # steps of one size take turns with one block
def reserve(size: int) -> None:
    """Leaves a free block in the calling thread's heap for the temporary memory of its steps.

    glibc requests a large block from the system each time, and returns it when it is freed. Each
    step then waits for the system to clear 2 GB (Inception-v3, 16 films of 299 pixels), and in a
    virtual machine for the host to provide them. A free block between two used blocks of the heap
    is neither returned nor cleared, and glibc serves requests from the free block that fits best.
    The block takes addresses, and no memory until a step writes to it.

    Only the main thread's heap can hold the block, so steps must be computed in the thread that
    calls them, which `make_mesh` arranges. If the block cannot be reserved or is in use, memory
    comes from the system as before.

    Nothing happens for fewer bytes than `LARGE`, since glibc keeps such blocks by itself.
    """
    if size < LARGE or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.mallopt(_MMAP_MAX, 0)
    # The heap gets a small free block, a fence, the block for the step, and a fence. Small requests
    # go to the small block, which fits them best. If one lay right after the step's memory, the
    # rest of the large block would be too small for the next step. Fences are never written to, and
    # are too large for gaps between other blocks.
    spare, fence = size // 4, size // 8
    small, _, block, _ = (libc.malloc(n) for n in (spare, fence, size + 2 * spare, fence))
    for parameter, value in _DEFAULTS.items():
        libc.mallopt(parameter, value)
    libc.free(small)
    libc.free(block)
