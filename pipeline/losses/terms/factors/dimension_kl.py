"""The KL of each latent's aggregate posterior to its prior (arXiv 1802.04942, eq. 2)."""

from pipeline.losses.aggregate_posterior import check_num_examples, log_densities
from pipeline.losses.term import Term, Weight


def dimension_kl(
    *, weight: Weight = 1.0, num_examples: int = 0, where: str = "objective.dimension_kl"
) -> Term:
    """Return the term sum_j log q(z_j) - log p(z_j); with the other two parts it is the KL.

    num_examples: size of the training set.
    """
    check_num_examples(num_examples, where)

    def value(outputs, batch, step, frozen):
        log = log_densities(outputs, batch, num_examples=num_examples, where=where)
        return log.product - log.prior

    return Term(value, weight, log_name="dimension_kl", charges_kl=True)
