"""From a recipe (config) to what it describes. Below this package, nothing reads a config.

A recipe is first completed (`complete`); the other functions take the complete recipe.
`pipeline.build.trained` loads what a run has trained.
"""

from pipeline.build.data import dataset
from pipeline.build.model import abstract_codec, model_factory
from pipeline.build.optimizer import update
from pipeline.build.outline import codec_outline, run_outline
from pipeline.build.run import run_spec
from pipeline.build.schema import complete, defaults, plain, takes
from pipeline.build.state import abstract_state, extras, initial_state, mesh
from pipeline.build.steps import step

__all__ = [
    "abstract_codec",
    "abstract_state",
    "codec_outline",
    "complete",
    "dataset",
    "defaults",
    "extras",
    "initial_state",
    "mesh",
    "model_factory",
    "plain",
    "run_outline",
    "run_spec",
    "step",
    "takes",
    "update",
]
