"""Memory that was freed goes back to the system."""

import ctypes
import pathlib

import pytest

from pipeline.training import heaps

STATUS = pathlib.Path("/proc/self/status")


def resident_kib() -> int:
    return int(STATUS.read_text().split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_holes_of_the_heap_go_back():
    c = ctypes.CDLL(None)
    c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    before = resident_kib()
    blocks = [c.malloc(8192) for _ in range(16384)]
    for block in blocks:
        ctypes.memset(block, 1, 8192)
    last = blocks.pop()  # keeps the heap's end where it is
    for block in blocks:
        c.free(block)
    held = resident_kib()
    heaps.trim()
    trimmed = resident_kib()
    c.free(last)
    assert held - before > 100 << 10
    assert trimmed - before < 20 << 10


def test_heaps_are_limited_without_complaint():
    heaps.limit()
