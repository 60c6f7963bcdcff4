"""Random access to the records of a packed dataset."""

import threading
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from pipeline.data.records import manifest
from pipeline.data.records.verified_copy import verified_copy
from pipeline.data.unreadable import Unreadable
from pipeline.storage.paths import as_path


class ShardReader:
    """The records of all shards, as bytes; `path` may be in a bucket.

    ArrayRecord keeps a checksum of each record, so a damaged one is detected and can be skipped.
    """

    def __init__(self, path: str, format: str, key: str):
        self.path = path
        self.folder, content = verified_copy(path, format, key)
        self.files = [shard["file"] for shard in content["shards"]]
        self.ends = np.cumsum([shard["num_examples"] for shard in content["shards"]])
        self.classes = tuple(content["classes"])
        self.schema: dict[str, Any] = content["schema"]
        self.fingerprint = f"{manifest.SOURCES[format]}:{content['fingerprint']}"
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_readers", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        # A reader is opened when it is first needed, in the process that needs it.
        self._readers: dict[int, ArrayRecordReader] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return int(self.ends[-1])

    def _shard_of(self, index: int) -> tuple[int, int]:
        """Return the shard of an example, and the example's position in it."""
        shard = int(np.searchsorted(self.ends, index, side="right"))
        return shard, index - (int(self.ends[shard - 1]) if shard else 0)

    def read(self, shard: int, places: list[int]) -> list[bytes]:
        """Return the records of one shard at these positions. Raises Unreadable."""
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
        """Return one record. Raises Unreadable."""
        shard, place = self._shard_of(index)
        return self.read(shard, [place])[0]

    def name(self, index: int) -> str:
        shard, place = self._shard_of(index)
        return f"{as_path(self.path) / self.files[shard]}[{place}]"
