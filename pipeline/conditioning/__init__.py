"""Ways in which a condition, such as the embedding of a label, enters a network: one file each.

    y = conditioning(x, c, momentum)     # features [b *shape c] and a condition [b e]

A class takes `features` (channels of x), `condition` (size of c), `key` and `dtype`, and settings
of its own with defaults. The output has the shape of x, and at first does not depend on c: layers
that read c start from 0, so that a network begins as the same one without labels. `momentum` is
that of pipeline.nn.norm, None outside of training.

A model has a `labels.LabelConditioning`, which embeds the label and has a conditioning at each site
of the network; `modulation` is shared code:

    config.model.conditioning = dict(name="film.FiLM", num_classes=10, label_dropout=0.1)
"""
