"""ArrayRecord shards written by `strata data pack`."""

import hashlib
import io
import pathlib
import threading
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int, Int32, UInt8

from pipeline.core.errors import DataError
from pipeline.data.records import clip_records, image_records
from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable
from pipeline.data.video_source import Video


class Shards:
    """Records as they are stored. ArrayRecord keeps a checksum of each, so a damaged one is noticed and skipped."""

    def __init__(self, path: str, format: str, key: str):
        self.folder = pathlib.Path(path)
        manifest = image_records.read_manifest(self.folder, format, key)
        self.files = [shard["file"] for shard in manifest["shards"]]
        self._ends = np.cumsum([shard["num_examples"] for shard in manifest["shards"]])
        self.classes = tuple(manifest["classes"])
        self.schema: dict[str, Any] = manifest["schema"]
        self.fingerprint = f"{image_records.SOURCES[format]}:{manifest['fingerprint']}"
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_readers", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._readers: dict[
            int, ArrayRecordReader
        ] = {}  # opened when first needed, in the process that needs them
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _shard_of(self, index: int) -> tuple[int, int]:
        """The shard an example is in, and its place there."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - (int(self._ends[shard - 1]) if shard else 0)

    def _read(self, shard: int, places: list[int]) -> list[bytes]:
        with self._lock:
            if shard not in self._readers:
                self._readers[shard] = ArrayRecordReader(
                    str(self.folder / self.files[shard]), options="readahead_buffer_size:0"
                )
        try:
            return self._readers[shard].read(places)
        except (RuntimeError, ValueError) as error:
            raise Unreadable(f"damaged ({str(error).split(';')[0]})") from error

    def stored(self, index: int) -> bytes:
        """One record. Raises Unreadable."""
        shard, place = self._shard_of(index)
        return self._read(shard, [place])[0]

    def name(self, index: int) -> str:
        shard, place = self._shard_of(index)
        return f"{self.folder / self.files[shard]}[{place}]"


class Records(Shards):
    """Packed images."""

    def __init__(self, path: str, key: str = "data.path"):
        super().__init__(path, image_records.FORMAT, key)
        shape = self.schema["shape"]
        self.shape: tuple[int, int, int] | None = tuple(shape) if shape else None  # type: ignore[assignment]

    def __getitem__(self, index: int) -> Record:
        return image_records.from_bytes(self.stored(index))

    def gather(
        self, indices: Int[np.ndarray, " n"]
    ) -> tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]]:
        assert self.shape is not None
        length = image_records.HEADER.size + int(np.prod(self.shape))
        stored = np.empty((len(indices), length), np.uint8)
        shards = np.searchsorted(self._ends, indices, side="right")
        for shard in np.unique(shards).tolist():
            rows = np.flatnonzero(shards == shard)
            start = int(self._ends[shard - 1]) if shard else 0
            found = self._read(shard, (indices[rows] - start).tolist())
            if any(len(one) != length for one in found):
                raise Unreadable("a record of another size than the manifest says")
            stored[rows] = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), length)
        label = (
            stored[:, image_records.LABEL_OFFSET : image_records.LABEL_OFFSET + 4]
            .copy()
            .view("<i4")[:, 0]
        )
        image = stored[:, image_records.HEADER.size :].reshape(len(indices), *self.shape)
        return np.ascontiguousarray(image), label.astype(np.int32)


class ClipRecords(Shards):
    """Packed clips."""

    def __init__(self, path: str, key: str = "data.path"):
        super().__init__(path, image_records.CLIPS_FORMAT, key)
        file = self.folder / clip_records.SIZES
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: {error.strerror}: copy or pack the data again") from None
        if hashlib.sha256(content).hexdigest() != self.schema["sizes"]:
            raise DataError(f"{file} is not as it was packed: copy or pack the data again")
        self.sizes = np.load(io.BytesIO(content))  # int32 [n 3]: frames, height, width

    def __getitem__(self, index: int) -> Video:
        return clip_records.from_bytes(self.stored(index))

    def size(self, index: int) -> tuple[int, int]:
        _, height, width = self.sizes[index].tolist()
        return height, width
