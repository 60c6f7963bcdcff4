"""The target of compilation: a backend, and the mesh whose `context` axis splits image height.

Some operations are lowered differently for different targets. They ask this module and not jax:
`strata plan` compiles for a TPU on a machine that has none, and how an array is sharded is only
known after tracing.
"""

import contextlib

import jax
from jax.sharding import Mesh

# User contexts are part of the key of jax's caches: a trace for one target is never reused for
# another.
_backend = jax.make_user_context(default_value=None)
_mesh = jax.make_user_context(default_value=None)
_divided = jax.make_user_context(default_value=False)
_unrolled = jax.make_user_context(default_value=False)


def backend() -> str:
    """Return the platform that the traced program will run on: "cpu", "gpu" or "tpu"."""
    return _backend.value or jax.default_backend()


def splitting_mesh() -> Mesh | None:
    """Return the mesh whose `context` axis splits image height, or None if height is not split."""
    return _mesh.value


def is_divided() -> bool:
    """Return whether the program is for a mesh of several devices."""
    return _divided.value


def unrolled() -> bool:
    """Return whether layers that would be scanned are unrolled."""
    return _unrolled.value


@contextlib.contextmanager
def unrolling_layers():
    """Trace programs without loops over layers: XLA counts a loop's FLOPs and bytes only once."""
    with _unrolled(True):
        yield


@contextlib.contextmanager
def compiling_for(platform: str | None = None, *, mesh: Mesh | None = None):
    """Trace programs for `platform` (None: the default backend) and for images split over `mesh`.

    A mesh whose `context` is 1 splits nothing.
    """
    splitting = mesh if mesh is not None and mesh.shape["context"] > 1 else None
    with _backend(platform), _mesh(splitting), _divided(mesh is not None and mesh.size > 1):
        yield
