"""Codecs that are convolutional throughout: images or clips of any size, whole, in chunks of time,
and in tiles.

    z = codec.encode(video, chunk=8, tile=256).mode()
    video = codec.decode(z, chunk=2, tile=256)
    for frame in codec.decode_frames(codec.encode_frames(frames)): ...      # in constant memory

    indices = codec.encode(images).indices()                # of a codec of discrete codes
    images = codec.decode_indices(indices)

A causal encoder gives the same latents, and a causal decoder the same frames, however a clip is cut
in time. Tiles are blended where they overlap; what that changes is measured in docs/codecs.md.
"""

import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

from pipeline.backend.jit import jit
from pipeline.codec.base import BaseCodec
from pipeline.codec.checks import checked_batch_of_latents, checked_images
from pipeline.codec.encodings import AnySizeEncoding, CodeEncoding, checked_indices, no_codes
from pipeline.codec.entropy.hyperprior import HyperpriorCoder
from pipeline.codec.memory import byte_sizes
from pipeline.codec.memory.cutting import Cutting
from pipeline.codec.scaling import mean_and_deviation
from pipeline.codec.tiling import chunks, padding
from pipeline.codec.tiling.chunks import Chunk
from pipeline.codec.tiling.parts import codes_part, to_uint8
from pipeline.codec.tiling.side import Tile, decoder, encoder
from pipeline.codec.tiling.sizes import Sizes
from pipeline.codec.tiling.streams import Frames, LatentStream, crop_frames, single_latents
from pipeline.core.errors import DataError
from pipeline.core.parameters import ModelDef
from pipeline.core.windows import Windows
from pipeline.formats.fingerprint import fingerprint_of


