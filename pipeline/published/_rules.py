"""Rules from names of our parameters to those in files, as a table of patterns."""

import re
from collections.abc import Callable, Mapping, Sequence

from pipeline.formats.state_dict import Layout, conv, conv3d, no_rule, same

# A 1x1 convolution within frames, which files have as a 3-D one: [out in 1 1 1] to [1 1 in out].
framewise = Layout(
    lambda tensor: conv.to_ours(tensor.squeeze(-1)),
    lambda array: conv.to_theirs(array)[..., None],
)


def rule(
    modules: Sequence[tuple[str, str]],
    kernels: Mapping[str, Layout],
    scale: tuple[str, Layout] = ("weight", same),
) -> Callable[[str], tuple[str, Layout]]:
    """Return the rule of a network of convolutions and norms.

    Args:
      modules: patterns of our modules' names, and the names in the file (re.Match.expand); the
        first one that matches a whole name holds.
      kernels: patterns of our modules whose kernels are not those of 3-D convolutions, and their
        layouts.
      scale: the name and the layout of the scales of norms.
    """

    def source(name: str) -> tuple[str, Layout]:
        module, _, leaf = name.rpartition(".")
        found = next(
            (match.expand(to) for each, to in modules if (match := re.fullmatch(each, module))),
            None,
        )
        if found is None or leaf not in ("bias", "scale", "kernel"):
            raise no_rule(name)
        if leaf == "bias":
            return f"{found}.bias", same
        if leaf == "scale":
            return f"{found}.{scale[0]}", scale[1]
        layout = next(
            (each for part, each in kernels.items() if re.fullmatch(part, module)), conv3d
        )
        return f"{found}.weight", layout

    return source
