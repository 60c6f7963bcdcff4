"""Images in NumPy arrays: .npz, .npy (memory-mapped), or in memory."""

import hashlib
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import DataError
from pipeline.data.source import Pixels, Record

MODALITY = "image"
SUFFIXES = (".npz", ".npy")

_HASH_BLOCK, _HASH_BLOCKS = 1 << 20, 256


class Arrays:
    """Images uint8 [n h w] or [n h w c] with c 1 or 3, and optionally integer labels [n]."""

    classes: tuple[str, ...] = ()

    def __init__(self, images: np.ndarray, labels: np.ndarray | None = None, where: str = "array"):
        if images.dtype != np.uint8:
            raise DataError(
                f"{where}: images are {images.dtype}, but must be uint8 with values 0..255"
            )
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
            raise DataError(
                f"{where}: images have shape {images.shape}, "
                "but must be [n h w] or [n h w c] with c 1 or 3"
            )
        if not len(images):
            raise DataError(f"{where}: images has no examples")
        if labels is not None and (
            labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"
        ):
            raise DataError(
                f"{where}: labels are {labels.dtype} {labels.shape}, "
                f"not {len(images)} integers, one an image"
            )
        self.images, self.labels = _normalized(images, labels)
        self.where = where
        self.shape: tuple[int, int, int] | None = tuple(self.images.shape[1:])  # type: ignore[assignment]
        self.fingerprint = f"arrays:{_content_hash(self.images, self.labels)}"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Record:
        return Record(np.asarray(self.images[index]), int(self.labels[index]))

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels:
        return np.asarray(self.images[indices]), self.labels[indices]

    def name(self, index: int) -> str:
        return f"{self.where}[{index}]"


class ArrayFile(Arrays):
    """Arrays read from `path`; a worker process opens the file again, and is not sent its content.

    An .npz holds `images` and optionally `labels`, or dSprites' `imgs` of 0 and 1; an .npy holds
    only images; a folder holds images.npy and optionally labels.npy. An .npy stays on disk and is
    read as needed.
    """

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        images, labels = _load(pathlib.Path(path), key)
        super().__init__(images, labels, where=path)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("images", "labels")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        images, labels = _load(pathlib.Path(self.path))
        self.images, self.labels = _normalized(images, labels)


def _normalized(images: np.ndarray, labels: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n h w c] and labels int32 [n], which are -1 where none are given."""
    return (
        images if images.ndim == 4 else images[..., None],
        np.full(len(images), -1, np.int32) if labels is None else labels.astype(np.int32),
    )


def _load(path: pathlib.Path, key: str = "data.path") -> tuple[np.ndarray, np.ndarray | None]:
    try:
        if path.is_dir():
            return _load_folder(path, key)
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, None
        with loaded:
            if "imgs" in loaded and "images" not in loaded:
                return _spread(loaded["imgs"]), None
            if "images" not in loaded:
                keys = ", ".join(loaded.files) or "nothing"
                raise DataError(
                    f"{path} holds {keys}, but must hold an array 'images' (and may hold 'labels')"
                )
            return loaded["images"], loaded.get("labels")
    except FileNotFoundError:
        raise DataError(f"{key}={str(path)!r} does not exist: give a .npy or .npz file") from None
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy each raise their own for a damaged file
        raise DataError(f"{path} cannot be read as a NumPy file: {error}") from error


def _spread(images: np.ndarray) -> np.ndarray:
    """Return the images with 0 and 255 in place of 0 and 1, if they have no other values."""
    if images.dtype == np.uint8 and images.size and images.max() == 1:
        images *= 255
    return images


def _load_folder(path: pathlib.Path, key: str) -> tuple[np.ndarray, np.ndarray | None]:
    if not (path / "images.npy").exists():
        raise DataError(
            f"{path} has no images.npy: point {key} at an .npz, an .npy or a folder with images.npy"
        )
    labels = (
        np.load(path / "labels.npy", allow_pickle=False) if (path / "labels.npy").exists() else None
    )
    return np.load(path / "images.npy", mmap_mode="r", allow_pickle=False), labels


def _content_hash(images: np.ndarray, labels: np.ndarray) -> str:
    """Return the sha256 of shapes and contents; beyond 256 MiB, of evenly spaced 1 MiB blocks."""
    digest = hashlib.sha256(repr((images.shape, labels.shape)).encode())
    digest.update(np.ascontiguousarray(labels).data)
    content = images.reshape(-1).view(np.uint8)
    if content.nbytes <= _HASH_BLOCK * _HASH_BLOCKS:
        digest.update(np.ascontiguousarray(content).data)
    else:
        for start in np.linspace(0, content.nbytes - _HASH_BLOCK, _HASH_BLOCKS).astype(np.int64):
            digest.update(np.ascontiguousarray(content[start : start + _HASH_BLOCK]).data)
    return digest.hexdigest()


create = ArrayFile
