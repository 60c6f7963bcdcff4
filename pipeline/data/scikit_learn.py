"""The data files inside scikit-learn, read without its import, which takes over a second."""

import importlib.util
import pathlib

import numpy as np
from jaxtyping import UInt8

from pipeline.core.errors import ConfigError


def _datasets() -> pathlib.Path:
    found = importlib.util.find_spec("sklearn")  # does not import it
    if found is None or found.origin is None:
        raise ConfigError("this source needs scikit-learn: pip install scikit-learn")
    return pathlib.Path(found.origin).parent / "datasets"


def digits() -> UInt8[np.ndarray, "1797 65"]:
    """Return the handwritten digits: 64 levels 0..16 of an image, then its label, in each row."""
    return np.loadtxt(_datasets() / "data" / "digits.csv.gz", delimiter=",", dtype=np.uint8)


def photographs() -> UInt8[np.ndarray, "2 427 640 3"]:
    """Return the photographs of a church in China and of a flower."""
    from PIL import Image

    files = [_datasets() / "images" / f"{name}.jpg" for name in ("china", "flower")]
    return np.stack([np.asarray(Image.open(file)) for file in files])
