"""Settings of adversarial training: config.objective.adversarial."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """Settings of adversarial training of the generator, which is the codec, and a discriminator.

    Attributes:
      loss: "hinge" or "non_saturating".
      weight: weight of the generator's loss. With `adaptive` it multiplies the ratio of gradients
        at the last layer, ||grad nll|| / (||grad g|| + eps), which is at most `max_weight`.
      start: step of the run after which the discriminator is used; until then it costs nothing.
      warmup_steps: number of the discriminator's updates over which the generator's weight grows
        linearly from 0.
      r1: gamma of the penalty on the gradient at real examples; it is applied every `r1_every`
        steps, multiplied by `r1_every`.
      lecam: weight of LeCam's regularizer, whose running means decay by `lecam_decay`.
    """

    loss: str = "hinge"
    weight: float | int = 0.5
    adaptive: bool = True
    max_weight: float | int = 1e4
    eps: float | int = 1e-4
    start: int = 0
    warmup_steps: int = 0
    r1: float | int = 0.0
    r1_every: int = 16
    lecam: float | int = 0.0
    lecam_decay: float | int = 0.999
