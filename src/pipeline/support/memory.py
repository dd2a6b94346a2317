"""Return unused memory to the operating system."""

import ctypes


def release_memory() -> None:
    """Return freed memory to the operating system, which Arrow and the C library would otherwise cache.

    On tables of millions of rows, this is hundreds of megabytes.
    """
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):  # glibc only
        c_library.malloc_trim(0)
