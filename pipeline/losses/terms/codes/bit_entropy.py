"""Entropies of codes made of bits (LFQ, arXiv 2310.05737, eq. 5; BSQ, 2406.07548, eq. 10)."""

from pipeline.core.errors import ConfigError
from pipeline.losses.code_error import array_of, mean_per_frame
from pipeline.losses.term import Term, Weight, num_frames
from pipeline.quantization import binary_entropy

_LARGEST = 16


def bit_entropy(
    *,
    weight: Weight = 0.1,
    diversity: float | int = 1.0,
    group: int = 9,
    where: str = "objective.bit_entropy",
) -> Term:
    """Return E[H(q(k | x))] - diversity * H(E[q(k | x)]), in nats per position.

    The mean q is over the batch that is differentiated at once: a microbatch if gradients are
    accumulated.

    diversity: weight of the entropy of all positions together, which is to be large. group: bits
    whose joint entropy that is; the entropies of groups are added, an upper bound of the whole.
    """
    if not 1 <= group <= _LARGEST:
        raise ConfigError(f"{where}.group={group} must be from 1 to {_LARGEST} bits")

    def value(outputs, batch, step, frozen):
        logits = array_of(outputs, "bit_logits", where)
        sure = mean_per_frame(binary_entropy.of_positions(logits), batch)
        varied = binary_entropy.of_all(logits, group=group, weights=batch.get("mask"))
        return sure - diversity * varied * num_frames(batch)

    return Term(value, weight, log_name="bit_entropy", per_value=True)
