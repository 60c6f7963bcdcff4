"""Torch state dicts, and their strict conversion to the parameters of one of our models.

A rule maps the name of one of our parameters to its tensor in the file and to the change of layout.
Where the change is a `Layout`, the rule works both ways: `convert` reads the file, and `restore`
writes it.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pipeline.core.errors import CheckpointError, DataError, one_line
from pipeline.formats import safetensors_header, torch_pickle
from pipeline.formats.names import first_few

# A tensor's name in the file, and the function that changes its layout to ours.
Found = tuple[str, Callable[[np.ndarray], np.ndarray]]
# Maps the name of one of our parameters to its tensor.
Rule = Callable[[str], Found]
_EMA = "model_ema."


def load(path: str, *, within: Iterable[Sequence[str]] = ()) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict, float ones as float32.

    The prefix "module.", which data-parallel training adds to all names, is removed. Tensors named
    "model_ema.*" next to others are left out, with a line on standard error.

    Args:
      within: paths of nested keys under which a trainer's checkpoint may hold the state dict; the
        first that exists is used.

    Raises:
      DataError: the file is missing, or is not a state dict.
    """
    try:
        content = torch_pickle.read(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except torch_pickle.ERRORS as error:
        reason = one_line(error)[:120]
        raise DataError(f"{path} is not a torch state dict, or is damaged: {reason}") from None
    for keys in within:
        found = content
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        if isinstance(found, Mapping) and found:
            content = found
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(array, np.ndarray) for array in content.values()
    ):
        content = {}
    if not content:
        raise DataError(f"{path} is not a state dict: it must hold tensors by name")
    arrays = {
        name: a.astype(np.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a
        for name, a in content.items()
    }
    if all(name.startswith("module.") for name in arrays):
        arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    return _without_ema(arrays, path)


def load_safetensors(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file as float32, without "model_ema.*" as `load`.

    Raises:
      DataError: the file is unreadable.
    """
    try:
        safetensors_header.read(file)  # before memory is taken for what it says
        tensors = safetensors.numpy.load_file(file)
    except FileNotFoundError:
        raise DataError(
            f"{file}: there is no such file; convert weights in other formats first"
        ) from None
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        reason = one_line(error)
        raise DataError(f"{file} is truncated or damaged: {reason}") from None
    arrays = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    return _without_ema(arrays, file)


def _without_ema(arrays: dict[str, np.ndarray], path: object) -> dict[str, np.ndarray]:
    """Leave out a second copy of the weights, the EMA of a trainer, and report that."""
    kept = {name: array for name, array in arrays.items() if not name.startswith(_EMA)}
    if not kept or len(kept) == len(arrays):
        return arrays
    print(
        f"strata: {path}: passed over {len(arrays) - len(kept)} tensors of {_EMA}*, a second copy "
        "of the weights next to the ones that are imported",
        file=sys.stderr,
        flush=True,
    )
    return kept


def convert(
    tensors: Mapping[str, np.ndarray],
    shapes: Mapping[str, jax.ShapeDtypeStruct],
    rule: Rule,
    *,
    path: str,
    hint: str = "",
    ignored: Iterable[str] = (),
) -> dict[str, np.ndarray]:
    """Return the parameters for `shapes` from a file's tensors.

    Every parameter must have a tensor, and every tensor must be used unless it is `ignored`.

    Raises:
      CheckpointError: the file holds another model; the message has `hint`, and the numbers and
        first few names of the tensors that do not fit.
    """
    weights, missing, wrong, unused = {}, [], [], set(tensors) - set(ignored)
    for name, wanted in shapes.items():
        theirs, transform = rule(name)
        if theirs not in tensors:
            missing.append(theirs)
            continue
        unused.discard(theirs)
        array = tensors[theirs]
        try:
            weights[name] = np.asarray(transform(array), np.float32, order="C")
        except ValueError:  # another rank, or another number of values
            wrong.append(f"{theirs} {list(array.shape)}")
            continue
        if weights[name].shape != wanted.shape:
            got, expected = list(weights[name].shape), list(wanted.shape)
            wrong.append(f"{theirs} (as our {name} {got}, and the recipe has {expected})")
    found = [
        ("missing", missing),
        ("unknown to the recipe", sorted(unused)),
        ("of another shape", wrong),
    ]
    problems = [f"{len(names)} {what}: {first_few(names)}" for what, names in found if names]
    if problems:
        raise CheckpointError(
            f"{path} does not fit the recipe's model{hint}; tensors {'; '.join(problems)}"
        )
    return weights


def no_rule(name: str) -> CheckpointError:
    """Return the error for one of our parameters that has no counterpart in the file."""
    return CheckpointError(
        f"the model's weight {name!r} has no counterpart in the authors' model: check model.name"
    )


@dataclasses.dataclass(frozen=True)
class Layout:
    """An invertible change of a tensor's layout.

    Attributes:
      to_ours: gives our array of a file's tensor.
      to_theirs: the inverse.
      part: (index, count) if ours is one of `count` equal parts of the tensor's first axis.
    """

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray]
    part: tuple[int, int] = (0, 1)

    def __call__(self, tensor: np.ndarray) -> np.ndarray:
        """Return our array. Raises ValueError for a tensor of another rank, or without parts."""
        index, count = self.part
        return self.to_ours(tensor if count == 1 else np.split(tensor, count)[index])

    def of_part(self, index: int, count: int) -> "Layout":
        """Return the layout of one of `count` equal parts of a tensor, as of fused q, k and v."""
        return dataclasses.replace(self, part=(index, count))


def restore(
    arrays: Mapping[str, np.ndarray], rule: Callable[[str], tuple[str, Layout]]
) -> dict[str, np.ndarray]:
    """Return the tensors of a file for our parameters: the inverse of `convert`.

    Raises:
      CheckpointError: a parameter has no counterpart in the file.
      ValueError: the rule maps two parameters to one tensor, or leaves out a part of one.
    """
    parts: dict[str, dict[int, np.ndarray]] = {}
    counts: dict[str, int] = {}
    for name, array in arrays.items():
        theirs, layout = rule(name)
        index, counts[theirs] = layout.part
        found = parts.setdefault(theirs, {})
        if index in found:
            raise ValueError(f"{name} is not the only parameter that becomes {theirs}")
        found[index] = layout.to_theirs(np.asarray(array))
    for theirs, found in parts.items():
        if len(found) != counts[theirs]:
            raise ValueError(f"{theirs} is made of {counts[theirs]} parameters, not {len(found)}")
    tensors = {
        theirs: np.concatenate([found[index] for index in sorted(found)])
        if len(found) > 1
        else found[0]
        for theirs, found in parts.items()
    }
    # safetensors writes the memory as it lies.
    return {theirs: np.asarray(tensor, order="C") for theirs, tensor in tensors.items()}


# The tensor itself.
same = Layout(lambda tensor: tensor, lambda array: array)
# [out in] to [in out].
linear = Layout(lambda tensor: tensor.transpose(1, 0), lambda array: array.transpose(1, 0))
# [out in height width] to [height width in out].
conv = Layout(
    lambda tensor: tensor.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
)
# [out in time height width] to [time height width in out].
conv3d = Layout(
    lambda tensor: tensor.transpose(2, 3, 4, 1, 0), lambda array: array.transpose(4, 3, 0, 1, 2)
)


def vector(trailing: int) -> Layout:
    """Return the layout of [c 1 1 ...] with so many axes of one, which becomes [c]."""
    return Layout(
        lambda tensor: tensor.reshape(tensor.shape[: tensor.ndim - trailing]),
        lambda array: array.reshape(*array.shape, *(1,) * trailing),
    )


def pointwise(trailing: int) -> Layout:
    """Return the layout of a 1x1 convolution's [out in 1 1 ...], which becomes [in out]."""
    flat = vector(trailing)
    return Layout(
        lambda tensor: linear.to_ours(flat.to_ours(tensor)),
        lambda array: flat.to_theirs(linear.to_theirs(array)),
    )
