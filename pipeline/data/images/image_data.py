"""The images of a run: config.data -> batches of uint8 [b h w c]."""

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8, UInt64

from pipeline.data.images.decode import decode
from pipeline.data.images.transforms import Transform
from pipeline.data.loading.batches import Draws
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.source import Source
from pipeline.data.sources import open_split
from pipeline.data.unreadable import Unreadable


class ImageData(Dataset):
    """Images as batches of uint8 [b h w c]; the parameters are the keys of a recipe's config.data.

    Batch k of training is a pure function of (settings, seed, k): worker processes, host processes and
    restarts do not change it, so the position in the data is the step and nothing else needs saving.

    Args:
      source: "folder", "zip", "records" (from `strata data pack`), "arrays" (.npz, .npy), "sklearn_images",
        "digits".
      path: the folder or file; empty for scikit-learn's.
      image_size: height and width of the batches' images, in pixels.
      channels: 3 (grey is repeated) or 1 (colour becomes luma).
      crop: "random" or "center": which square of an image; evaluation always takes the centre.
      resize: "shrink" scales the largest square down to image_size and counts smaller images as unreadable;
        "fit" also enlarges them; "none" takes a square of image_size pixels without scaling.
      flip: mirror at random, in training.
      bits: bit depth kept, 1..8; values stay in 0..255 with their lower bits zero.
      binarize: each value becomes 255 with probability value / 255, else 0: anew whenever training shows an image,
        always the same in evaluation.
      num_workers: processes that read ahead; 0 reads ahead in threads of this one, which is enough for small
        images.
      max_unreadable: how many images may turn out unreadable before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the examples held out for evaluation where there is no eval_path.

    Attributes:
      fingerprint: sha256 over the training examples and the settings that alter their stream; not the
        evaluation set.
      classes: names of the labels, or empty.
      unreadable: "name: reason" of each image skipped so far by any iterator of this object.

    Raises:
      ConfigError: a setting that cannot work. DataError: a dataset that cannot be used.
    """

    def __init__(
        self,
        source: str,
        path: str = "",
        *,
        image_size: int,
        channels: int = 3,
        crop: str = "center",
        resize: str = "shrink",
        flip: bool = False,
        bits: int = 8,
        binarize: bool = False,
        num_workers: int = 0,
        max_unreadable: int = 10,
        eval_path: str = "",
        eval_fraction: float | int = 0.05,
    ):
        super().__init__(
            "images", path or source, num_workers=num_workers, max_unreadable=max_unreadable
        )
        self.transform = Transform(image_size, channels, crop, resize, flip, bits, binarize)
        self._train_source, held_out = open_split(
            source, path, eval_path=eval_path, eval_fraction=eval_fraction, image_size=image_size
        )
        self.classes = self._train_source.classes
        settings = (image_size, channels, crop, resize, flip, bits)
        # Named where it is on, so that other datasets keep the fingerprint that they had before there was such a key.
        settings += ("binarize",) if binarize else ()
        self.fingerprint = digest(self._train_source.fingerprint, *settings)
        self._training = Mix([ImageExamples(self._train_source, self.transform)])
        self._held_out = (
            [] if held_out is None else [ImageExamples(held_out, self.transform.for_evaluation())]
        )
        self._check_readable(self._training.kinds, path or source)
        if eval_path:
            self._check_readable(self._held_out, eval_path)


class ImageExamples:
    """Images of a source, each brought to one size (pipeline.data.loading.batches.Examples)."""

    key = "image"

    def __init__(self, source: Source, transform: Transform):
        self.source, self.transform, self.shape = source, transform, transform.shape

    def __len__(self) -> int:
        return len(self.source)

    def gather(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]] | None:
        """Works where the source's pixels have the right shape already."""
        if self.source.shape != self.shape or not len(indices):
            return None
        try:
            return self.source.gather(indices)
        except Unreadable:
            return None

    def read(self, index: int, draws: Draws) -> tuple[UInt8[np.ndarray, "h w c"], int]:
        record = self.source[index]
        image = record.data
        if isinstance(image, bytes):
            image = decode(image, self.transform.channels, at_least=self.transform.at_least)
        return self.transform.square(image, draws.y, draws.x), record.label

    def finish(
        self,
        pixels: UInt8[np.ndarray, "b h w c"],
        mirrored: Bool[np.ndarray, " b"],
        noise: UInt64[np.ndarray, " b"],
    ) -> UInt8[np.ndarray, "b h w c"]:
        return self.transform.finish(pixels, mirrored, noise)

    def places(self, indices: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        return indices

    def name(self, index: int) -> str:
        return self.source.name(index)
