"""The images of a run: config.data -> batches of uint8 [b h w c]."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8, UInt64

from pipeline.core.errors import ConfigError, DataError
from pipeline.data.images.decode import decode
from pipeline.data.images.transforms import Transform
from pipeline.data.labels import FewLabels, labels_of
from pipeline.data.loading.batches import Draws
from pipeline.data.loading.dataset import Dataset, digest
from pipeline.data.loading.mix import Mix
from pipeline.data.loading.splits import factors_of, open_splits
from pipeline.data.source import ImageSource, Pixels
from pipeline.data.unreadable import Unreadable


@dataclasses.dataclass(eq=False)
class ImageData(Dataset):
    """Images as batches of uint8 [b h w c]; the arguments are the keys of a recipe's config.data.

    Batch k of training is a pure function of (settings, seed, k): worker processes, host processes
    and restarts do not change it, so the position in the data is the step and nothing else needs
    saving.

    Args:
      source: name of a module of pipeline.data.sources whose modality is images.
      path: the folder or file; empty for a source that reads none.
      image_size: height and width of the batches' images, in pixels.
      channels: 3 (grey is repeated) or 1 (colour becomes luma).
      crop: "random" or "center", the position of the square in an image; evaluation always uses
        the centre.
      resize: "shrink" scales the largest square down to image_size and counts smaller images as
        unreadable; "fit" also enlarges them; "none" crops image_size pixels without scaling.
      flip: mirror at random, in training.
      num_crops: number of fixed crops, each mirrored or not, of which training shows one whenever
        it shows an image; 0 draws a new crop each time.
      bits: bit depth kept, 1..8; values stay in 0..255 with their lower bits zero.
      binarize: each value becomes 255 with probability value / 255, otherwise 0. Training draws
        anew whenever it shows an image; evaluation always draws the same.
      num_workers: number of processes that read ahead; 0 reads ahead in threads of this process,
        which is enough for small images.
      max_unreadable: maximal number of unreadable images before the run stops.
      eval_path: a second set of the same kind, for evaluation.
      eval_fraction: share of the examples held out for evaluation if there is no eval_path.
      num_labelled: number of training examples that keep their label, in equal numbers of each
        class, for semi-supervised learning; 0 keeps all labels.
      labelled_seed: which examples those are.

    Attributes:
      fingerprint: sha256 over the training examples and the settings that change their stream; not
        the evaluation set.
      classes: names of the labels, or empty.
      unreadable: "name: reason" of each image skipped so far by any iterator of this object.

    Raises:
      ConfigError: a setting that cannot work.
      DataError: a dataset that cannot be used.
    """

    source: str
    path: str = ""
    _: dataclasses.KW_ONLY
    image_size: int
    channels: int = 3
    crop: str = "center"
    resize: str = "shrink"
    flip: bool = False
    bits: int = 8
    binarize: bool = False
    num_workers: int = 0
    max_unreadable: int = 10
    eval_path: str = ""
    eval_fraction: float | int = 0.05
    num_labelled: int = 0
    labelled_seed: int = 0
    num_crops: int = 0

    modality = "image"

    def __post_init__(self):
        self._check_limits()
        self.transform = Transform(
            self.image_size,
            self.channels,
            self.crop,
            self.resize,
            self.flip,
            self.bits,
            self.binarize,
        )
        train, held_out = open_splits(
            self.source,
            self.path,
            modality="image",
            eval_path=self.eval_path,
            eval_fraction=self.eval_fraction,
            image_size=self.image_size,
        )
        if self.num_labelled < 0:
            raise ConfigError(f"data.num_labelled={self.num_labelled} must be 0 or more")
        if self.num_labelled:
            train = FewLabels(train, self.num_labelled, self.labelled_seed)
        self.classes = train.classes
        self.fingerprint = digest(train.fingerprint, *self._stream_settings())
        self._training = Mix([ImageExamples(train, self.transform)])
        self._held_out = []
        if held_out is not None:
            self._held_out = [ImageExamples(held_out, self.transform.for_evaluation())]
        self._check_readable(self._training.kinds, self.where)
        if self.eval_path:
            self._check_readable(self._held_out, self.eval_path)

    @classmethod
    def example_shape(cls, settings: Mapping[str, Any]) -> tuple[int, ...]:
        return (settings["image_size"], settings["image_size"], settings.get("channels", 3))

    @property
    def model_sizes(self) -> dict[str, tuple[str, int]]:
        return {
            "image_size": ("data.image_size", self.image_size),
            "image_channels": ("data.channels", self.channels),
        }

    def some_labels(self) -> Int32[np.ndarray, " n"]:
        (examples,) = self._training.kinds
        source = examples.source
        return source.labels if isinstance(source, FewLabels) else labels_of(source, 1000)

    def originals(self, split: str) -> Iterator[UInt8[np.ndarray, "h w c"]]:
        for examples in self._training.kinds if split == "train" else self._held_out:
            for index in range(len(examples)):
                try:
                    yield examples.original(index)
                except Unreadable as error:
                    raise DataError(f"{examples.source.name(index)}: {error}") from None

    def eval_factors(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[tuple[str, ...], Int32[np.ndarray, "n k"]]:
        found = factors_of(self._held_out[0].source, indices) if self._held_out else None
        return super().eval_factors(indices) if found is None else found

    def _stream_settings(self) -> tuple[object, ...]:
        """Return the settings that change the stream of examples."""
        settings = (
            self.image_size,
            self.channels,
            self.crop,
            self.resize,
            self.flip,
            self.bits,
        )
        # Only if they are set, so that the fingerprints of datasets older than a key stay the same.
        settings = (*settings, "binarize") if self.binarize else settings
        return (*settings, f"num_crops={self.num_crops}") if self.num_crops else settings


class ImageExamples:
    """The images of a source at one size (see pipeline.data.loading.batches.Examples)."""

    key = "image"

    def __init__(self, source: ImageSource, transform: Transform):
        self.source, self.transform, self.shape = source, transform, transform.shape

    def __len__(self) -> int:
        return len(self.source)

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels | None:
        """Return pixels and labels if the source's pixels already have the right shape."""
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

    def original(self, index: int) -> UInt8[np.ndarray, "h w c"]:
        """Return an image in its own size. Raises Unreadable when it cannot be used."""
        image = self.source[index].data
        return decode(image, self.transform.channels) if isinstance(image, bytes) else image

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
