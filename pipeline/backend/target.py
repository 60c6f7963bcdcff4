"""What a program is compiled for: the backend, and the mesh whose `context` splits the height of images.

Some operations are written differently for different targets. They ask here, and not jax: `strata plan` compiles for
a TPU on a machine that has none, and how an array is split shows only after tracing.
"""

import contextlib

import jax
from jax.sharding import Mesh

# Parts of the key of jax's caches, so that what was traced for one target is never taken for another.
_backend = jax.make_user_context(default_value=None)
_mesh = jax.make_user_context(default_value=None)
_divided = jax.make_user_context(default_value=False)
_unrolled = jax.make_user_context(default_value=False)


def backend() -> str:
    """What the program that is being traced will run on: "cpu", "gpu" or "tpu"."""
    return _backend.value or jax.default_backend()


def splitting_mesh() -> Mesh | None:
    """The mesh whose `context` splits images and feature maps in height; None where their height is whole."""
    return _mesh.value


def is_divided() -> bool:
    """Whether the program is for a mesh of several devices."""
    return _divided.value


def unrolled() -> bool:
    """Whether layers that would be scanned are written out one by one."""
    return _unrolled.value


@contextlib.contextmanager
def written_out():
    """Within it, programs are traced without loops over layers: XLA's counts of FLOPs and bytes take a loop's once."""
    with _unrolled(True):
        yield


@contextlib.contextmanager
def compiling_for(platform: str | None = None, *, mesh: Mesh | None = None):
    """Within it, programs are traced for `platform` (None: the default backend) and for images split over `mesh`.

    A mesh whose `context` is 1 splits nothing.
    """
    splitting = mesh if mesh is not None and mesh.shape["context"] > 1 else None
    with _backend(platform), _mesh(splitting), _divided(mesh is not None and mesh.size > 1):
        yield
