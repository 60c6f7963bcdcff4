"""Moves cells of pixels into channels and back, without loss (torch's pixel_unshuffle)."""

from jaxtyping import Array, Float


def space_to_channel(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 d"]:
    """Return x with each cell of `factor` x `factor` pixels as one pixel, c * factor**2 channels.

    The order of the channels is (channel, row in the cell, column), as torch has it. Height and
    width must be multiples of `factor`.
    """
    b, h, w, c = x.shape
    cells = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return cells.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // factor, w // factor, -1)


def channel_to_space(x: Float[Array, "b h w d"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Return the x of which `space_to_channel` gives this one."""
    b, h, w, d = x.shape
    c = d // factor**2
    cells = x.reshape(b, h, w, c, factor, factor)
    return cells.transpose(0, 1, 4, 2, 5, 3).reshape(b, h * factor, w * factor, c)
