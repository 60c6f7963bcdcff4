"""The commitment of vectors to their codes alone, for codes that no gradient moves.

It is the third term of arXiv 1711.00937, eq. 3, for codebooks of moving averages.
"""

from pipeline.losses.code_error import commitment_error
from pipeline.losses.term import Term, Weight


def commitment(*, weight: Weight = 0.25, where: str = "objective.commitment") -> Term:
    """Return |x - sg(code)|^2, a mean over the elements of the latents."""
    return Term(
        lambda outputs, batch, step, frozen: commitment_error(outputs, batch, where),
        weight,
        log_name="commitment",
        per_value=True,
    )
