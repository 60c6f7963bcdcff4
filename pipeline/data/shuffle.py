"""The order of examples: a keyed permutation that is computed one position at a time."""

import functools

from pipeline.data import randomness


def shuffled(seed: int, position: int, length: int) -> int:
    """Return the index at `position` of an endless stream that shows each example once an epoch.

    Grain's index_shuffle evaluates a keyed permutation at one point, so memory does not grow with
    the dataset.
    """
    from grain.experimental import index_shuffle  # slow, and not needed to check settings

    epoch, place = divmod(position, length)
    return index_shuffle(place, max_index=length - 1, seed=_seed_of_epoch(seed, epoch), rounds=4)


@functools.lru_cache(maxsize=64)
def _seed_of_epoch(seed: int, epoch: int) -> int:
    return randomness.key_of(seed, randomness.ORDER, epoch) & 0xFFFFFFFF
