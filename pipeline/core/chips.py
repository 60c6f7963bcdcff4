"""Published peak FLOP/s, memory and bandwidths of accelerators; nothing here is measured.

Sources, read in November 2026:
  TPU v4   cloud.google.com/tpu/docs/v4 and Jouppi et al., arXiv 2304.01433, table 4
  TPU v5e  cloud.google.com/tpu/docs/v5e
  TPU v5p  cloud.google.com/tpu/docs/v5p
  TPU v6e  cloud.google.com/tpu/docs/v6e
  A100     NVIDIA A100 Tensor Core GPU datasheet (SXM and PCIe columns)
  H100     NVIDIA H100 Tensor Core GPU datasheet; figures "with sparsity" are halved here
  H200     NVIDIA H200 Tensor Core GPU datasheet, likewise
"""

import dataclasses

GB, GIB, TERA = 1e9, 2**30, 1e12


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip, which is one JAX device.

    Attributes:
      bfloat16: peak FLOP/s of dense bfloat16 matrix products. float32: peak FLOP/s of float32
      arrays at JAX's default precision: TensorFloat32 on these GPUs, one pass of bfloat16 on a TPU,
      whose matrix unit has no float32. memory: bytes of HBM. memory_bandwidth: bytes/s of HBM.
      link_bandwidth: bytes/s that the chip sends over all of its links to other chips (ICI,
      NVLink): half of the published figure where that counts both directions.
    """

    name: str
    bfloat16: float
    float32: float
    memory: int
    memory_bandwidth: float
    link_bandwidth: float


CHIPS = {
    chip.name: chip
    for chip in (
        # 2,400 Gbit/s of interconnect a chip.
        Chip("v4", 275 * TERA, 275 * TERA, 32 * GIB, 1200 * GB, 300 * GB),
        # 400 GB/s of interconnect, both directions.
        Chip("v5e", 197 * TERA, 197 * TERA, 16 * GIB, 819 * GB, 200 * GB),
        # 1,200 GB/s of interconnect, both directions.
        Chip("v5p", 459 * TERA, 459 * TERA, 95 * GIB, 2765 * GB, 600 * GB),
        # 800 GB/s of interconnect, both directions.
        Chip("v6e", 918 * TERA, 918 * TERA, 32 * GIB, 1638 * GB, 400 * GB),
        # NVLink: 600 GB/s on an A100 and 900 on an H100 or H200 with SXM, both directions.
        Chip("a100-40", 312 * TERA, 156 * TERA, 40 * GIB, 1555 * GB, 300 * GB),
        Chip("a100-80", 312 * TERA, 156 * TERA, 80 * GIB, 2039 * GB, 300 * GB),
        Chip("a100-80-pcie", 312 * TERA, 156 * TERA, 80 * GIB, 1935 * GB, 300 * GB),
        Chip("h100", 989.5 * TERA, 494.5 * TERA, 80 * GIB, 3350 * GB, 450 * GB),
        Chip("h100-pcie", 756.5 * TERA, 378 * TERA, 80 * GIB, 2000 * GB, 300 * GB),
        Chip("h200", 989.5 * TERA, 494.5 * TERA, 141 * 10**9, 4800 * GB, 450 * GB),
    )
}

# jax.Device.device_kind -> name; a TPU reports either of two kinds.
_KINDS = {
    "TPU v4": "v4",
    "TPU v5 lite": "v5e",
    "TPU v5e": "v5e",
    "TPU v5": "v5p",
    "TPU v5p": "v5p",
    "TPU v6 lite": "v6e",
    "TPU v6e": "v6e",
    "NVIDIA A100-SXM4-40GB": "a100-40",
    "NVIDIA A100-PCIE-40GB": "a100-40",
    "NVIDIA A100-SXM4-80GB": "a100-80",
    "NVIDIA A100 80GB PCIe": "a100-80-pcie",
    "NVIDIA H100 80GB HBM3": "h100",
    "NVIDIA H100 PCIe": "h100-pcie",
    "NVIDIA H200": "h200",
}


def for_device_kind(device_kind: str) -> Chip | None:
    """Return the chip of a jax.Device.device_kind; None if unknown, as for any CPU."""
    name = _KINDS.get(device_kind)
    return None if name is None else CHIPS[name]


def peak_flops(device_kind: str, dtype: str) -> float | None:
    """Return the published peak FLOP/s of a device for matrix products, or None if it is unknown.

    `dtype` is "bfloat16" or "float32".
    """
    chip = for_device_kind(device_kind)
    return None if chip is None else {"bfloat16": chip.bfloat16, "float32": chip.float32}[dtype]
