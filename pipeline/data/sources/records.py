"""Images packed by `strata data pack`."""

import numpy as np
from jaxtyping import Int

from pipeline.data.records import image_records, manifest
from pipeline.data.records.reader import ShardReader
from pipeline.data.source import Pixels, Record
from pipeline.data.unreadable import Unreadable

MODALITY, READS_BUCKETS = "image", True


class Records(ShardReader):
    """Packed images."""

    def __init__(self, path: str, key: str = "data.path"):
        super().__init__(path, manifest.IMAGES, key)
        shape = self.schema["shape"]
        self.shape: tuple[int, int, int] | None = tuple(shape) if shape else None  # type: ignore[assignment]

    def __getitem__(self, index: int) -> Record:
        return image_records.from_bytes(self.stored(index))

    def gather(self, indices: Int[np.ndarray, " n"]) -> Pixels:
        assert self.shape is not None
        length = image_records.HEADER.size + int(np.prod(self.shape))
        stored = np.empty((len(indices), length), np.uint8)
        shards = np.searchsorted(self.ends, indices, side="right")
        for shard in np.unique(shards).tolist():
            rows = np.flatnonzero(shards == shard)
            start = int(self.ends[shard - 1]) if shard else 0
            found = self.read(shard, (indices[rows] - start).tolist())
            if any(len(one) != length for one in found):
                raise Unreadable("a record has another size than the manifest says")
            stored[rows] = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), length)
        first = image_records.LABEL_OFFSET
        label = stored[:, first : first + 4].copy().view("<i4")[:, 0]
        image = stored[:, image_records.HEADER.size :].reshape(len(indices), *self.shape)
        return np.ascontiguousarray(image), label.astype(np.int32)


create = Records
