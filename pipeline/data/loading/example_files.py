"""Examples of a dataset, as a model sees them, written to image and video files."""

import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.core.errors import ConfigError
from pipeline.core.modalities import MODALITIES
from pipeline.core.types import pixels_of
from pipeline.data.loading.dataset import Dataset
from pipeline.data.media.container import open_output

_FPS = 25  # of the files; not every source knows a clip's own rate


def write_examples(
    data: Dataset, out: str, *, split: str, num: int, seed: int = 0, original: bool = False
) -> list[str]:
    """Save `num` examples of the split "train" or "eval" to the folder `out`; return the paths.

    Images become .png, and clips become lossless .mp4 (H.264 of RGB) of square pixels at 25 frames
    per second, without sound. `original` saves images as they are before scaling and cropping, in
    the order of the dataset.

    Raises:
      ConfigError: an argument that cannot work.
      DataError: an image that cannot be read.
    """
    if split not in ("train", "eval"):
        raise ConfigError(f"--split={split} must be train or eval")
    if num < 1:
        raise ConfigError(f"--num={num} must be at least 1")
    if not MODALITIES[data.modality].has_pixels:
        raise ConfigError(f"data examples writes images and clips: this recipe has {data.what}")
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    chosen = enumerate(data.originals(split)) if original else _examples(data, split, num, seed)
    for index, pixels in itertools.islice(chosen, num):
        path = folder / f"{split}-{index:06d}"
        if pixels.ndim == 4:
            path = path.with_suffix(".mp4")
            _write_clip(path, pixels)
        else:
            path = path.with_suffix(".png")
            Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)
        written.append(str(path))
    return written


def _examples(data: Dataset, split: str, num: int, seed: int) -> Iterator[tuple[int, np.ndarray]]:
    batches = data.train(1, seed) if split == "train" else data.evaluate(1, num)
    with batches:
        for _, batch in zip(range(num), batches, strict=False):
            if batch["mask"][0]:
                yield int(batch["index"][0]), pixels_of(batch)[0]


def _write_clip(path: pathlib.Path, clip: UInt8[np.ndarray, "t h w 3"]) -> None:
    import av

    with open_output(path) as container:
        stream = container.add_stream("libx264rgb", rate=_FPS, options={"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], "rgb24"  # type: ignore[attr-defined]
        for frame in clip:
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                )
            )  # type: ignore[attr-defined]
        container.mux(stream.encode(None))  # type: ignore[attr-defined]
