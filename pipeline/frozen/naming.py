"""Names of a vision transformer's tensors in a file, as tables from our names.

A table maps our modules, as regular expressions, to theirs. What a fused tensor holds, such as
queries, keys and values, is given as parts of it.
"""

import dataclasses
import re
from collections.abc import Container, Mapping, Sequence

import numpy as np

from pipeline.core.errors import CheckpointError
from pipeline.formats.state_dict import Layout, linear, no_rule, same

_LEAVES = {"kernel": "weight", "bias": "bias", "scale": "weight"}


@dataclasses.dataclass(frozen=True)
class Naming:
    """One way to name the tensors.

    Attributes:
      probe: name of a tensor that each file of this naming has, and those of others lack.
      names: (pattern, theirs, axes) of vectors that follow no rule below, and the number of axes
        that the file has of them: leading axes of 1 are added or left out.
      modules: (pattern, theirs) of modules, of which "kernel", "bias" and "scale" are named as
        torch does.
      fused: (pattern, theirs, index, count) of modules that are one of several equal parts of a
        module; `theirs` ends with what separates it from "weight" and "bias".
      ignored: a pattern of tensors that are not part of the encoder.
      prefixes: what may precede all names.
    """

    probe: str
    names: tuple[tuple[str, str, int], ...]
    modules: tuple[tuple[str, str], ...]
    fused: tuple[tuple[str, str, int, int], ...] = ()
    ignored: str = ""
    prefixes: tuple[str, ...] = ("",)

    def ignores(self, name: str) -> bool:
        """Return whether a tensor of the file is not part of the encoder."""
        return bool(self.ignored) and re.fullmatch(self.ignored, name) is not None

    def source(self, name: str, shape: Sequence[int]) -> tuple[str, Layout]:
        """Return the tensor of a parameter of ours, and its layout. Raises CheckpointError."""
        for pattern, theirs, axes in self.names:
            if found := re.fullmatch(pattern, name):
                return found.expand(theirs), _vectors(shape, axes)
        module, _, leaf = name.rpartition(".")
        if leaf not in _LEAVES:
            raise no_rule(name)
        layout = linear if leaf == "kernel" else same
        for pattern, theirs, index, count in self.fused:
            if found := re.fullmatch(pattern, module):
                return found.expand(theirs) + _LEAVES[leaf], layout.of_part(index, count)
        for pattern, theirs in self.modules:
            if found := re.fullmatch(pattern, module):
                layout = patch_kernel(shape) if name == "embed.kernel" else layout
                return f"{found.expand(theirs)}.{_LEAVES[leaf]}", layout
        raise no_rule(name)


@dataclasses.dataclass(frozen=True)
class Own(Naming):
    """Our own names and layouts, as in the folder of a codec."""

    names: tuple[tuple[str, str, int], ...] = ()
    modules: tuple[tuple[str, str], ...] = ()

    def source(self, name: str, shape: Sequence[int]) -> tuple[str, Layout]:
        """Return the tensor of a parameter, which is the same."""
        del shape
        return name, same


def choose(namings: Sequence[Naming], names: Container[str], what: str) -> tuple[Naming, str]:
    """Return the naming of a file by the names of its tensors, and the prefix of all names.

    Raises:
      CheckpointError: the file has none of these namings; the message begins with `what`.
    """
    for naming in namings:
        for prefix in naming.prefixes:
            if prefix + naming.probe in names:
                return naming, prefix
    probes = ", ".join(naming.probe for naming in namings)
    raise CheckpointError(f"{what}: there is none of the tensors {probes}")


def without_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the tensors whose names begin with the prefix, without it; what else there is, such as
    the text encoder of CLIP, is left out.
    """
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def patch_kernel(shape: Sequence[int]) -> Layout:
    """Return the layout of a convolution of patches [out 3 p p], which becomes [p * p * 3, out]."""
    inputs, out = shape
    side = round((inputs / 3) ** 0.5)
    return Layout(
        lambda tensor: tensor.transpose(2, 3, 1, 0).reshape(inputs, out),
        lambda array: array.reshape(side, side, 3, out).transpose(3, 2, 0, 1),
    )


def _vectors(shape: Sequence[int], axes: int) -> Layout:
    """Return the layout of vectors that a file holds with so many axes."""
    ours = tuple(shape)
    theirs = (1,) * (axes - len(ours)) + ours[-min(axes, len(ours)) :]
    return Layout(lambda tensor: tensor.reshape(ours), lambda array: array.reshape(theirs))


BLOCK = r"blocks\.(\d+)\."  # our names of the modules of a block


def fused_attention(module: str, theirs: str) -> tuple[tuple[str, str, int, int], ...]:
    """Return the entries of queries, keys and values of a module of ours that are one tensor."""
    parts = ("query", "key", "value")
    return tuple((rf"{module}\.{part}", theirs, index, 3) for index, part in enumerate(parts))
