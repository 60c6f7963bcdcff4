"""Local copies of packed datasets in buckets; ArrayRecord reads local files only."""

import hashlib
import pathlib
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader

from pipeline.core.errors import DataError
from pipeline.data.records import manifest
from pipeline.storage import transfer
from pipeline.storage.paths import AnyPath, as_path

_AT_ONCE = 16  # records, each of which may be a clip of raw frames


def verified_copy(path: AnyPath, format: str, key: str) -> tuple[pathlib.Path, dict[str, Any]]:
    """Return a local folder with a packed dataset, and its manifest.

    A local folder is returned as it is. One in a bucket is checked there, and then copied shard by
    shard to the cache, where the records of a new shard are compared with their hash.

    Raises:
      DataError: the dataset is not as it was packed, or does not fit on the disk.
    """
    content = manifest.read(as_path(path, name=key), format, key)
    hashes = {shard["file"]: shard["sha256"] for shard in content["shards"]}

    def verify(name: str, file: pathlib.Path) -> None:
        if name in hashes and _hash_of_records(file) != hashes[name]:
            raise DataError(f"{path}/{name} is not as it was packed: copy or pack the data again")

    return transfer.local_copy(path, name=key, verify=verify), content


def _hash_of_records(file: pathlib.Path) -> str:
    """Return the hash that the manifest has of a whole shard, "" for a damaged one."""
    digest = hashlib.sha256()
    try:
        reader = ArrayRecordReader(str(file))
        count = reader.num_records()
        for start in range(0, count, _AT_ONCE):
            for record in reader.read(start, min(start + _AT_ONCE, count)):
                digest.update(record)
        reader.close()
    except (RuntimeError, ValueError):
        return ""
    return digest.hexdigest()
