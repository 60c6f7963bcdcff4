"""A zip file of a folder of images, read in place."""

import os
import struct
import zipfile
import zlib

import numpy as np
from jaxtyping import Int

from pipeline.core.errors import DataError
from pipeline.data.listing import Listing, is_image
from pipeline.data.source import Record
from pipeline.data.unreadable import Unreadable

MODALITY = "image"
SUFFIXES = (".zip",)
# Signature, then the lengths of the name and of the extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """Image files in a zip, sorted by path. The first folder that not all share is the class.

    Entries are read at their offsets with pread: zipfile shares one file position between threads,
    and would parse the directory of a million entries again in each worker process.
    """

    shape = None

    def __init__(self, path: str, key: str = "data.path"):
        self.path = path
        self._file: int | None = None
        entries = _entries(path, key)
        if not entries:
            raise DataError(f"{path} has no image files (.jpg, .png, .webp, ...) in it")
        for entry in entries:
            if entry.flag_bits & 1:
                raise DataError(f"{path} is encrypted ({entry.filename}): unpack it first")
            if entry.compress_type not in _METHODS:
                raise DataError(
                    f"{path} uses a rare compression ({entry.filename}): "
                    "zip it with deflate or store"
                )
        shared = _shared_folder([entry.filename for entry in entries])
        self._offsets = np.array([entry.header_offset for entry in entries], np.int64)
        self._sizes = np.array([entry.compress_size for entry in entries], np.int64)
        self._deflated = np.array(
            [entry.compress_type == zipfile.ZIP_DEFLATED for entry in entries]
        )
        self._checksums = np.array([entry.CRC for entry in entries], np.int64)
        self.listing = Listing(
            [entry.filename[len(shared) :] for entry in entries], self._checksums
        )
        self.classes = self.listing.classes
        self.fingerprint = f"zip:{self.listing.fingerprint}"

    def __getstate__(self) -> dict:
        return {**vars(self), "_file": None}

    def __len__(self) -> int:
        return len(self.listing)

    def __getitem__(self, index: int) -> Record:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDONLY)
        offset = int(self._offsets[index])
        header = os.pread(self._file, _LOCAL_HEADER.size, offset)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            raise Unreadable("its entry in the zip is damaged")
        _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        data = os.pread(
            self._file,
            int(self._sizes[index]),
            offset + _LOCAL_HEADER.size + name_length + extra_length,
        )
        try:
            data = zlib.decompress(data, wbits=-15) if self._deflated[index] else data
        except zlib.error as error:
            raise Unreadable(f"its entry in the zip is damaged ({error})") from error
        if zlib.crc32(data) != self._checksums[index]:
            raise Unreadable("its entry in the zip is damaged (wrong checksum)")
        return Record(data, int(self.listing.labels[index]))

    def gather(self, indices: Int[np.ndarray, " n"]) -> None:
        """Return None: files have no common shape."""

    def name(self, index: int) -> str:
        return f"{self.path}:{self.listing.name(index)}"


def _entries(path: str, key: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [entry for entry in archive.infolist() if is_image(entry.filename)]
    except FileNotFoundError:
        raise DataError(f"{key}={path!r} does not exist: point it at a zip of images") from None
    except (zipfile.BadZipFile, IsADirectoryError) as error:
        raise DataError(f"{path} is not a whole zip file: {error}") from error
    return sorted(found, key=lambda entry: entry.filename)


def _shared_folder(names: list[str]) -> str:
    """Return the folder prefix that all names have in common, with its slash, or ""."""
    prefix = os.path.commonpath([os.path.dirname(name) for name in names])
    return f"{prefix}/" if prefix else ""


create = Archive
