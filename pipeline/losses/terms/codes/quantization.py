"""The loss of vector quantization as the paper has it (arXiv 1711.00937, eq. 3)."""

from pipeline.losses.code_error import codebook_error, commitment_error
from pipeline.losses.term import Term, Weight


def quantization(
    *, weight: Weight = 1.0, beta: float | int = 0.25, where: str = "objective.quantization"
) -> Term:
    """Return |sg(x) - code|^2 + beta |x - sg(code)|^2, a mean over the elements of the latents.

    beta: weight of the commitment, the part that moves the vectors x.
    """

    def value(outputs, batch, step, frozen):
        error = codebook_error(outputs, batch, where)
        return error + beta * commitment_error(outputs, batch, where)

    return Term(value, weight, log_name="quantization", per_value=True)
