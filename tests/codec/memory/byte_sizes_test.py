"""Sizes of memory as text."""

import pytest

from pipeline.codec.memory import byte_sizes
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    "text, count",
    [
        ("8GiB", 8 * 2**30),
        ("512 mib", 512 * 2**20),
        ("2.5GB", 2_500_000_000),
        ("1TiB", 2**40),
        ("64kb", 64_000),
        ("4096", 4096),
        ("10B", 10),
        (4096, 4096),
    ],
)
def test_sizes_are_read(text, count):
    assert byte_sizes.parse(text, "memory") == count


@pytest.mark.parametrize("given", ["8Gi", "GiB", "-1GiB", "8 G i B", "", "1e9", 1.5, True, None])
def test_what_is_no_size_is_refused(given):
    with pytest.raises(ConfigError, match=r"memory .* is no size of memory, such as 8GiB"):
        byte_sizes.parse(given, "memory")


@pytest.mark.parametrize("given", [0, -4, "0GiB", "0.1B"])
def test_a_size_has_at_least_a_byte(given):
    with pytest.raises(ConfigError, match=r"--memory .* at least one byte"):
        byte_sizes.parse(given, "--memory")


def test_sizes_are_written():
    assert byte_sizes.text(3 * 2**29) == "1.50 GiB"
    assert byte_sizes.text(5 * 2**20) == "5.00 MiB" and byte_sizes.text(512) == "0.50 KiB"
