"""Closes the gaps in this process's heap, so that forked children do not scatter into them.

Called by ``preload`` in the process that forks our children. After many imports the C heap is full
of small gaps, on pages that all children share. A child that opens a database would put its few
hundred KiB into them and so get its own copy of two MiB of pages; with the gaps taken, it begins
a few pages of its own. A saving and nothing else: where the C library is not glibc, it is not done.
"""

import ctypes

SIZES = (65536, 32768, 16384, 8192, 4096, 2048, *range(1032, 8, -16))
"""Large gaps first; the small sizes are the allocator's own steps."""
MOST_BYTES = 4 * 1024 * 1024


class _Mallinfo2(ctypes.Structure):
    """See mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    )  # fmt: skip


def fill_gaps() -> int:
    """Takes every gap below the heap's end for good; how many bytes that were."""
    libc = ctypes.CDLL(None)
    try:
        mallinfo2, sbrk, malloc, free = libc.mallinfo2, libc.sbrk, libc.malloc, libc.free
    except AttributeError:
        return 0
    mallinfo2.restype = _Mallinfo2
    sbrk.argtypes, sbrk.restype = (ctypes.c_ssize_t,), ctypes.c_size_t
    malloc.argtypes, malloc.restype = (ctypes.c_size_t,), ctypes.c_size_t
    free.argtypes, free.restype = (ctypes.c_size_t,), None
    end = sbrk(0) - mallinfo2().keepcost
    taken = 0
    for size in SIZES:
        while 0 < (place := malloc(size)) < end and taken < MOST_BYTES:
            taken += size
        free(place)
    return taken
