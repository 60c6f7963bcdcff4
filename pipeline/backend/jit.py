"""`jax.jit` with compiler options that suit the backend."""

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from pipeline.backend import program_memory
from pipeline.core import progress

_CPU = {
    # By default XLA runs independent operations concurrently, for threads that convolutions keep
    # busy anyway, and holds the inputs of all of them. In the order of least memory WF-VAE S at
    # 17x64x64 needs, besides weights and results, 20 MiB to encode instead of 159, 83 to decode
    # instead of 407, and 712 for its gradients instead of 1,438, in the same time.
    "xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED",
    # Three VDVAE blocks compile in 2.9 s of CPU time instead of 5.5 at this level, and run no
    # slower; an optimizer's update compiles no faster.
    "xla_backend_optimization_level": 2,
}


def compiler_options(backend: str) -> dict[str, Any] | None:
    """Return XLA's options for "cpu", "gpu" or "tpu"; None means XLA's defaults.

    What the user sets in the environment variable XLA_FLAGS is not overridden.
    """
    if backend != "cpu":
        return None
    flags = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in _CPU.items() if f"--{name}=" not in flags}


def compiling(
    what: str, *, says_end: bool = True
) -> contextlib.AbstractContextManager[progress.Task]:
    """Show that `what` is being compiled, and whether the next start will be quick."""
    config: Any = jax.config
    kept = config.jax_enable_compilation_cache and config.jax_compilation_cache_dir
    hint = "the next start is quick" if kept else ""
    return progress.task(f"compiling {what}", hint=hint, says_end=says_end)


class jit:
    """`jax.jit(function, **settings)` with the `compiler_options` of the default backend.

    The backend is looked up at the first call, so that decorating a function initializes none.
    Inside a caller's own jit or grad, whose options apply to everything it contains, it is a plain
    `jax.jit`. `what` names the program to a user who waits for its compilation.
    """

    def __init__(self, function: Callable[..., Any], *, what: str = "a program", **settings: Any):
        self._function, self._settings, self._what = function, settings, what
        self._compiled: set[Any] = set()  # shapes of arguments
        self._nested = jax.jit(function, **settings)
        functools.update_wrapper(self, function)

    @functools.cached_property
    def outermost(self) -> Any:
        """The function compiled outside any other jitted function, with the options."""
        options = compiler_options(jax.default_backend())
        return jax.jit(self._function, compiler_options=options, **self._settings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_traced((args, kwargs)):
            return self._nested(*args, **kwargs)
        if not progress.screen.enabled:
            return self.outermost(*args, **kwargs)
        with self._compiling(args, kwargs):
            return self.outermost(*args, **kwargs)

    def memory(self, *args: Any, **kwargs: Any) -> program_memory.ProgramMemory | None:
        """Return what a call with these arguments, or shapes of some, needs; None if unknown.

        The program is compiled for it, and not again for the call.
        """
        with self._compiling(args, kwargs):
            compiled = self.outermost.lower(*args, **kwargs).compile()
        return program_memory.of(compiled, on_cpu=jax.default_backend() == "cpu")

    def _compiling(self, args: Any, kwargs: Any) -> contextlib.AbstractContextManager[Any]:
        shapes = tuple(getattr(leaf, "shape", ()) for leaf in jax.tree.leaves((args, kwargs)))
        is_new = shapes not in self._compiled
        self._compiled.add(shapes)
        return compiling(self._what) if is_new else contextlib.nullcontext()


def _is_traced(arguments: Any) -> bool:
    # Under a caller's jit even constants are traced; under its grad, what depends on its arguments.
    return isinstance(jnp.zeros(()), Tracer) or any(
        isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)
    )
