"""Eight host devices, quick compilation and a cache of it that outlives the run, set before jax starts."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
# Tests compile for minutes what they run for milliseconds: unoptimised code is there in a third of the time.
os.environ["XLA_FLAGS"] += " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(pathlib.Path(__file__).parent.parent / ".jax_cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax
import pytest

MAPPINGS = pathlib.Path("/proc/self/maps")  # Linux's
MANY = 30_000  # Linux allows a process 65,530


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_let_go():
    """Each keeps some four mappings of memory, and without any left XLA crashes in the middle of a compilation."""
    yield
    if MAPPINGS.exists() and MAPPINGS.read_text().count("\n") > MANY:
        jax.clear_caches()
        gc.collect()
