"""Clips packed by `strata data pack`."""

import hashlib
import io

import numpy as np

from pipeline.core.errors import DataError
from pipeline.data.records import clip_records, manifest
from pipeline.data.records.reader import ShardReader
from pipeline.data.source import Video

MODALITY, READS_BUCKETS = "video", True


class ClipRecords(ShardReader):
    """Packed clips."""

    def __init__(self, path: str, key: str = "data.path"):
        super().__init__(path, manifest.CLIPS, key)
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


create = ClipRecords
