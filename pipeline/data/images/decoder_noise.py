"""Suppresses what Pillow and libtiff print of a file: they do not name it.

What matters of it is in the error or in the remarks of pipeline.data.images.decode.
"""

import contextlib
import ctypes
import functools
import logging
import pathlib
import warnings

_PILLOW = r"PIL\."  # modules whose warnings are ignored
_MAPPINGS = pathlib.Path("/proc/self/maps")  # Linux only


def silence() -> None:
    """Ignore Pillow's warnings and logging, and errors that libtiff prints.

    warnings.catch_warnings is not thread-safe; this is, and does nothing while the filter is first.
    """
    first = warnings.filters[0][3] if warnings.filters else None
    if getattr(first, "pattern", "") != _PILLOW:
        warnings.filterwarnings("ignore", module=_PILLOW)
    _silence_once()


@functools.cache
def _silence_once() -> None:
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(OSError, AttributeError):  # another system, or another libtiff
        for line in _MAPPINGS.read_text().splitlines():
            path = line.split(maxsplit=5)[-1]
            if pathlib.PurePath(path).name.startswith("libtiff"):
                # Its default handler writes to standard error; Pillow only replaces the one for
                # warnings.
                ctypes.CDLL(path).TIFFSetErrorHandler(None)
                return
