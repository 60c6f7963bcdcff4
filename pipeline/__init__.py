"""Strata: distributed training of image and video VAEs on JAX, from data to a pretrained codec."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.pretrained.load import Codec

__all__ = ["Codec"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `strata --help` does not wait for jax.
    if name == "Codec":
        from pipeline.pretrained.load import Codec

        return Codec
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
