"""Memory that nothing uses any more goes back to the system."""

import ctypes


def release_memory() -> None:
    """Give back to the system what was freed; Arrow and the C library would keep it for later.

    On tables of millions of rows that is hundreds of megabytes.
    """
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):  # glibc only
        c_library.malloc_trim(0)
