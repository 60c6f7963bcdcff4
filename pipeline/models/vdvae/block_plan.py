"""The authors' notation of VDVAE's blocks in a recipe (arXiv 2011.10650), parsed into lists."""

from collections.abc import Callable
from typing import Any

from pipeline.core.errors import ConfigError

_MOST = 10_000  # blocks of one token


def _parse(blocks: str, letter: str, where: str) -> list[tuple[int, int | None]]:
    """Parse `8x2,4m1,1` to [(8, None), (8, None), (4, 1), (1, None)]; `letter` is the m."""
    plan: list[tuple[int, int | None]] = []
    for token in blocks.split(","):
        try:
            if "x" in token:
                res, count = map(int, token.split("x"))
                if not 0 < count <= _MOST:
                    raise ValueError
                plan += [(res, None)] * count
            elif letter in token:
                res, other = map(int, token.split(letter))
                plan.append((res, other))
            else:
                plan.append((int(token), None))
        except ValueError:
            raise ConfigError(
                f"model.{where}: {token!r} is not RESxCOUNT, RES{letter}NUMBER or RES"
            ) from None
    return plan


def parse_encoder(blocks: str, image_size: int) -> list[tuple[int, int]]:
    """Return (resolution, pooling after it) of each block.

    Raises:
      ConfigError: a block does not get its resolution from the one before.
    """
    plan = [(res, 1 if pool is None else pool) for res, pool in _parse(blocks, "d", "enc_blocks")]
    current = image_size
    for res, pool in plan:
        if res != current or pool < 1 or res % pool:
            raise ConfigError(
                f"model.enc_blocks: a block for {res}x{res}, pooled by {pool}, gets "
                f"{current}x{current}"
            )
        current = res // pool
    return plan


def parse_decoder(blocks: str, image_size: int, reached: set[int]) -> list[tuple[int, int | None]]:
    """Return (resolution, coarser resolution mixed in) of each block.

    Raises:
      ConfigError: one of these resolutions does not exist at that point.
    """
    plan = _parse(blocks, "m", "dec_blocks")
    done: set[int] = set()
    for res, mixin in plan:
        if res not in reached:
            raise ConfigError(
                f"model.dec_blocks: the encoder has no activation at {res}x{res}; it has "
                f"{sorted(reached)}"
            )
        if mixin is not None and (mixin not in done or res % mixin):
            raise ConfigError(
                f"model.dec_blocks: {res}m{mixin} mixes in {mixin}x{mixin}, which no earlier block "
                "makes"
            )
        done.add(res)
    if plan[-1][0] != image_size:
        raise ConfigError(
            f"model.dec_blocks ends at {plan[-1][0]}, and model.image_size is {image_size}"
        )
    return plan


def parse_widths(custom: str, width: int, resolutions: set[int]) -> dict[int, int]:
    """Return the channels at each resolution: `width` except for those in `custom`,
    "512:32,256:64".
    """
    widths = dict.fromkeys(resolutions, width)
    for token in filter(None, custom.split(",")):
        try:
            res, channels = map(int, token.split(":"))
        except ValueError:
            raise ConfigError(f"model.custom_widths: {token!r} is not RESOLUTION:WIDTH") from None
        if res not in widths:
            raise ConfigError(
                f"model.custom_widths: {token!r} is of no resolution of the model; it has "
                f"{sorted(widths)}"
            )
        widths[res] = channels
    return widths


def runs(blocks: list[Any], follows: Callable[[Any, Any], bool]) -> tuple[tuple[int, ...], ...]:
    """Group the numbers of successive blocks where follows(previous, block) holds."""
    found = [[0]]
    for number in range(1, len(blocks)):
        if not follows(blocks[number - 1], blocks[number]):
            found.append([])
        found[-1].append(number)
    return tuple(map(tuple, found))


def check_widths(
    encoder: list[tuple[int, int]], decoder: list[tuple[int, int | None]], widths: dict[int, int]
) -> None:
    """Check that no coarser resolution is narrower than a finer one.

    Channels are padded with zeros going down and cut going up.
    """
    pairs = [(res, res // pool) for res, pool in encoder] + [
        (res, mixin) for res, mixin in decoder if mixin
    ]
    for fine, coarse in pairs:
        if widths[coarse] < widths[fine]:
            raise ConfigError(
                f"model.custom_widths: {coarse}x{coarse} has {widths[coarse]} channels, "
                f"{fine}x{fine} more"
            )
