"""ArrayRecord shards written by `strata data pack`."""

import pathlib
import threading
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import Int, Int32, UInt8

from pipeline.data import records
from pipeline.data.sources.base import Record
from pipeline.data.unreadable import Unreadable


class Records:
    """Packed images. ArrayRecord keeps a checksum of each record, so a damaged one is noticed and skipped."""

    def __init__(self, path: str):
        self.folder = pathlib.Path(path)
        manifest = records.read_manifest(self.folder)
        self.files = [shard["file"] for shard in manifest["shards"]]
        self._ends = np.cumsum([shard["num_examples"] for shard in manifest["shards"]])
        self.classes = tuple(manifest["classes"])
        shape = manifest["schema"]["shape"]
        self.shape: tuple[int, int, int] | None = tuple(shape) if shape else None  # type: ignore[assignment]
        self.fingerprint = f"records:{manifest['fingerprint']}"
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_readers", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._readers: dict[int, ArrayRecordReader] = {}  # opened when first needed, in the process that needs them
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

    def __getitem__(self, index: int) -> Record:
        shard, place = self._shard_of(index)
        return records.from_bytes(self._read(shard, [place])[0])

    def gather(self, indices: Int[np.ndarray, " n"]) -> tuple[UInt8[np.ndarray, "n h w c"], Int32[np.ndarray, " n"]]:
        assert self.shape is not None
        length = records.HEADER.size + int(np.prod(self.shape))
        stored = np.empty((len(indices), length), np.uint8)
        shards = np.searchsorted(self._ends, indices, side="right")
        for shard in np.unique(shards).tolist():
            rows = np.flatnonzero(shards == shard)
            start = int(self._ends[shard - 1]) if shard else 0
            found = self._read(shard, (indices[rows] - start).tolist())
            if any(len(one) != length for one in found):
                raise Unreadable("a record of another size than the manifest says")
            stored[rows] = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), length)
        label = stored[:, records.LABEL_OFFSET : records.LABEL_OFFSET + 4].copy().view("<i4")[:, 0]
        image = stored[:, records.HEADER.size :].reshape(len(indices), *self.shape)
        return np.ascontiguousarray(image), label.astype(np.int32)

    def name(self, index: int) -> str:
        shard, place = self._shard_of(index)
        return f"{self.folder / self.files[shard]}[{place}]"
