"""The total correlation of latents (beta-TCVAE, arXiv 1802.04942, eq. 2)."""

from pipeline.losses.aggregate_posterior import check_num_examples, log_densities
from pipeline.losses.term import Term, Weight


def total_correlation(
    *, weight: Weight = 1.0, num_examples: int = 0, where: str = "objective.total_correlation"
) -> Term:
    """Return the term log q(z) - sum_j log q(z_j), whose weight is the beta of a beta-TCVAE.

    num_examples: size of the training set.
    """
    check_num_examples(num_examples, where)

    def value(outputs, batch, step, frozen):
        log = log_densities(outputs, batch, num_examples=num_examples, where=where)
        return log.aggregate - log.product

    return Term(value, weight, log_name="total_correlation")
