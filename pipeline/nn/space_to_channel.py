"""Moves cells of pixels, and groups of frames, into channels and back, without loss."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def space_to_channel(x: Float[Array, "b *t h w c"], factor: int) -> Float[Array, "b *t h2 w2 d"]:
    """Return x with each cell of `factor` x `factor` pixels as one pixel, c * factor**2 channels.

    The order of the channels is (channel, row in the cell, column), as in torch's pixel_unshuffle.
    Height and width must be multiples of `factor`.
    """
    *rest, h, w, c = x.shape
    cells = x.reshape(-1, h // factor, factor, w // factor, factor, c)
    cells = cells.transpose(0, 1, 3, 5, 2, 4)
    return cells.reshape(*rest, h // factor, w // factor, c * factor**2)


def channel_to_space(x: Float[Array, "b *t h w d"], factor: int) -> Float[Array, "b *t h2 w2 c"]:
    """Return the x of which `space_to_channel` gives this one."""
    *rest, h, w, d = x.shape
    cells = x.reshape(-1, h, w, d // factor**2, factor, factor)
    cells = cells.transpose(0, 1, 4, 2, 5, 3)
    return cells.reshape(*rest, h * factor, w * factor, d // factor**2)


def time_to_channel(
    x: Float[Array, "b t h w c"], factor: int, *, first: bool
) -> Float[Array, "b t2 h w d"]:
    """Return x with each `factor` frames as one of factor * c channels, in the order of time.

    `first` says that x begins with the first frame of a clip, which then is a group of its own: it
    is repeated `factor` times, and 1 + k * factor frames become 1 + k.
    """
    if first:
        x = jnp.concatenate([jnp.repeat(x[:, :1], factor - 1, axis=1), x], axis=1)
    b, t, h, w, c = x.shape
    groups = x.reshape(b, t // factor, factor, h, w, c)
    return groups.transpose(0, 1, 3, 4, 2, 5).reshape(b, t // factor, h, w, factor * c)


def channel_to_time(
    x: Float[Array, "b t h w d"], factor: int, *, first: bool
) -> Float[Array, "b t2 h w c"]:
    """Return the frames of which `time_to_channel` gives this x."""
    b, t, h, w, d = x.shape
    groups = x.reshape(b, t, h, w, factor, d // factor).transpose(0, 1, 4, 2, 3, 5)
    frames = groups.reshape(b, t * factor, h, w, d // factor)
    return frames[:, factor - 1 :] if first else frames


def pack(
    x: Float[Array, "b t h w c"], factors: tuple[int, int, int]
) -> Float[Array, "b t2 h2 w2 d"]:
    """Return x with each block of frames, rows and columns, `factors` of them, as one pixel.

    The order of the channels is (channel, frame in the block, row, column). Every size must be a
    multiple of its factor.
    """
    b, t, h, w, c = x.shape
    u, v, s = factors
    blocks = x.reshape(b, t // u, u, h // v, v, w // s, s, c).transpose(0, 1, 3, 5, 7, 2, 4, 6)
    return blocks.reshape(b, t // u, h // v, w // s, c * u * v * s)


def unpack(
    x: Float[Array, "b t h w d"], factors: tuple[int, int, int]
) -> Float[Array, "b t2 h2 w2 c"]:
    """Return the x of which `pack` gives this one."""
    b, t, h, w, d = x.shape
    u, v, s = factors
    c = d // (u * v * s)
    blocks = x.reshape(b, t, h, w, c, u, v, s).transpose(0, 1, 5, 2, 6, 3, 7, 4)
    return blocks.reshape(b, t * u, h * v, w * s, c)


def patchify(x: Float[Array, "b t h w c"], patch: int) -> Float[Array, "b t h2 w2 d"]:
    """Return patches of pixels as channels, in the order (channel, column in the patch, row)."""
    b, t, h, w, c = x.shape
    patches = x.reshape(b, t, h // patch, patch, w // patch, patch, c)
    patches = patches.transpose(0, 1, 2, 4, 6, 5, 3)
    return patches.reshape(b, t, h // patch, w // patch, c * patch**2)


def unpatchify(x: Float[Array, "b t h w d"], patch: int) -> Float[Array, "b t h2 w2 c"]:
    """Return the x of which `patchify` gives this one."""
    b, t, h, w, d = x.shape
    patches = x.reshape(b, t, h, w, d // patch**2, patch, patch).transpose(0, 1, 2, 6, 3, 5, 4)
    return patches.reshape(b, t, h * patch, w * patch, d // patch**2)
