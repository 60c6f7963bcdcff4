"""Where a codec may be cut in time, and how the parts are joined again, for each side of it."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.codec.tiling import chunks
from pipeline.core.errors import DataError
from pipeline.core.windows import Windows
from pipeline.nn.clips.windows import ramp

Arrays = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Cuts:
    """How an encoder takes frames, or a decoder latents, in pieces of time.

    A causal network takes any chunks, and hands a feature cache from each to the next. One that is
    not causal takes the last frame of a chunk again with the next one, and drops what it gives for
    it. One that has windows (pipeline.core.windows) is only cut where they are: consecutive ones
    are the pieces themselves, whatever chunk is asked for; a chunk of overlapping ones is several
    windows, and pieces are blended where they overlap.

    Attributes:
      step: a chunk is a multiple of this many elements: frames, or latents.
      lead: elements by which the first chunk is longer; None if it is one element alone.
      overlap: elements of a chunk that are taken again with the next one.
      joint: elements of the output that two chunks have in common.
      carries: whether a feature cache goes from chunk to chunk.
      windows: the codec's windows, if it has any, and `unit`, in frames, of an element.
    """

    step: int
    lead: int | None
    overlap: int
    joint: int
    carries: bool
    windows: Windows | None = None
    unit: int = 1

    @property
    def fixed(self) -> bool:
        """Whether each piece is one window."""
        return self.windows is not None and self.windows.consecutive

    def pieces(self, x: Any, chunk: int | None) -> Iterator[Any]:
        """Yield x [b t ...] in pieces [b t ...]; with None or 0 whole, where that is allowed."""
        if self.windows is not None and self.windows.consecutive:
            spans = self.windows.spans(x.shape[1], unit=self.unit)
            return (x[:, start:stop] for start, stop in spans)
        return iter([x]) if not chunk else chunks.split(x, chunk, self.lead)

    def groups(self, items: Iterable[Any], chunk: int) -> Iterator[list[Any]]:
        """Yield lists of items, each a piece, as they come; with 0 all of them are there first.

        Consecutive windows are known while a clip grows only if it begins with a latent of its own,
        as what an encoder takes does. A decoder may be given an even number of latents, whole.

        Raises:
          DataError: a stream of latents ends inside of a window.
        """
        if not self.fixed:
            yield from chunks.group(items, chunk, self.lead)
        elif chunk == 0:
            whole = np.stack(list(items))[None]
            yield from (list(piece[0]) for piece in self.pieces(whole, None))
        else:
            for index, group in enumerate(chunks.group(items, self.step, self.lead)):
                if self.unit > 1 and index and len(group) < self.step:
                    raise DataError(
                        f"decode_frames: this codec takes {self.lead} + {self.step}k latents as a "
                        f"stream, and {len(group)} are left over: decode takes any number, and so "
                        "does chunk=0"
                    )
                yield group

    def default_chunk(self, height: int, width: int, *, tile: int | None) -> int:
        """Return the elements of a chunk where none is asked for; frames have so many pixels."""
        if self.windows is not None:
            return self.step
        frames = chunks.default_chunk(height, width, tile=tile, causal=self.carries)
        return max(1, frames // self.unit)

    def joined(self, parts: Iterable[tuple[Arrays, bool]]) -> Iterator[Arrays]:
        """Yield outputs [b t ...] of consecutive pieces, in which no frame occurs twice.

        Each comes with whether its piece overlaps the one before.
        """
        if self.windows is None or self.joint == 0:
            for arrays, overlapping in parts:
                yield tuple(each[:, self.joint :] for each in arrays) if overlapping else arrays
            return
        held: Arrays = ()
        for arrays, _ in parts:
            whole = tuple(map(np.asarray, arrays))
            if held:
                whole = tuple(map(self._blended, held, whole))
            held = tuple(each[:, -self.joint :] for each in whole)
            yield tuple(each[:, : -self.joint] for each in whole)
        yield held

    def _blended(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        weights, joint = ramp(self.joint), self.joint
        both = before * (1 - weights) + after[:, :joint] * weights
        return np.concatenate([both, after[:, joint:]], axis=1)


def encoder_cuts(*, causal: bool, windows: Windows | None, factor: int) -> Cuts:
    """Return the cuts of an encoder of `factor` frames to a latent."""
    if windows is None:
        return _plain(causal, step=factor, unit=1)
    lead = 1 if windows.first_apart else windows.overlap
    joint = windows.overlap // factor
    return Cuts(windows.stride, lead, windows.overlap, joint, windows.consecutive, windows, unit=1)


def decoder_cuts(*, causal: bool, windows: Windows | None, factor: int) -> Cuts:
    """Return the cuts of a decoder of `factor` frames to a latent."""
    if windows is None:
        return _plain(causal, step=1, unit=factor)
    step, overlap = windows.stride // factor, windows.overlap // factor
    lead = 1 if windows.first_apart else overlap
    return Cuts(step, lead, overlap, windows.overlap, windows.consecutive, windows, unit=factor)


def _plain(causal: bool, *, step: int, unit: int) -> Cuts:
    again = 0 if causal else 1
    return Cuts(step, None if causal else 1, again, again, carries=causal, unit=unit)
