"""The contract of a regularizer of latents, and several of them in a row."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float, PRNGKeyArray

Latents = Float[Array, "b *t h w d"]
Images = Float[Array, "b *t h w c"]
Changed = Float[Array, "b *t _ _ c"]
PARAMS = "objective.regularizers."  # Beginning of the names of what is trained with the model.


@dataclasses.dataclass(frozen=True, eq=False)
class Regularizer:
    """A change of latents in training, and of the images that are to be decoded from them.

    Attributes:
      latents: `latents(z, key, params, choice)` returns what the decoder gets in place of z.
      images: `images(x, key, choice)` returns the target of the reconstruction, of the same key and
        choice; None leaves it alone.
      params: first values of arrays that are trained with the model, by name.
      choose: `choose(seed, step)` returns what sets the shapes of a step, as a short text; "" where
        they are always the same. Each choice is a program of its own, so there should be few.
      choices: all texts that `choose` returns.
    """

    latents: Callable[[Latents, PRNGKeyArray, Mapping[str, Array], str], Latents]
    images: Callable[[Images, PRNGKeyArray, str], Images] | None = None
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    choose: Callable[[int, int], str] = lambda seed, step: ""
    choices: tuple[str, ...] = ("",)


@dataclasses.dataclass(frozen=True)
class Regularizers:
    """Regularizers by name, applied in turn; the noise of each has a key of its own.

    Attributes:
      parts: the regularizers by name, in the order of the recipe.
      chosen: the choice of each part, in this program.
    """

    parts: tuple[tuple[str, Regularizer], ...] = ()
    chosen: tuple[str, ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """Arrays that are trained with the model's parameters, and their first values."""
        return {
            f"{PARAMS}{name}.{key}": value
            for name, part in self.parts
            for key, value in part.params.items()
        }

    def variant(self, seed: int, step: int) -> str:
        """Return which program a step takes; "" if there is only one."""
        chosen = [part.choose(seed, step) for _, part in self.parts]
        return ",".join(chosen) if any(chosen) else ""

    def program(self, variant: str) -> "Regularizers":
        """Return the regularizers of a variant's program."""
        chosen = tuple(variant.split(",")) if variant else ("",) * len(self.parts)
        return dataclasses.replace(self, chosen=chosen)

    def latents(self, z: Latents, key: PRNGKeyArray, params: Mapping[str, Array]) -> Changed:
        """Return what the decoder gets in place of the latents z.

        Args:
          key: the step's key.
          params: the state's parameters, among them those of `params`.
        """
        for number, (name, part) in enumerate(self.parts):
            start = f"{PARAMS}{name}."
            own = {n.removeprefix(start): a for n, a in params.items() if n.startswith(start)}
            z = part.latents(z, self._key(key, number), own, self._choice(number))
        return z

    def images(self, x: Images, key: PRNGKeyArray) -> Changed:
        """Return the target of the reconstruction of images or clips x."""
        for number, (_, part) in enumerate(self.parts):
            if part.images is not None:
                x = part.images(x, self._key(key, number), self._choice(number))
        return x

    @property
    def changes_images(self) -> bool:
        """Return whether the target is not always the images themselves."""
        return any(part.images is not None for _, part in self.parts)

    def _choice(self, number: int) -> str:
        return self.chosen[number] if self.chosen else ""

    @staticmethod
    def _key(key: PRNGKeyArray, number: int) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.fold_in(key, _OWN), number)


_OWN = 0x6C617465  # folded into a step's key, for draws of regularizers
