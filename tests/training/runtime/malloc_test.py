"""Freed memory is returned to the system."""

import ctypes
import subprocess
import sys

import pytest

from pipeline.training.runtime import malloc

# In a separate process: after a compilation, the heap already has holes of any size.
HOLES = """
import ctypes, pathlib
from pipeline.training.runtime import malloc as heaps

def resident():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])

c = ctypes.CDLL(None)
c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = resident()
blocks = [c.malloc(8192) for _ in range(16384)]
for block in blocks:
    ctypes.memset(ctypes.c_void_p(block), 1, 8192)
last = blocks.pop()  # keeps the heap's end where it is
for block in blocks:
    c.free(block)
held = resident()
heaps.trim()
print(held - before, resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_holes_of_the_heap_go_back():
    ran = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    held, trimmed = map(int, ran.stdout.split())  # KiB
    assert held > 100 << 10
    assert trimmed < 20 << 10


def test_heaps_are_limited_without_complaint():
    malloc.limit()
