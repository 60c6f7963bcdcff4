"""3-D convolutions of clips [b t h w c], causal and centred in time."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from pipeline.backend.conv2d import Padding
from pipeline.backend.conv3d import Padding3d, conv3d
from pipeline.backend.halo import with_halo_exchange
from pipeline.core.errors import ConfigError
from pipeline.nn import init
from pipeline.nn.cache import CausalCache, starts_clip, with_context

PADDINGS = ("replicate", "first_frame", "zeros")
# What lies beyond the edges of a frame, and the mode of jnp.pad that makes it.
EDGES = {"zeros": "constant", "replicate": "edge", "reflect": "reflect"}


class CausalConv3d(nnx.Module):
    """A causal convolution in time and space; float32 parameters, computed in `dtype`.

    In time, kernel - 1 frames are put in front of a clip: copies of its first frame
    (time_padding="replicate" or "first_frame", which are synonyms: different codecs use different
    names), or "zeros". So 1 + 2k frames become 1 + k with stride 2 in time, and the first output
    frame depends on the first input frame alone.

    In space a frame is padded with `space_padding`, whatever `time_padding` is: "zeros", copies of
    the edge ("replicate"), or the frame mirrored at the edge pixel ("reflect"). By default these
    are as many rows and columns as keep height and width, or, with stride 2, one row below and one
    column at the right; `space_width` gives other numbers, before and after, of rows and columns
    alike.

    The kernel [time, height, width, in, out] is initialized as torch's default, uniform in
    +-sqrt(1 / fan_in), times `init_scale`; the bias is initialized to zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int | tuple[int, int, int] = 3,
        *,
        stride: int | tuple[int, int, int] = 1,
        time_padding: str = "replicate",
        space_padding: str = "zeros",
        space_width: Padding | None = None,
        init_scale: float = 1.0,
        key: PRNGKeyArray,
        dtype: Any = jnp.float32,
    ):
        if time_padding not in PADDINGS:
            raise ConfigError(f"time_padding={time_padding!r} must be one of {', '.join(PADDINGS)}")
        if space_padding not in EDGES:
            raise ConfigError(f"space_padding={space_padding!r} must be one of {', '.join(EDGES)}")
        size = (kernel_size,) * 3 if isinstance(kernel_size, int) else tuple(kernel_size)
        bound = init_scale * (in_features * size[0] * size[1] * size[2]) ** -0.5
        shape = (*size, in_features, out_features)
        self.kernel = nnx.Param(init.uniform(key, shape, bound))
        self.bias = nnx.Param(jnp.zeros((out_features,), jnp.float32))
        self.stride = (stride,) * 3 if isinstance(stride, int) else tuple(stride)
        if size[0] < self.stride[0]:
            raise ConfigError(
                f"a kernel of {size[0]} frames with stride {self.stride[0]} in time would skip "
                "frames: the kernel must be at least as long as the stride"
            )
        self.time_padding, self.dtype = time_padding, dtype
        self.space_padding, self.space_width = space_padding, space_width

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t2 h2 w2 d"]:
        """Convolve a whole clip, or with a `cache` its next chunk.

        The first chunk has 1 + k * stride frames, later ones k * stride.

        Raises:
          ValueError: another number of frames, some of which would be left out.
        """
        self._check_frames(x.shape[1], first=starts_clip(cache))
        taps = self.kernel.shape[0]
        x = x.astype(self.dtype)
        if taps > 1:
            keep = taps - self.stride[0]
            x = with_context(cache, x, lambda x: self._context(x, taps - 1), keep)
        return self._convolved(x)

    def _convolved(self, x: Float[Array, "b t h w c"]) -> Float[Array, "b t2 h2 w2 d"]:
        """Convolve frames between which nothing more is put in time."""
        kernel, bias = (each[...].astype(self.dtype) for each in (self.kernel, self.bias))
        width = self.space_width
        padding = None if width is None else ((0, 0), width, width)
        return convolve_3d(x, kernel, self.stride, bias, padding, self.space_padding)

    def _check_frames(self, frames: int, *, first: bool) -> None:
        step = self.stride[0]
        if frames < 1 or (frames - first) % step:
            expected = (
                f"the first chunk has 1 + k * {step}" if first else f"later chunks have k * {step}"
            )
            raise ValueError(
                f"a convolution of stride {step} in time got {frames} frames: {expected}"
            )

    def _context(self, x: Array, frames: int) -> Array:
        """Return the frames in front of a clip."""
        first = jnp.repeat(x[:, :1], frames, axis=1)
        return jnp.zeros_like(first) if self.time_padding == "zeros" else first


class CentredConv3d(CausalConv3d):
    """A convolution that sees as many frames ahead as back; no chunk of a clip is like the whole.

    The first and the last frame are repeated at the ends.
    """

    def __call__(
        self, x: Float[Array, "b t h w c"], cache: CausalCache | None = None
    ) -> Float[Array, "b t2 h2 w2 d"]:
        del cache
        return self._convolved(repeat_ends(x.astype(self.dtype), self.kernel.shape[0] // 2))


def repeat_ends(x: Float[Array, "b t h w c"], frames: int) -> Float[Array, "b t2 h w c"]:
    """Return x with `frames` copies of its first frame in front and of its last one behind."""
    before, after = (jnp.repeat(end, frames, axis=1) for end in (x[:, :1], x[:, -1:]))
    return jnp.concatenate([before, x, after], axis=1)


def convolve_3d(
    x: Float[Array, "b t h w c"],
    kernel: Float[Array, "u v s c d"],
    stride: Sequence[int] = (1, 1, 1),
    bias: Float[Array, " d"] | None = None,
    padding: Padding3d | None = None,
    edges: str = "zeros",
) -> Float[Array, "b t2 h2 w2 d"]:
    """Return the cross-correlation of padded clips with `kernel`, plus `bias`.

    By default there is no padding in time, and in space as much as keeps height and width; with
    stride 2 in space, a row below and a column at the right, for an even height and width. What is
    padded in space are `edges`, one of EDGES; in time it is zeros.
    """
    steps = (stride[0], stride[1], stride[2])
    if padding is None:
        rows, columns = (
            (0, 1) if step == 2 else (size // 2, size // 2)
            for size, step in zip(kernel.shape[1:3], steps[1:])
        )
        padding = ((0, 0), rows, columns)
    frames, rows, columns = padding
    in_space = ((0, 0), (0, 0), rows, columns, (0, 0))

    def layer(weights: Any, x: Array) -> Array:
        kernel, bias = weights
        if edges == "zeros":
            return conv3d(x, kernel, steps, (frames, rows, columns), bias)
        x = jnp.pad(x, in_space, mode=EDGES[edges])
        return conv3d(x, kernel, steps, (frames, (0, 0), (0, 0)), bias)

    halo = kernel.shape[1] // 2 * stride[1]
    return with_halo_exchange(layer, (kernel, bias), x, halo=halo, edges=edges)
