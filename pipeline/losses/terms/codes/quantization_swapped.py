"""The loss of vector quantization with beta on the codes, as in public code of VQGAN.

The code of taming-transformers and of latent diffusion weights the other part than the paper
(arXiv 1711.00937, eq. 3) and keeps it so for released models ("legacy"). With beta 0.25 the vectors
move four times as fast as in `quantization`, and the codes four times as slowly.
"""

from pipeline.losses.code_error import codebook_error, commitment_error
from pipeline.losses.term import Term, Weight


def quantization_swapped(
    *, weight: Weight = 1.0, beta: float | int = 0.25, where: str = "objective.quantization_swapped"
) -> Term:
    """Return |x - sg(code)|^2 + beta |sg(x) - code|^2, a mean over the elements of the latents.

    beta: weight of the part that moves the codes.
    """

    def value(outputs, batch, step, frozen):
        error = commitment_error(outputs, batch, where)
        return error + beta * codebook_error(outputs, batch, where)

    return Term(value, weight, log_name="quantization_swapped", per_value=True)
