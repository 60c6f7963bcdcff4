"""Settings that all recipes share: the sections of a run, and the size of a `:tiny` run.

A recipe loads this file by path, because recipes are themselves loaded by path and import no
package. Copy it along with a recipe that you move to another folder.
"""

from ml_collections import ConfigDict


def defaults() -> ConfigDict:
    """Return the settings that most runs have, with empty sections for the recipe to fill in."""
    config = ConfigDict()
    config.seed = 0
    config.dtype = "float32"
    config.grad_accum_steps = 1

    config.data = ConfigDict()
    config.model = ConfigDict()
    config.objective = ConfigDict()
    config.optimizer = ConfigDict()

    config.mesh = dict(replica=1, fsdp=-1, context=1)
    config.checkpoint = dict(every=5_000, keep=3)
    config.eval = dict(every=5_000)
    config.log = dict(every=100)
    config.sample = dict(every=5_000, num=16)
    return config


def mnist(config: ConfigDict) -> None:
    """Read binarized MNIST from config.data.path: 50,000 digits for training, 10,000 for tests."""
    config.data.source = "arrays"
    config.data.path = ""
    config.data.image_size = 28
    config.data.channels = 1
    config.data.binarize = True
    config.data.eval_fraction = 1 / 6
    config.data.num_workers = 0


def adamw(config: ConfigDict, *, learning_rate: float, warmup_steps: int) -> None:
    """Set AdamW without weight decay: clipped gradients, linear warmup and cosine decay."""
    config.optimizer.name = "adamw"
    config.optimizer.learning_rate = learning_rate
    config.optimizer.warmup_steps = warmup_steps
    config.optimizer.decay = "cosine"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.weight_decay = 0.0
    config.optimizer.clip_norm = 1.0
    config.optimizer.skip_norm = 0.0
    config.optimizer.max_skips = 50


def tiny(config: ConfigDict, *, batch_size: int = 8) -> None:
    """Shorten a run to four steps on one device, with one evaluation and two checkpoints."""
    config.num_steps = 4
    config.batch_size = batch_size
    config.mesh.fsdp = 1
    config.checkpoint.every = 2
    config.eval.every = 4
    config.eval.num_examples = 2 * batch_size
    config.eval.batch_size = batch_size
    config.log.every = 1
    config.sample.every = 4
    config.sample.num = min(batch_size, 4)
