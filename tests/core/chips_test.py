"""Published figures of accelerators, looked up by JAX's device kinds."""

import pytest

from pipeline.core import chips


@pytest.mark.parametrize(
    "kind, dtype, peak",
    [
        ("TPU v4", "bfloat16", 275e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5", "bfloat16", 459e12),
        ("TPU v6 lite", "float32", 918e12),
        ("NVIDIA A100-SXM4-40GB", "float32", 156e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989.5e12),
        ("cpu", "float32", None),
        ("NVIDIA GeForce RTX 4090", "bfloat16", None),
    ],
)
def test_peak_by_device_kind(kind, dtype, peak):
    assert chips.peak_flops(kind, dtype) == peak


def test_every_chip_is_plausible():
    for name, chip in chips.CHIPS.items():
        assert chip.name == name
        assert chip.float32 <= chip.bfloat16 and chip.memory > 10**10
        assert chip.link_bandwidth < chip.memory_bandwidth < chip.bfloat16