class AnySizeCodec(BaseCodec):
    """Images [b h w c] or clips [b t h w c], uint8 or float in [-1, 1], as its model has it
    (`is_video`).

    Heights, widths and lengths that do not fit are filled by repeating the last row, column or
    frame, with a warning; `AnySizeEncoding.size` and `LatentStream.size` have the true ones, for
    `decode` and `decode_frames` to cut back to.

    Attributes:
      spatial_factor, temporal_factor: pixels and frames to a latent (8 and 4, say).
      encoder_causal, decoder_causal: whether chunks of time give the latents, and the frames, of
        the whole clip. Where not, chunks overlap by one frame. causal: whether both do.
      windows: the fixed windows of time in which the codec codes every clip, or None.
      frames_step, latents_step: a chunk is a multiple of so many frames, or latents.
      num_codes: number of codes of a codec whose latents are codes; otherwise 0.
      encoder_side, decoder_side, sizes: what the codec is made of (pipeline.codec.tiling).
    """

    def __init__(
        self,
        modeldef: ModelDef,
        weights: Mapping[str, Any],
        config: Mapping[str, Any],
        fingerprint: str = "",
    ):
        super().__init__(modeldef, weights, config, fingerprint)
        model = modeldef.skeleton()
        self.is_video: bool = model.is_video
        self.encoder_causal: bool = self.is_video and model.encoder_causal
        self.decoder_causal: bool = self.is_video and model.decoder_causal
        self.causal: bool = self.encoder_causal and self.decoder_causal
        self.windows: Windows | None = getattr(model, "windows", None) if self.is_video else None
        self.spatial_factor: int = model.spatial_factor
        self.temporal_factor: int = model.temporal_factor
        self.latent_channels: int = model.latent_channels
        self.num_codes: int = getattr(model, "num_codes", 0)
        self.codes_per_position: int = getattr(model, "codes_per_position", 1)
        self.sizes = Sizes(
            self.is_video,
            self.spatial_factor,
            self.temporal_factor,
            self.latent_channels,
            self.windows,
        )
        self.encoder_side = encoder(modeldef, model, self.sizes, has_codes=bool(self.num_codes))
        self.decoder_side = decoder(modeldef, model, self.sizes)
        self._cutting = Cutting(lambda: self.state, self.sizes, self.image_shape[2])
        self.frames_step: int = self.encoder_side.cuts.step
        self.latents_step: int = self.decoder_side.cuts.step
        self._codes = jit(functools.partial(codes_part, modeldef), what="the codebook")

    def encode(
        self,
        images: Shaped[Array | np.ndarray, "..."],
        *,
        chunk: Chunk = None,
        tile: Tile = None,
    ) -> AnySizeEncoding | CodeEncoding:
        """Return the posterior of a batch.

        Args:
          images: [b h w c] for a codec of images, [b t h w c] for one of video.
          chunk: frames at a time after the first one, a multiple of temporal_factor; by default
            all at once, as with 0.
          tile: side of tiles in pixels, a multiple of spatial_factor; by default whole frames.
            "auto", of either, is the largest for which `memory` suffices.

        Raises:
          DataError: the codec does not take images of this shape or type, or such a chunk or tile.
          ConfigError: `memory` does not suffice for any chunk and tile.
        """
        side, channels = self.encoder_side, self.image_shape[2]
        x = checked_images(images, channels, is_video=self.is_video)
        chunk, tile = side.checked_chunk(chunk), side.checked_tile(tile)
        size = tuple(x.shape[1:-1])
        x, padding_note = self.sizes.pad(x)
        if padding_note:
            warnings.warn(
                f"encode: {padding_note}; decode(z, size={size}) cuts back to what was there",
                stacklevel=2,
            )
        cut = self._cutting.of_batch(side, x, chunk, tile)
        parts = list(side.coded(self.state, side.cuts.pieces(x, cut.chunk), cut.tile))
        arrays = (
            parts[0] if len(parts) == 1 else [np.concatenate(part, axis=1) for part in zip(*parts)]
        )
        if self.num_codes:
            return CodeEncoding(self, _indices(arrays), size)
        mean, logvar = arrays
        return AnySizeEncoding(mean, logvar, size)

    def decode(
        self,
        z: Shaped[Array | np.ndarray, "..."],
        *,
        chunk: Chunk = None,
        tile: Tile = None,
        size: tuple[int, ...] | None = None,
    ) -> UInt8[Array | np.ndarray, "..."]:
        """Return the images or clips, uint8, of latents [b h w d] or [b t h w d].

        Args:
          chunk: latent frames at a time, after the first one; by default all at once.
          tile: side of tiles in pixels. 0 and "auto" are as in `encode`.
          size: (height, width), or of clips (frames, height, width), to crop to, such as
            `AnySizeEncoding.size`.

        Raises:
          DataError: the latents do not fit the codec or are not finite floats, or it takes no such
            chunk, tile or size.
          ConfigError: `memory` does not suffice for any chunk and tile.
        """
        side = self.decoder_side
        z = checked_batch_of_latents(z, self.latent_channels, is_video=self.is_video)
        chunk, tile = side.checked_chunk(chunk), side.checked_tile(tile)
        wanted = padding.checked_size(size, is_video=self.is_video)
        frames, (height, width) = self.sizes.num_frames(z.shape[1]), z.shape[-3:-1]
        padding.refuse_larger(
            wanted, (frames, height * self.spatial_factor, width * self.spatial_factor)
        )
        cut = self._cutting.of_batch(side, z, chunk, tile)
        pieces = side.cuts.pieces(z, cut.chunk)
        parts = [to_uint8(frames) for (frames,) in side.coded(self.state, pieces, cut.tile)]
        decoded = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return decoded if size is None else padding.crop(decoded, wanted)

    def decode_indices(
        self, indices: Shaped[Array | np.ndarray, "..."], **settings: Any
    ) -> UInt8[Array | np.ndarray, "..."]:
        """Return `decode` of the codes of indices, with its arguments.

        Raises:
          DataError: as `decode`, or the indices are not those of this codec.
        """
        return self.decode(self.latents_of(indices), **settings)

    def latents_of(self, indices: Shaped[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
        """Return the latents of indices, which `CodeEncoding.indices` gave.

        Raises:
          DataError: the codec has no codes, or the indices are not those of this codec.
        """
        if not self.num_codes:
            raise no_codes("decode_indices")
        several = self.codes_per_position > 1
        shape = (None,) * (3 + self.is_video) + ((self.codes_per_position,) if several else ())
        checked_indices(indices, shape, self.num_codes)
        return self._codes(*self.state, indices.astype(np.int32))

    def compress(self, images: Shaped[Array | np.ndarray, "b h w c"]) -> bytes:
        """Return the latents of a batch in about as many bytes as the prior says.

        Only this codec reads them, on this kind of machine: the decoder must compute the same
        scales again. Heights and widths are padded as in `encode`, without a warning.

        Raises:
          DataError: the codec has no entropy coder, or does not take these images.
        """
        x = checked_images(images, self.image_shape[2], is_video=self.is_video)
        padded, _ = self.sizes.pad(x)
        return self._coder.compress(padded, (int(x.shape[1]), int(x.shape[2])))

    def decompress(self, data: bytes) -> UInt8[Array | np.ndarray, "b h w c"]:
        """Return `reconstruct` of the images that `compress` took.

        Raises:
          DataError: the codec has no entropy coder, or the bytes are damaged or another codec's.
        """
        latents, size = self._coder.decompress(data)
        return self.decode(latents, size=size)

    @functools.cached_property
    def _coder(self) -> HyperpriorCoder:
        if not hasattr(getattr(self.modeldef.skeleton(), "bottleneck", None), "integers"):
            raise DataError("this codec has no entropy coder: its latents are not integers")
        digest = self.fingerprint or fingerprint_of(jax.device_get(self.weights))

        def of_image(height: int, width: int) -> tuple[int, int, int]:
            return self.latent_shape(1, height, width)[1:]

        return HyperpriorCoder(self.modeldef, self.state, digest, of_image)

    def latent_shape(self, frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the shape (t, h, w, d) of the latents of a clip, or of an image with frames=1."""
        return self.sizes.latent_shape(frames, height, width)

    def reconstruct(self, images: Shaped[Array | np.ndarray, "..."], **parts: Chunk | Tile) -> Any:
        """Return `decode` of the `mode` of `encode`, in the size of the images.

        `tile` and `chunk` (in frames) are as in `encode`.
        """
        encoding = self.encode(images, **parts)
        latents: Any = chunks.in_latents(parts.get("chunk"), self.temporal_factor)
        return self.decode(
            encoding.mode(), chunk=latents, tile=parts.get("tile"), size=encoding.size
        )

    def encode_frames(
        self,
        frames: Iterable[UInt8[Array | np.ndarray, "h w c"]],
        *,
        chunk: Chunk = None,
        tile: Tile = None,
        indices: bool = False,
    ) -> LatentStream:
        """Posterior means [t h w d] of a clip of any length as its frames come, a chunk at a time,
        or with 0 whole; with `indices` those of a codec's codes.

        A chunk is 8 frames unless it is said, and of small frames up to 32
        (pipeline.codec.tiling.chunks.default_chunk); "auto" is as in `encode`, but at most that
        many. The last chunk is filled with copies of the last frame to a multiple of
        temporal_factor, rows and columns as in `encode`, with a warning. `size` of what is returned
        has the true size, and `decode_frames` cuts back to it.

        Raises:
          DataError: a chunk or tile that cannot be; as the latents come, frames that the codec does
            not take or that change their size, or no frames.
          ConfigError: as the latents come, as in `encode`.
        """
        side = self.encoder_side
        side.require_time()
        chunk, tile = side.checked_chunk(chunk), side.checked_tile(tile)
        if indices and not self.num_codes:
            raise no_codes("encode_frames")
        taken = Frames(frames, self.image_shape[2])

        def latents(arrays: Any) -> Any:
            if not self.num_codes:
                return arrays[0]
            return _indices(arrays) if indices else self.latents_of(_indices(arrays))

        def stream() -> Iterator[np.ndarray]:
            first, items = chunks.peeked(taken)
            cut = self._cutting.of_stream(side, first, chunk, tile)
            groups = side.cuts.groups(items, cut.chunk or 0)
            clips = (self._clip_of(group, taken.count) for group in groups)
            for arrays in side.coded(self.state, clips, cut.tile):
                yield np.asarray(latents(arrays)[0])

        return LatentStream(taken, stream())

    def decode_frames(
        self,
        latents: Iterable[Shaped[Array | np.ndarray, "_ h w d"]],
        *,
        chunk: Chunk = None,
        tile: Tile = None,
        size: tuple[int, ...] | None = None,
    ) -> Iterator[UInt8[np.ndarray, "h2 w2 c"]]:
        """Frames of a clip as its latents come, in pieces of any length; decoded a chunk at a time,
        or with 0 whole.

        `size` is as in `decode`. Without it, what comes straight from `encode_frames` is cut back
        to what went in there, and of other latents there are all rows, columns and frames, filled
        ones too. Unless it is said, a chunk has the frames that one of `encode_frames` has.

        Raises:
          DataError: a chunk, tile or size that cannot be; as the frames come, latents that are not
            the codec's or not finite floats, that change their size or are too few for `size`, or
            none.
          ConfigError: as the frames come, as in `decode`.
        """
        side = self.decoder_side
        side.require_time()
        chunk, tile = side.checked_chunk(chunk), side.checked_tile(tile)
        wanted = padding.checked_size(size, is_video=True)
        single = single_latents(latents, self.latent_channels)

        def decoded() -> Iterator[np.ndarray]:
            first, items = chunks.peeked(single)
            cut = self._cutting.of_stream(side, first, chunk, tile)
            groups = side.cuts.groups(items, cut.chunk or 0)
            pieces = (np.stack(group)[None] for group in groups)
            for (part,) in side.coded(self.state, pieces, cut.tile):
                yield from np.asarray(to_uint8(part)[0])

        source = latents if size is None and isinstance(latents, LatentStream) else None
        return crop_frames(decoded(), wanted, source)

    def sample(self, *_: Any, **__: Any) -> Any:
        """Raises DataError: no prior was trained with the latents, and what is drawn from N(0, 1)
        decodes to noise.
        """
        raise DataError(
            "sample: this codec has no prior of its latents to draw from; train a model over "
            "codec.normalize(z), and decode what it gives with codec.decode(codec.denormalize(z))"
        )

    def normalize(
        self, z: Float[Array | np.ndarray, "... d"], *, first_frame: int = 0
    ) -> Float[Array | np.ndarray, "... d"]:
        """Return latents scaled to mean 0 and deviation 1 in each channel, for a model over them.

        Some codecs, such as Cosmos, have statistics of each of the first latent frames. Then z is
        [... t h w d], and frames beyond the last one with statistics take those of the last.

        Args:
          first_frame: index in its clip of the first latent frame of z, if z is a part of one.

        Raises:
          DataError: the codec was exported without `--stats`, or z has no axis of time.
        """
        mean, std = mean_and_deviation(self.config.get("latents"), z.shape, first_frame)
        return (z - mean) / std

    def denormalize(
        self, z: Float[Array | np.ndarray, "... d"], *, first_frame: int = 0
    ) -> Float[Array | np.ndarray, "... d"]:
        """Undo `normalize`."""
        mean, std = mean_and_deviation(self.config.get("latents"), z.shape, first_frame)
        return z * std + mean

    @property
    def memory(self) -> int | None:
        """Bytes that coding may take on the device, for a chunk or a tile of "auto".

        They include the weights, and on a CPU the arrays of NumPy that coding needs. None, the
        default, is nine tenths of what the device has left when "auto" is first used. It may be set
        to a number, or to a text such as "8GiB".
        """
        return self._cutting.budget

    @memory.setter
    def memory(self, budget: int | str | None) -> None:
        self._cutting.budget = None if budget is None else byte_sizes.parse(budget, "memory")

    def _clip_of(self, frames: list[Any], taken: int) -> np.ndarray:
        """Return a batch of one clip from the next frames, filled to the codec's factors.

        `taken` is the number of frames up to and including these.
        """
        x = np.stack(frames)[None]
        x = checked_images(x, self.image_shape[2], is_video=self.is_video)
        x, padding_note = self.sizes.pad(x, before=taken - len(frames))
        if padding_note:
            advice = (
                "decode_frames of this iterator, or with its size=, cuts back to what was there"
            )
            warnings.warn(f"encode_frames: {padding_note}; {advice}", stacklevel=2)
        return x


def _indices(arrays: Any) -> Any:
    """Return the indices of codes, without an axis for a single one at each position."""
    (indices,) = arrays
    return indices[..., 0] if indices.shape[-1] == 1 else indices
