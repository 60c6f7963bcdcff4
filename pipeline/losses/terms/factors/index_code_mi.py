"""The mutual information of an example and its latents (arXiv 1802.04942, eq. 2)."""

from pipeline.losses.aggregate_posterior import check_num_examples, log_densities
from pipeline.losses.term import Term, Weight


def index_code_mi(
    *, weight: Weight = 1.0, num_examples: int = 0, where: str = "objective.index_code_mi"
) -> Term:
    """Return the term log q(z | x) - log q(z), at most log num_examples on average.

    num_examples: size of the training set.
    """
    check_num_examples(num_examples, where)

    def value(outputs, batch, step, frozen):
        log = log_densities(outputs, batch, num_examples=num_examples, where=where)
        return log.posterior - log.aggregate

    return Term(value, weight, log_name="index_code_mi")
