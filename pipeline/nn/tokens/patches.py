"""Square patches of pixels as tokens, and back."""

from jaxtyping import Array, Float


def to_patches(x: Float[Array, "b h w c"], patch: int) -> Float[Array, "b h2 w2 d"]:
    """Return the pixels of each patch as channels, in the order (row, column, channel).

    Height and width must be multiples of `patch`.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c).swapaxes(2, 3)
    return x.reshape(b, h // patch, w // patch, patch * patch * c)


def from_patches(x: Float[Array, "b h w d"], patch: int) -> Float[Array, "b h2 w2 c"]:
    """Return the x of which `to_patches` gives this one."""
    b, h, w, d = x.shape
    c = d // patch**2
    x = x.reshape(b, h, w, patch, patch, c).swapaxes(2, 3)
    return x.reshape(b, h * patch, w * patch, c)
