"""glibc gives large blocks back to the kernel once freed, and a 3D network on a CPU asks for them anew all the time."""

from __future__ import annotations

import ctypes
import platform

_MMAP_MAX, _TOP_PAD, _TRIM_THRESHOLD = -4, -2, -1  # parameters of mallopt(3)
_TOP_PAD_BYTES, _NEVER = 2**28, 2**31 - 1


def keep_freed_memory() -> None:
    """Keep the memory that was freed for the next layer; without glibc, or where the C library refuses, do nothing.

    Clearing the pages of each feature map in the kernel took as long as all the rest of IterMask3D's inference. The
    process then holds what it has needed at most, to its end.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((_MMAP_MAX, 0), (_TOP_PAD, _TOP_PAD_BYTES), (_TRIM_THRESHOLD, _NEVER)):
        libc.mallopt(parameter, value)
